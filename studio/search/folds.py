"""Folds of a Dataset: its train and validation rows, divided so that each is held out once. Test rows are left alone.

Each fold is a Dataset of its own, so that presets train on it as on any other. What belongs together stays together: groups,
near-duplicate texts, rows that are equal, and altered copies of a picture with their original.

Legend: n rows, k folds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from studio.core.errors import DataError, UserError
from studio.core.files import new_folder, sha256_file, sha256_json, write_json
from studio.core.records import DatasetRecord
from studio.data.examples import Examples
from studio.data.parquet import read_split_table, read_whole_dataset, write_table
from studio.data.similarity import Clusters, NearPairs, Shingling
from studio.data.split import divide_clusters

# As alike as the rows of conversations may be across splits: studio/schema/recipe.py, split.threshold.
_ALIKE, _SHINGLING = 0.6, Shingling("word", 3)
_HELD_OUT = ("train", "validation")


@dataclass(frozen=True)
class Rows:
    """What is divided. ids, clusters: one per row; rows of one cluster stay together. target: labels or numbers. copies: altered
    copies, which are learned from and never tested on. notes: for people.
    """

    ids: list[str]
    clusters: NDArray[np.int64]
    target: NDArray[np.object_] | NDArray[np.float64] | None
    copies: NDArray[np.bool_]
    notes: list[str] = field(default_factory=list)


def rows_of(read: Callable[[str], Examples], record: DatasetRecord) -> Rows:
    """The rows of train and validation, with what ties them.

    Args:
        read: the examples of a split, as a preset learns from them.
    Raises:
        UserError: the rows are divided by time, or cannot be learned from.
    """
    if record.recipe.get("time"):
        raise UserError(
            f"{record.name} is divided by time ({record.recipe['time']}), and folds would learn from what comes later. Train "
            "each preset, and measure the runs with one suite: studio eval SUITE --model RUN --baseline OTHER"
        )
    parts = [read(split) for split in _HELD_OUT if record.splits.get(split)]
    ids = [identity for part in parts for identity in part.ids]
    features = pd.concat([part.features for part in parts], ignore_index=True)
    groups = [group for part in parts for group in (part.groups or [None] * len(part))]
    originals = _originals(parts)
    clusters = Clusters(len(ids))
    _tie_equal(clusters, groups)
    place = {identity: number for number, identity in enumerate(ids)}
    for number, original in enumerate(originals):
        if original in place:
            clusters.join(place[original], number)
    texts = [column.name for column in parts[0].columns if column.type == "text"]
    if texts:
        _tie_alike(clusters, ["\n".join(str(value or "") for value in row) for row in features[texts].itertuples(index=False)])
    else:
        _tie_equal(clusters, [str(tuple(row)) for row in features.itertuples(index=False)])
    numbers = np.array([clusters.find(number) for number in range(len(ids))], dtype=np.int64)
    tied = len(ids) - len(set(numbers.tolist()))
    notes = [f"{tied} rows stay with others that they belong to or resemble"] if tied else []
    targets = [part.target for part in parts if part.target is not None]
    copies = np.array([original is not None for original in originals], dtype=bool)
    return Rows(ids, numbers, np.concatenate(targets) if targets else None, copies, notes)


def _originals(parts: Sequence[Examples]) -> list[str | None]:
    """The row that each is an altered copy of, None for originals."""
    found: list[str | None] = []
    for part in parts:
        if "copy_of" in part.others.columns:
            found += [None if value is None or value != value else str(value) for value in part.others["copy_of"]]
        else:
            found += [None] * len(part)
    return found


def _tie_equal(clusters: Clusters, values: Sequence[str | None]) -> None:
    """Rows of one value are one."""
    first: dict[str, int] = {}
    for number, value in enumerate(values):
        if value is not None:
            clusters.join(first.setdefault(value, number), number)


def _tie_alike(clusters: Clusters, texts: Sequence[str]) -> None:
    """Near-duplicate texts are one, as in the split that the Dataset has."""
    pairs = NearPairs(texts, _ALIKE, _SHINGLING)
    for number, first in enumerate(pairs.same):
        clusters.join(first, number)
    pairs.tie(clusters)


def divide(rows: Rows, folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row, from 0, [n]; labels in about equal shares, clusters whole.

    Raises:
        UserError: fewer than two folds. DataError: a label has fewer rows than there are folds, or there are too few clusters.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    if folds < 2:
        raise UserError(f"--folds {folds}: comparing needs at least 2 folds, each held out once.")
    count = len(set(rows.clusters.tolist()))
    if count < folds:
        raise DataError(f"--folds {folds}: the {len(rows.ids)} rows fall into {count} groups that stay whole. Take fewer folds.")
    labels = rows.target.tolist() if rows.target is not None and rows.target.dtype == object else None
    if labels is not None:
        _check_labels([label for label, copy in zip(labels, rows.copies.tolist(), strict=True) if not copy], folds)
    places = np.arange(len(rows.ids))
    divider = (
        GroupKFold(n_splits=folds, shuffle=True, random_state=seed)
        if labels is None
        else StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    )
    found = np.zeros(len(rows.ids), dtype=np.int64)
    for number, (_, held_out) in enumerate(divider.split(places, labels, rows.clusters)):
        found[held_out] = number
    return found


def _check_labels(labels: Sequence[str], folds: int) -> None:
    """Every label has a row for each fold.

    Raises:
        DataError: the rarest has not; the most folds that can be are named.
    """
    label, rows = min(Counter(labels).items(), key=lambda item: (item[1], item[0]))
    if rows >= folds:
        return
    remedy = f"Take --folds {rows}" if rows >= 2 else "Leave that label out of the recipe, or merge it with another"
    raise DataError(
        f"--folds {folds}: the label {label!r} has {rows} row{'s' if rows != 1 else ''} in train and validation, and each fold "
        f"needs one. {remedy}."
    )


def write_folds(source: Path, place: Path, rows: Rows, fold_of: NDArray[np.int64], seed: int) -> list[Path]:
    """A Dataset for each fold under ``place``: its rows as test, the others as train and, in the share that the Dataset has, as
    validation. What else the Dataset's folder holds (pictures) is linked to.
    """
    record = read_whole_dataset(source)
    splits = [split for split in _HELD_OUT if record.splits.get(split)]
    table = pa.concat_tables([read_split_table(source, record, split) for split in splits])
    # In every kind of Dataset the identity of a row is its first column.
    number_of = {identity: number for number, identity in enumerate(table.column(0).to_pylist())}
    places = np.array([number_of[identity] for identity in rows.ids], dtype=np.int64)
    share = record.splits.get("validation", 0) / sum(record.splits[split] for split in splits)
    found = []
    for fold in range(int(fold_of.max()) + 1):
        parts = _parts(rows, fold_of, fold, share, seed)
        chosen = {split: table.take(pa.array(np.sort(places[numbers]))) for split, numbers in parts.items() if len(numbers)}
        found.append(_write(source, place, record, chosen, fold, seed))
    return found


def _parts(rows: Rows, fold_of: NDArray[np.int64], fold: int, share: float, seed: int) -> dict[str, NDArray[np.int64]]:
    """Row numbers of each split of a fold."""
    test, rest = np.flatnonzero((fold_of == fold) & ~rows.copies), np.flatnonzero(fold_of != fold)
    wanted = round(share * len(rest))
    if not wanted:
        return {"train": rest, "test": test}
    members: dict[int, list[int]] = {}
    for number, row in enumerate(rest.tolist()):
        members.setdefault(int(rows.clusters[row]), []).append(number)
    remedy = "Take fewer folds, or add rows."
    division = divide_clusters(rest.tolist(), list(members.values()), wanted, 0, seed, remedy)
    return {split: np.array(numbers, dtype=np.int64) for split, numbers in division.splits.items()} | {"test": test}


def _write(source: Path, place: Path, record: DatasetRecord, parts: dict[str, pa.Table], fold: int, seed: int) -> Path:
    """One fold as a Dataset."""
    name = f"{record.name}-fold-{fold + 1}"
    fingerprint = sha256_json([record.fingerprint, seed, {split: part.column(0).to_pylist() for split, part in parts.items()}])[
        :16
    ]
    folder = place / name / fingerprint
    with new_folder(folder) as draft:
        for split, part in parts.items():
            write_table(part, draft / f"{split}.parquet")
        for other in source.iterdir():
            if other.is_dir():
                (draft / other.name).symlink_to(other.resolve(), target_is_directory=True)
        changes = {
            "name": name,
            "fingerprint": fingerprint,
            "splits": {split: part.num_rows for split, part in parts.items()},
            "files": {f"{split}.parquet": sha256_file(draft / f"{split}.parquet") for split in parts},
            "fold_of": {"name": record.name, "fingerprint": record.fingerprint, "fold": fold + 1, "seed": seed},
        }
        write_json(draft / "dataset.json", record.model_copy(update=changes).model_dump(mode="json"))
    return folder
