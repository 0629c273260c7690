"""How well groups hold on rows they were not found in, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.core.errors import UserError
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.examples import read_examples
from studio.models.clusters.criteria import silhouettes
from studio.models.clusters.opening import open_clusters
from studio.train.clusters.asking import MODEL
from studio.train.clusters.rows import wanted_of
from studio.train.measuring import Measured, mean_of

if TYPE_CHECKING:
    from studio.schema.clusters import ClustersPreset


def measure_clusters(run_folder: Path, preset: ClustersPreset, split: str) -> Measured:
    """Silhouettes of the rows of a split among each other, in the groups that the training rows gave.

    A row of no group has 0, and so have all where they fall into one group. The silhouette is taken in the run's own space: of
    two runs with different columns, scaling or reduction the higher one need not have the better groups.

    Raises:
        UserError: the Dataset has no such split, or fewer than two rows in it.
    """
    dataset = run_dataset(read_run(run_folder), Workspace.around(run_folder))
    rows = read_examples(dataset, split, wanted_of(preset))
    if len(rows) < 2:
        raise UserError(f"{dataset.parent.name} has {len(rows)} rows in {split}, and silhouettes need two at least.")
    clusters = open_clusters(run_folder / MODEL)
    matrix = clusters.space.matrix(rows.features)
    found = silhouettes(matrix, clusters.place_in(matrix).groups)
    measure = mean_of("silhouette", "Silhouette", "from -1 to 1", "higher", np.nan_to_num(found, nan=0.0).tolist())
    return Measured((measure,), tuple(rows.ids), tuple(rows.groups) if rows.groups is not None else None)
