"""What finding groups takes, before it starts: memory from the size of the space, time from one measured grouping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from studio.core.errors import GateNotMetError
from studio.core.telling import duration_text, size_text
from studio.core.workspace import Workspace
from studio.models.clusters.fitting import find_groups
from studio.schema.clusters import Agglomerative, Counted
from studio.train.capacity import memory_of
from studio.train.clusters.choosing import STARTS, drawn_rows, part_of
from studio.train.clusters.embeddings import find_base
from studio.train.clusters.rows import check_matrix, read_training_rows
from studio.train.clusters.spaces import fit_space
from studio.train.kinds import PlanWish
from studio.train.opening import named_dataset

if TYPE_CHECKING:
    from studio.schema.clusters import ClustersPreset

# The rows as they are read, prepared, and in the space; libraries hold a copy or two while they compute.
_COPIES = 4


def plan_groups(
    preset: ClustersPreset, workspace: Workspace, wish: PlanWish
) -> tuple[list[tuple[str, object]], Callable[[], None]]:
    """Rows of a plan, and the check that it fits.

    Raises:
        UserError, DataError: preset and Dataset do not fit each other.
    """
    dataset, rows = read_training_rows(workspace.find_dataset(named_dataset(preset.data, workspace)), preset)
    drawn = part_of(rows.features, drawn_rows(len(rows), preset.choosing.rows, preset.seed))
    space, _ = fit_space(preset, rows.columns, drawn, lambda _text: None, find_base(preset, rows.columns))
    matrix = space.matrix(drawn)
    check_matrix(preset, matrix, dataset.name)
    count = groupings(preset)
    seconds = count * seconds_of_one(preset, matrix)
    memory = int(rows.features.memory_usage(deep=True).sum()) + _COPIES * len(rows) * matrix.shape[1] * 8
    if isinstance(preset.estimator, Agglomerative):
        memory += len(rows) * (len(rows) - 1) // 2 * 8
    told: list[tuple[str, object]] = [
        ("estimator", preset.estimator.type),
        ("rows", f"{len(rows):,}, {len(rows.columns)} columns"),
        ("space", f"{matrix.shape[1]:,} dimensions"),
        ("groupings", f"{count:,}, of {len(matrix):,} rows each at most, to judge their number"),
        ("memory", size_text(memory)),
        ("time", f"about {duration_text(seconds)} for that"),
    ]

    def check() -> None:
        free = wish.memory if wish.memory is not None else memory_of("cpu")
        if free is not None and memory > free:
            raise GateNotMetError(
                f"the groups of {dataset.name} take {size_text(memory)} of memory, and {size_text(free)} are free. Reduce "
                "further (reduce.type: svd, reduce.dimensions: 50), or take cluster/kmeans and fewer rows."
            )

    return told, check


def seconds_of_one(preset: ClustersPreset, matrix: np.ndarray) -> float:
    """Seconds that one grouping takes, the quicker of two: the first also imports what it needs."""
    counts = preset.estimator.k_max if isinstance(preset.estimator, Counted) else None
    times = []
    for _ in range(2):
        started = time.perf_counter()
        find_groups(matrix, preset.estimator, counts, preset.seed, restarts=STARTS)
        times.append(time.perf_counter() - started)
    return min(times)


def groupings(preset: ClustersPreset) -> int:
    """How often rows are grouped to judge their number, one start set for one number of groups each."""
    settings, estimator = preset.choosing, preset.estimator
    if not isinstance(estimator, Counted) or estimator.k != "auto":
        return 1 + settings.shuffles
    tried = estimator.k_max - estimator.k_min + 1
    shuffled = tried if estimator.choose_by == "silhouette" else 1
    return tried * (1 + settings.refits) + (tried + 1) * settings.references + shuffled * settings.shuffles
