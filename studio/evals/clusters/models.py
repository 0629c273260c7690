"""The groups under measurement: the Run's own, another Run's, and what the same method finds in rows without structure.

Legend: n held-out rows, m training rows, d dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.evals.targets import Target
from studio.evals.task import NotComputedError
from studio.models.clusters.fitting import find_groups
from studio.models.clusters.groups import NONE, Groups
from studio.models.clusters.opening import Clusters, open_clusters, placed
from studio.models.clusters.space import has_direction
from studio.schema.clusters import ClusterEstimator, Counted

MODEL = "model"
KIND = "clusters"
# Groups found anew are begun from fewer starts than those of the Run, as in the training.
_STARTS = 3
SHUFFLED = "the same method on rows whose columns were shuffled"


@dataclass(frozen=True)
class Told:
    """Groups of held-out rows.

    labels: int64 [n]. distances: float64 [n]. certainty: probability of the given group, float64 [n], None without any. anew:
    labels by groups found in bootstrap samples of the training rows, [n] each. matrix: the rows in the space they were placed
    in, [n, d].
    """

    labels: np.ndarray
    distances: np.ndarray
    certainty: np.ndarray | None
    anew: list[np.ndarray]
    matrix: np.ndarray


def open_run_clusters(target: Target) -> tuple[Clusters, RunRecord]:
    """The groups of a Run.

    Raises:
        NotComputedError: it is no Run of groups. UserError: it is not finished. StudioError: it is damaged.
    """
    record = read_run(target.run) if target.run is not None else None
    if target.run is None or record is None or record.kind != KIND:
        raise NotComputedError(f"{target.name} is no run of kind {KIND}, and this task measures groups. Give one: --model RUN")
    if record.status != "finished":
        raise UserError(
            f"the run {target.name} is {record.status} and cannot be measured. Finish it: studio train --resume {record.id}"
        )
    return open_clusters(target.run / MODEL), record


def estimator_of(clusters: Clusters) -> ClusterEstimator:
    """The settings by which groups were found."""
    found: ClusterEstimator = TypeAdapter(ClusterEstimator).validate_python(clusters.info.estimator)
    return found


def told_by(clusters: Clusters, training: np.ndarray, matrix: np.ndarray, refits: int, seed: int) -> Told:
    """What a Run's groups say of held-out rows.

    training: rows [m, d] and matrix [n, d] in its space.
    """
    return _told(clusters, clusters.groups, training, matrix, refits, seed)


def told_without_structure(clusters: Clusters, training: pd.DataFrame, features: pd.DataFrame, refits: int, seed: int) -> Told:
    """What the same method finds in training rows whose columns were shuffled, and says of held-out rows shuffled likewise."""
    before = clusters.space.shuffled(training, seed)
    space = clusters.space.anew(before)
    rows, matrix = space.after(before), space.after(clusters.space.shuffled(features, seed + 1))
    groups = _found(clusters, rows, seed, restarts=None)
    return _told(clusters, groups, rows, matrix, refits, seed)


def _told(clusters: Clusters, groups: Groups, training: np.ndarray, matrix: np.ndarray, refits: int, seed: int) -> Told:
    """Groups, and the same rows by groups found anew."""
    distance = clusters.info.distance
    placement = placed(groups, matrix, distance)
    anew = []
    for drawn in np.random.SeedSequence(seed).spawn(refits):
        rows = training[np.random.default_rng(drawn).integers(0, len(training), len(training))]
        anew.append(placed(_found(clusters, rows, seed, restarts=_STARTS), matrix, distance).groups)
    certainty = None if placement.probabilities is None else placement.probabilities.max(axis=1, initial=0.0)
    return Told(placement.groups, placement.distances, certainty, anew, matrix)


def _found(clusters: Clusters, rows: np.ndarray, seed: int, restarts: int | None) -> Groups:
    """Groups in rows, as the Run found its own; as many, unless so few of the rows differ."""
    estimator = estimator_of(clusters)
    known = rows[has_direction(rows)] if clusters.info.distance == "cosine" else rows
    wanted = None
    if isinstance(estimator, Counted):
        wanted = min(clusters.info.choice.k, len(np.unique(known, axis=0)))
    return find_groups(known, estimator, wanted, seed, restarts=restarts).groups


def to_middle(clusters: Clusters, told: Told) -> np.ndarray:
    """How far each row is from the middle of its group, float64 [n]; NaN in none."""
    if clusters.groups.form != "dense":
        return told.distances
    found = np.full(len(told.labels), np.nan)
    inside = told.labels != NONE
    if inside.any():
        found[inside] = np.linalg.norm(told.matrix[inside] - clusters.groups.centres()[told.labels[inside] - 1], axis=1)
    return found


def described(record: RunRecord, folder: Path) -> dict[str, Any]:
    """What a Run is, for the report."""
    return {"kind": "predictor", "name": record.name, "id": record.id, "path": str(folder), "method": record.method, "base": None}
