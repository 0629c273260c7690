"""The rows that groups are looked for in, and what can be known to be wrong with them, each in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.core.errors import DataError, UserError
from studio.core.records import DatasetRecord
from studio.data.examples import Examples, Wanted, read_examples
from studio.data.parquet import read_whole_dataset
from studio.models.clusters.space import has_direction
from studio.schema.clusters import Agglomerative, Counted

if TYPE_CHECKING:
    from studio.schema.clusters import ClustersPreset

TRAIN = "train"
_FEWEST = 3
# Distances of all pairs of rows, 8 bytes each, are held at once.
_MOST_PAIRWISE = 2**31


def wanted_of(preset: ClustersPreset) -> Wanted:
    """What a preset wants of the rows: no target."""
    return Wanted(features=tuple(preset.features) if preset.features is not None else None)


def read_training_rows(folder: Path, preset: ClustersPreset) -> tuple[DatasetRecord, Examples]:
    """The training rows of a Dataset, and its record.

    Raises:
        UserError, StudioError: as :func:`studio.data.examples.read_examples`.
        DataError: there are too few rows for what is asked.
    """
    record = read_whole_dataset(folder)
    if not record.splits.get(TRAIN):
        raise DataError(f"the dataset {record.name} has no rows in {TRAIN}. Build it with more rows.")
    rows = read_examples(folder, TRAIN, wanted_of(preset))
    check_rows(preset, rows, record.name)
    return record, rows


def check_rows(preset: ClustersPreset, rows: Examples, name: str) -> None:
    """Enough rows for the groups that are asked for, and few enough for the method.

    Raises:
        DataError, UserError: says how many there are, and what helps.
    """
    count, estimator = len(rows), preset.estimator
    if count < _FEWEST:
        raise DataError(f"{name} has {count} training rows, and groups need {_FEWEST} at least. Give more rows.")
    if not rows.columns:
        raise UserError(f"the dataset {name} leaves no column to look at. Name some: --set 'features=[a, b]'")
    if isinstance(estimator, Counted):
        _check_count(estimator, count, f"{name} has {count:,} training rows")
    if isinstance(estimator, Agglomerative) and count * (count - 1) // 2 * 8 > _MOST_PAIRWISE:
        raise UserError(
            f"agglomerative holds the distances of all pairs of rows, {count * (count - 1) * 4 / 2**30:.1f} GiB for the "
            f"{count:,} training rows of {name}; at most {_MOST_PAIRWISE / 2**30:.0f} GiB are taken. Take cluster/kmeans, or a "
            "Dataset of fewer rows."
        )


def check_matrix(preset: ClustersPreset, matrix: np.ndarray, name: str) -> None:
    """Rows that differ, in as many ways as there are to be groups.

    Args:
        matrix: the training rows in their space, float64 [n, d].
    Raises:
        DataError: all rows are the same, or too few differ.
    """
    known = matrix[has_direction(matrix)] if preset.distance == "cosine" else matrix
    if not len(known):
        raise DataError(
            f"no training row of {name} has a direction: all are zero in the space, and distance cosine compares directions. Set "
            "distance: euclidean, or give rows that say something."
        )
    different = len(np.unique(known, axis=0))
    if different == 1:
        raise DataError(
            f"all {len(known):,} training rows of {name} are the same in the columns that are looked at: there are no groups to "
            "find. Name other columns: --set 'features=[a, b]'"
        )
    if isinstance(preset.estimator, Counted):
        _check_count(preset.estimator, different, f"{name} has {different:,} different training rows")


def _check_count(estimator: Counted, count: int, there: str) -> None:
    """No more groups than rows; where groups are compared, fewer."""
    if estimator.k != "auto":
        if estimator.k > count:
            raise DataError(f"k is {estimator.k}, and {there}. Set k to {count} at most: --set estimator.k={count}")
        return
    if estimator.k_max >= count:
        raise DataError(
            f"k_max is {estimator.k_max}, and {there}; {estimator.k_max} groups would be a row each. Set it to {count - 1} at "
            f"most: --set estimator.k_max={count - 1}"
        )


def told_columns(rows: Examples) -> list[str]:
    """What people have to know about the columns: those that say nothing, and what is missing."""
    notes: list[str] = []
    for column in rows.columns:
        values = rows.features[column.name]
        missing = int(values.isna().sum())
        if values.nunique(dropna=True) <= 1:
            notes.append(f"{column.name}: the same in every training row, so that it tells no groups apart")
        elif missing and column.type == "category":
            notes.append(
                f"{column.name}: missing in {missing:,} of {len(rows):,} training rows, which is taken as a value of its own"
            )
        elif missing and column.type == "number":
            notes.append(
                f"{column.name}: missing in {missing:,} of {len(rows):,} training rows, filled as 'preparation.missing' says"
            )
    return notes
