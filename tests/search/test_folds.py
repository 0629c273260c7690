"""Folds: every row once, what belongs together in one, labels in about equal shares, test rows nowhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import DataError, UserError
from studio.core.workspace import Workspace, read_dataset
from studio.data.examples import Examples, Wanted, read_examples
from studio.schema.columns import Column
from studio.search.folds import Rows, divide, rows_of, write_folds

WANTED = Wanted(None, "category")


def examples(texts: list[str], labels: list[str], **more: object) -> Examples:
    """Made-up rows of texts."""
    return Examples(
        [f"row {number}" for number in range(len(texts))],
        (Column(name="text", type="text"),),
        pd.DataFrame({"text": np.array(texts, dtype=object)}),
        np.array(labels, dtype=object),
        "label",
        others=pd.DataFrame(index=range(len(texts))),
        **more,  # type: ignore[arg-type]
    )


def rows(workspace: Workspace) -> tuple[Path, Rows]:
    folder = workspace.find_dataset("iris")
    return folder, rows_of(lambda split: read_examples(folder, split, WANTED), read_dataset(folder))


def test_every_row_is_held_out_once_and_test_rows_never(flowers: Workspace, tmp_path: Path) -> None:
    folder, found = rows(flowers)
    fold_of = divide(found, 5, 0)
    folds = write_folds(folder, tmp_path, found, fold_of, 0)
    held_out: list[str] = []
    test = set(read_examples(folder, "test", WANTED).ids)
    for fold in folds:
        parts = {split: read_examples(fold, split, WANTED) for split in ("train", "validation", "test")}
        assert [len(part) for part in parts.values()] == [
            len(found.ids) - len(parts["test"]) - len(parts["validation"]),
            round(15 / 119 * (119 - len(parts["test"]))),
            len(parts["test"]),
        ]
        assert not test & {identity for part in parts.values() for identity in part.ids}
        assert len({identity for part in parts.values() for identity in part.ids}) == 119
        shares = Counter(parts["test"].target)  # type: ignore[arg-type]
        assert set(shares) == {"setosa", "versicolor", "virginica"} and max(shares.values()) - min(shares.values()) <= 3
        held_out += parts["test"].ids
    assert sorted(held_out) == sorted(found.ids)
    assert read_dataset(folds[1]).model_extra["fold_of"]["fold"] == 2  # type: ignore[index]
    assert (divide(found, 5, 0) == fold_of).all() and (divide(found, 5, 1) != fold_of).any()


def test_what_belongs_together_is_never_on_both_sides(flowers: Workspace) -> None:
    texts = [f"How wide must door number {number} of the {number} houses in street {number} be?" for number in range(30)]
    # The second ten repeat the first ten but for a word at the end, and the last two share a group.
    texts[10:20] = [f"{text} Tell me." for text in texts[:10]]
    groups = [None] * 28 + ["same", "same"]
    made = examples(texts, ["a", "b"] * 15, groups=groups)
    record = read_dataset(flowers.find_dataset("iris")).model_copy(update={"splits": {"train": 30}})
    found = rows_of(lambda _: made, record)
    assert [found.clusters[number + 10] for number in range(10)] == [found.clusters[number] for number in range(10)]
    assert found.clusters[28] == found.clusters[29] and len(set(found.clusters.tolist())) == 19
    fold_of = divide(found, 3, 0)
    assert all(len(set(fold_of[found.clusters == cluster].tolist())) == 1 for cluster in found.clusters)
    assert found.notes == ["11 rows stay with others that they belong to or resemble"]


def test_altered_copies_are_learned_from_and_never_tested_on(flowers: Workspace, tmp_path: Path) -> None:
    folder, found = rows(flowers)
    copies = found.copies.copy()
    copies[:5] = True
    clusters = found.clusters.copy()
    clusters[:5] = clusters[5]
    made = Rows(found.ids, clusters, found.target, copies)
    folds = write_folds(folder, tmp_path, made, divide(made, 4, 0), 0)
    held_out = {identity for fold in folds for identity in read_examples(fold, "test", WANTED).ids}
    assert held_out == set(found.ids[5:])


def test_more_folds_than_rows_of_a_label_are_refused(flowers: Workspace) -> None:
    record = read_dataset(flowers.find_dataset("iris")).model_copy(update={"splits": {"train": 20}})
    texts = [f"question {number * 7919} about {number}" for number in range(20)]
    few = rows_of(lambda _: examples(texts, ["a"] * 17 + ["rare"] * 3), record)
    with pytest.raises(DataError) as error:
        divide(few, 5, 0)
    assert str(error.value) == (
        "--folds 5: the label 'rare' has 3 rows in train and validation, and each fold needs one. Take --folds 3."
    )
    single = rows_of(lambda _: examples(texts, ["a"] * 19 + ["rare"]), record)
    with pytest.raises(DataError, match="has 1 row in train and validation.*Leave that label out of the recipe"):
        divide(single, 2, 0)
    with pytest.raises(UserError, match="--folds 1: comparing needs at least 2 folds"):
        divide(few, 1, 0)


def test_rows_in_the_order_of_time_are_no_folds(flowers: Workspace) -> None:
    record = read_dataset(flowers.find_dataset("iris"))
    with pytest.raises(UserError, match="iris is divided by time .day., and folds would learn from what comes later"):
        rows_of(lambda _: examples([], []), record.model_copy(update={"recipe": {"time": "day"}}))
