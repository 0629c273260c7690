"""Nothing in test was trained on: labels keep their share, groups and equal rows stay whole, time runs forward."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from studio.core.errors import DataError
from studio.data.tables.split import Assignment, assign
from studio.data.tables.table import DataTable
from studio.schema.table_recipe import TableSplitSettings
from tests.data.tables.made_tables import table


def divided(
    columns: dict[str, list[Any]], settings: dict[str, Any] | None = None, /, **fields: Any
) -> tuple[DataTable, Assignment]:
    made = table(columns, **fields)
    return made, assign(made, TableSplitSettings(**(settings or {})))


def numbers(count: int) -> list[str]:
    return [f"{number}.5" for number in range(count)]


def shares(made: DataTable, found: Assignment, name: str) -> dict[str, Counter[str]]:
    values = made.frame[name].to_numpy(object)
    return {split: Counter(values[found.split == split]) for split in ("train", "validation", "test")}


def test_labels_have_the_same_share_in_each_split() -> None:
    labels = ["rare"] * 30 + ["often"] * 270
    made, found = divided({"x": numbers(300), "y": labels}, target="y")
    assert shares(made, found, "y") == {
        "train": {"rare": 21, "often": 189}, "validation": {"rare": 3, "often": 27}, "test": {"rare": 6, "often": 54},
    }  # fmt: skip


def test_the_seed_decides_and_nothing_else() -> None:
    columns = {"x": numbers(200), "y": ["a", "b"] * 100}
    first, again, other = (divided(columns, {"seed": seed}, target="y")[1].split for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_a_label_of_one_row_goes_to_train_and_is_named() -> None:
    made, found = divided({"x": numbers(101), "y": ["a"] * 50 + ["b"] * 50 + ["single"]}, target="y")
    assert found.split[100] == "train"
    assert found.notes == ["'single' is the label of one row or cluster only; it went to train, so no split measures it"]
    assert made.frame["y"].iloc[100] == "single"


def test_a_rare_label_is_in_every_split_from_three_rows_on() -> None:
    made, found = divided({"x": numbers(303), "y": ["a"] * 300 + ["rare"] * 3}, target="y")
    assert [part["rare"] for part in shares(made, found, "y").values()] == [1, 1, 1]


def test_groups_never_straddle_and_labels_are_still_shared_out() -> None:
    rng = np.random.default_rng(0)
    who = rng.integers(0, 80, 800)
    label = np.where(rng.random(800) < 0.2 + 0.4 * (who % 2), "yes", "no")
    columns = {"who": [f"p{one}" for one in who], "x": numbers(800), "y": label.tolist()}
    made, found = divided(columns, target="y", group="who")
    splits = {one: set(found.split[who == one]) for one in range(80)}
    assert all(len(held) == 1 for held in splits.values())
    counts = shares(made, found, "y")
    overall = (label == "yes").mean()
    assert all(abs(part["yes"] / part.total() - overall) < 0.04 for part in counts.values())
    assert 140 <= counts["test"].total() <= 180 and 65 <= counts["validation"].total() <= 95


def test_rows_without_a_group_stand_for_themselves() -> None:
    columns = {"who": [""] * 20 + ["a"] * 10 + ["b"] * 70, "x": numbers(100)}
    _, found = divided(columns, {"stratify": False}, group="who")
    assert found.clusters == 22 and "20 rows have no who" in found.notes[0]


def test_equal_rows_never_straddle() -> None:
    x = [str(number % 50) for number in range(200)]
    made, found = divided({"x": x, "y": [("a", "b")[int(one) % 2] for one in x]}, target="y")
    held = {value: set(found.split[(made.frame["x"] == value).to_numpy()]) for value in range(50)}
    assert all(len(splits) == 1 for splits in held.values()) and found.clusters == 50 and found.tied == 200


def test_equal_rows_may_be_different_cases() -> None:
    columns = {"x": ["u", "v"] * 100, "y": ["a", "b"] * 100}
    with pytest.raises(DataError, match=r"split '\w+' would be empty: the 200 rows fall into 2 clusters.*same_rows: false"):
        divided(columns, target="y")
    assert divided(columns, {"same_rows": False}, target="y")[1].clusters == 200


def test_alike_texts_stay_together() -> None:
    texts = [f"report {number} about the broken pump number {number * 7} in building {number % 13}" for number in range(60)]
    texts += [f"{text} again" for text in texts]
    made, found = divided({"note": texts, "y": ["a", "b"] * 60}, columns=[{"name": "note", "type": "text"}], target="y")
    assert made.columns["note"].type == "text"
    assert all(found.split[number] == found.split[number + 60] for number in range(60))


def test_time_runs_forward_with_a_gap_and_nothing_of_one_moment_is_separated() -> None:
    days = [f"2024-{1 + number // 28 % 12:02d}-{1 + number % 28:02d}" for number in range(300)]
    made, found = divided({"day": days, "x": numbers(300)}, {"gap": "5 days"}, time="day")
    when = made.frame["day"].to_numpy()
    train, validation, test = (when[found.split == name] for name in ("train", "validation", "test"))
    gap = np.timedelta64(5, "D")
    assert train.max() < validation.min() - gap and validation.max() < test.min() - gap
    assert len(test) >= 60 and len(found.drops) == (found.split == None).sum() > 0  # noqa: E711
    assert {drop.reason for drop in found.drops.values()} == {"in the gap before validation", "in the gap before test"}
    same = [str(day) for day in ["2024-01-01"] * 50 + ["2024-01-02"] * 50]
    _, halves = divided({"day": same, "x": numbers(100)}, {"test": 10, "validation": 0}, time="day")
    assert Counter(halves.split) == {"train": 50, "test": 50}


def test_a_group_over_time_goes_where_its_last_row_is() -> None:
    days = [f"2024-01-{1 + number:02d}" for number in range(30)] * 2
    who = [f"g{number % 10}" for number in range(60)]
    made, found = divided({"day": days, "who": who, "x": numbers(60)}, {"test": 6, "validation": 0}, time="day", group="who")
    when = made.frame["day"].to_numpy()
    assert all(len(set(found.split[[one == name for one in who]])) == 1 for name in set(who))
    last = {name: max(when[[one == name for one in who]]) for name in set(who)}
    start = min(last[name] for name, split in zip(who, found.split, strict=True) if split == "test")
    assert when[found.split == "train"].max() < start


@pytest.mark.parametrize(
    ("settings", "fields", "said"),
    [
        ({"test": 90, "validation": 20}, {}, "asks for 90 test and 20 validation rows, which leaves none for training"),
        ({"gap": "soon"}, {"time": "day"}, "'soon' is no stretch of time"),
        ({"gap": "900 days"}, {"time": "day"}, "split 'train' would be empty: 100 rows lie at 100 different times"),
    ],
)
def test_what_cannot_be_divided_is_one_sentence(settings: dict[str, Any], fields: dict[str, Any], said: str) -> None:
    days = [f"2024-{1 + number // 28:02d}-{1 + number % 28:02d}" for number in range(100)]
    with pytest.raises(DataError, match=said):
        divided({"day": days, "x": numbers(100), "y": ["a", "b"] * 50}, settings, target="y", **fields)


def test_numbers_can_be_stratified_too() -> None:
    values = [str(number**2) for number in range(200)]
    plain, even = (divided({"y": values}, {"stratify": asked}, target="y") for asked in (None, True))
    medians = [np.median(even[0].frame["y"][even[1].split == name]) for name in ("train", "validation", "test")]
    assert max(medians) / min(medians) < 1.15 and (plain[1].split != even[1].split).any()
