"""Where the rows of a person's file belong: the group of each, how far from it, how likely."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from studio.core.errors import UserError, nearest
from studio.core.workspace import read_run
from studio.models.clusters.base import ClustersInfo
from studio.models.clusters.exported import ExportedClusters, open_exported
from studio.models.clusters.groups import FORMS, NONE, Placement
from studio.models.clusters.opening import Clusters, open_clusters
from studio.models.exported import is_export
from studio.train.kinds import Answers
from studio.train.predictors.files import Known, read_source, read_text

MODEL = "model"
NO_GROUP = "none"
"""What stands for the group of a row that belongs to none."""
_ALLOWED = {"missing_columns": ("refuse", "fill"), "extra_columns": ("ignore", "refuse"), "probabilities": ("true", "false")}
_OPTIONS = ("text", *_ALLOWED)
GROUP, DISTANCE, PROBABILITY = "group", "distance", "probability"
# Below this share, the placing of rows is an approximation that people have to know of.
_PLACED_AGAIN = 0.995
_AT_ONCE = 10_000
"""Rows that are placed together: a large file needs no more memory than these."""


def place_file(folder: Path, source: str | None, options: Mapping[str, str]) -> Answers:
    """The group of each row of a file.

    Raises:
        UserError, DataError: the file cannot be read or lacks columns, or an option is unknown.
        StudioError: the groups are damaged.
    """
    _check(folder, source, options)
    clusters = open_exported(folder) if is_export(folder) else open_clusters(folder / MODEL)
    info = clusters.info
    changed = {name: options[name] for name in ("missing_columns", "extra_columns") if name in options}
    known = Known(info.columns, info.fillings, None, info.extra | changed)
    found = read_source(known, source) if source is not None else read_text(known, options["text"])
    if taken := [name for name in found.rows.columns if name in {GROUP, DISTANCE, PROBABILITY}]:
        raise UserError(f"the file has a column {taken[0]!r} already, which is written here. Rename it.")
    placement = place_rows(clusters, found.features)
    table = table_of(placement, probabilities=options.get("probabilities") == "true")
    return Answers(table, found.rows, (*found.notes, *notes_of(placement, info)))


def place_rows(clusters: Clusters | ExportedClusters, features: pd.DataFrame) -> Placement:
    """Where any number of rows belong."""
    starts = range(0, max(1, len(features)), _AT_ONCE)
    parts = [clusters.place(features.iloc[start : start + _AT_ONCE].reset_index(drop=True)) for start in starts]
    shares = [part.probabilities for part in parts if part.probabilities is not None]
    return Placement(
        np.concatenate([part.groups for part in parts]),
        np.concatenate([part.distances for part in parts]),
        np.concatenate(shares) if shares else None,
    )


def table_of(placement: Placement, *, probabilities: bool) -> pd.DataFrame:
    """The columns that are written: group, distance, and of a mixture its probability or that of every group."""
    names = [NO_GROUP if group == NONE else str(group) for group in placement.groups]
    columns: dict[str, np.ndarray] = {GROUP: np.array(names, dtype=object), DISTANCE: placement.distances}
    shares = placement.probabilities
    if shares is not None and probabilities:
        columns |= {f"{PROBABILITY} of {place + 1}": shares[:, place] for place in range(shares.shape[1])}
    elif shares is not None:
        columns[PROBABILITY] = shares.max(axis=1, initial=0.0)
    return pd.DataFrame(columns)


def notes_of(placement: Placement, info: ClustersInfo) -> list[str]:
    """What people have to know of the answers."""
    notes = [] if info.choice.structure.found else [info.choice.told[0]]
    notes.append(f"the distance is {FORMS[info.form].distance_is}")
    if info.placed_again < _PLACED_AGAIN:
        how = "by the nearest mean of a group" if info.form == "centres" else "by the training rows near them"
        notes.append(f"rows are placed {how}, which agrees with the training on {info.placed_again:.1%} of its rows")
    if gone := int((placement.groups == NONE).sum()):
        notes.append(f"{gone:,} of {len(placement.groups):,} rows are in no group")
    return notes


def _check(folder: Path, source: str | None, options: Mapping[str, str]) -> None:
    """A run that is finished or an export of one, options that exist, and something to place."""
    run = str(folder) if is_export(folder) else f"{folder.parent.name}/{folder.name}"
    if not is_export(folder) and (record := read_run(folder)).status != "finished":
        raise UserError(f"the run {run} is {record.status} and cannot be asked. Finish it: studio train --resume {run}")
    for name, value in options.items():
        if name not in _OPTIONS:
            raise UserError(f"groups have no option {name!r}.{nearest(name, _OPTIONS)} Options: {', '.join(_OPTIONS)}.")
        allowed = _ALLOWED.get(name, ())
        if allowed and value not in allowed:
            raise UserError(f"{name} is {value!r}.{nearest(value, allowed)} Allowed: {', '.join(allowed)}.")
    if source is not None and "text" in options:
        raise UserError(f"--text {options['text']!r} and {source}: give one of the two.")
    if source is None and "text" not in options:
        raise UserError(
            f"which file? Give one with the columns of the training, or '-' for csv by a pipe: studio predict {run} FILE"
        )
