"""Dividing rows so that nothing in test was trained on: equal rows, alike texts and groups stay together, time runs forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from studio.core.errors import DataError
from studio.data.similarity import Clusters, NearPairs, Shingling
from studio.data.split import SPLITS, divide_clusters, rows_of_size
from studio.data.tables.forward import divide_by_time
from studio.data.tables.steps.duplicates import comparable, same_values
from studio.data.tables.stratified import assign_stratified
from studio.data.tables.table import DataTable
from studio.data.verdicts import Drop
from studio.schema.table_recipe import TableSplitSettings

_REMEDY = "Add other rows, name a finer group, or set split.same_rows: false where equal rows are different cases."
_BINS = 10


@dataclass
class Assignment:
    """The split of each row (object [n]; None for rows that go), and what was found on the way.

    drops: rows in the gap between splits. clusters, tied, largest: as in :class:`studio.data.split.Division`.
    """

    split: np.ndarray
    clusters: int
    tied: int
    largest: int
    drops: dict[int, Drop] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def assign(table: DataTable, settings: TableSplitSettings) -> Assignment:
    """The split of every row.

    Raises:
        DataError: there are too few rows or clusters for what is asked.
    """
    clusters, notes = tied_rows(table, settings)
    sizes = [len(cluster) for cluster in clusters]
    found = Assignment(
        np.full(len(table), None, dtype=object), len(clusters), sum(size for size in sizes if size > 1), max(sizes), notes=notes
    )
    time, labels = table.of_role("time"), strata(table, settings)
    if time is not None:
        moments = table.frame[time.name].to_numpy("datetime64[us]")
        found.split, found.drops, more = divide_by_time(moments, clusters, settings)
        found.notes += more
    elif labels is not None:
        wanted = sizes_of(settings, len(table))
        found.split, more = assign_stratified(clusters, labels, wanted, settings.seed, _REMEDY)
        found.notes += more
    else:
        rows = list(range(len(table)))
        division = divide_clusters(rows, clusters, settings.validation, settings.test, settings.seed, _REMEDY)
        for name, part in division.splits.items():
            found.split[part] = name
        found.notes += division.notes
    return found


def sizes_of(settings: TableSplitSettings, rows: int) -> dict[str, int]:
    """Rows that test and validation want.

    Raises:
        DataError: they leave none for training.
    """
    wanted = {"test": rows_of_size(settings.test, rows), "validation": rows_of_size(settings.validation, rows)}
    if sum(wanted.values()) >= rows:
        raise DataError(
            f"{rows} rows are left, and split asks for {wanted['test']} test and {wanted['validation']} validation rows, "
            "which leaves none for training. Ask for fewer (split.test, split.validation) or add rows."
        )
    return wanted


def strata(table: DataTable, settings: TableSplitSettings) -> np.ndarray | None:
    """What each split is to have the same share of: the label of each row, or the tenth its number lies in; None for nothing."""
    target = table.of_role("target")
    if target is None or settings.stratify is False or (settings.stratify is None and target.type == "number"):
        return None
    values = table.frame[target.name]
    if target.type == "number":
        return np.asarray(pd.qcut(values, _BINS, labels=False, duplicates="drop").astype(int).astype(str).to_numpy(object))
    return values.to_numpy(object)


def tied_rows(table: DataTable, settings: TableSplitSettings) -> tuple[list[list[int]], list[str]]:
    """Places of rows that have to stay together, as clusters in order of their first row, and notes."""
    clusters, notes = Clusters(len(table)), []
    if settings.same_rows:
        compared = comparable(table)
        places = np.flatnonzero(table.frame[compared].duplicated(keep=False).to_numpy())
        _join_equal(clusters, places.tolist(), same_values(table, compared, places).tolist())
    group = table.of_role("group")
    if group is not None:
        there = np.flatnonzero(table.frame[group.name].notna().to_numpy())
        _join_equal(clusters, there.tolist(), table.frame[group.name].iloc[there].tolist())
        if len(there) < len(table):
            notes.append(f"{len(table) - len(there):,} rows have no {group.name}; each was taken for a group of its own")
    for column in table.columns.values():
        if column.type == "text" and column.feature:
            _join_alike(clusters, table.frame[column.name].fillna("").tolist(), settings.text_threshold)
    return clusters.groups(), notes


def _join_equal(clusters: Clusters, places: Sequence[int], keys: Sequence[object]) -> None:
    """Tie rows with equal keys."""
    first: dict[object, int] = {}
    for place, key in zip(places, keys, strict=True):
        clusters.join(first.setdefault(key, place), place)


def _join_alike(clusters: Clusters, texts: Sequence[str], threshold: float) -> None:
    """Tie rows whose texts are alike; an empty text is like no other."""
    pairs = NearPairs(texts, threshold, Shingling("word", 3))
    for place, first in enumerate(pairs.same):
        if texts[place].strip():
            clusters.join(first, place)
    pairs.tie(clusters)


def label_shares(table: DataTable) -> dict[str, dict[str, int]]:
    """Rows of each label by split, the most frequent label first; empty without a target of labels."""
    target = table.of_role("target")
    if target is None or target.type != "category" or table.split is None:
        return {}
    values = table.frame[target.name]
    order = values.value_counts().index.tolist()
    shares = {}
    for name in SPLITS:
        counts = values[table.split == name].value_counts()
        if len(counts):
            shares[name] = {label: int(counts.get(label, 0)) for label in order}
    return shares
