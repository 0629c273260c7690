"""Saved groups: written beside a training, opened from arrays and JSON; opening runs no code of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.core.records import read_record
from studio.models.clusters.base import DESCRIPTION, ClustersInfo
from studio.models.clusters.fitting import one_thread
from studio.models.clusters.groups import FORMS, NONE, Groups, Placement
from studio.models.clusters.space import EMBEDDING, Embeds, Space, has_direction
from studio.models.clusters.unfolding import Unfolded

GROUPS = "groups.safetensors"
UNFOLDED = "unfolded.safetensors"


@dataclass(frozen=True)
class Clusters:
    """Groups with the space they lie in."""

    info: ClustersInfo
    space: Space
    groups: Groups

    def place(self, features: pd.DataFrame) -> Placement:
        """Where rows belong.

        Args:
            features: the columns of ``info.columns``, as :class:`studio.data.examples.Examples` has them.
        """
        return self.place_in(self.space.matrix(features))

    def place_in(self, matrix: np.ndarray) -> Placement:
        """Where rows of the space belong, float64 [n, d]; under cosine rows of zeros belong to none."""
        return placed(self.groups, matrix, self.info.distance)


def placed(groups: Groups, matrix: np.ndarray, distance: str) -> Placement:
    """Where rows of a space belong; under cosine rows of zeros, which have no direction, belong to none."""
    with one_thread():
        found = groups.place(matrix)
    if distance != "cosine":
        return found
    known = has_direction(matrix)
    return Placement(np.where(known, found.groups, NONE), np.where(known, found.distances, np.nan), found.probabilities)


def save_clusters(clusters: Clusters, folder: Path) -> None:
    """Write groups into an empty folder; their description goes last."""
    from safetensors.numpy import save_file

    clusters.space.write(folder)
    if clusters.space.unfolded is not None:
        save_file(clusters.space.unfolded.arrays(), folder / UNFOLDED)
    save_file({name: np.ascontiguousarray(values) for name, values in clusters.groups.arrays().items()}, folder / GROUPS)
    write_json(folder / DESCRIPTION, clusters.info.model_dump(mode="json"))


def read_clusters_info(folder: Path) -> ClustersInfo:
    """The description of saved groups.

    Raises:
        StudioError: the folder holds none, or it is damaged.
    """
    return read_record(folder / DESCRIPTION, ClustersInfo)


def open_clusters(folder: Path) -> Clusters:
    """The groups of a Run's ``model/`` folder.

    Raises:
        StudioError: they are missing, damaged, or of a form that this studio does not know.
    """
    info = read_clusters_info(folder)
    if info.form not in FORMS:
        raise StudioError(f"{folder} holds groups of form {info.form!r}, and this studio knows {', '.join(FORMS)}. Update it.")
    try:
        places = Unfolded.of_arrays(_arrays(folder / UNFOLDED)) if (folder / UNFOLDED).is_file() else None
        groups = FORMS[info.form].of_arrays(_arrays(folder / GROUPS))
    except KeyError as error:
        raise StudioError(f"{folder} lacks the array {error}. Train the run again.") from error
    space = Space.load(folder, info.columns, info.distance, _embedding(folder / EMBEDDING), places)
    return Clusters(info, space, groups)


def _embedding(folder: Path) -> Embeds | None:
    """The network that looks at texts or pictures; None where there is none."""
    if not folder.is_dir():
        return None
    from studio.models.clusters.embedding import load_embedding

    return load_embedding(folder)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of safetensors.

    Raises:
        StudioError: it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError, ValueError) as error:
        raise StudioError(f"{path} cannot be opened ({str(error).splitlines()[0]}). Train the run again.") from error
