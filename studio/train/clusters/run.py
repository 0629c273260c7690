"""The training of groups, top to bottom: read the rows, fit the space, choose how many, find them, save, tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.core.files import new_folder
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.examples import Examples
from studio.models.bases import ResolvedBase
from studio.models.clusters.base import Choice, ClustersInfo
from studio.models.clusters.fitting import find_groups
from studio.models.clusters.groups import NONE, Groups
from studio.models.clusters.opening import Clusters, placed, save_clusters
from studio.models.clusters.space import has_direction
from studio.schema.clusters import Counted
from studio.train.clusters.choosing import Looked, choose, drawn_rows, part_of
from studio.train.clusters.embeddings import find_base
from studio.train.clusters.rows import check_matrix, read_training_rows, told_columns
from studio.train.clusters.spaces import fit_space
from studio.train.ending import close_well, plain_words, to_the_end
from studio.train.opening import Say
from studio.train.predictors.describing import file_rules, fillings_of
from studio.train.record import mark_running
from studio.train.recording import StopOnSignal

if TYPE_CHECKING:
    from studio.schema.clusters import ClustersPreset

MODEL = "model"


@dataclass(frozen=True)
class Grouped:
    """Groups that were found. notes: what people have to know."""

    clusters: Clusters
    notes: list[str]


def train_clusters(run_folder: Path, preset: ClustersPreset, *, say: Say) -> RunRecord:
    """Train an opened Run. It takes no checkpoints: a resumed one begins again, and ends with the same bits.

    Raises:
        InterruptedRunError: a signal came.
        UserError, StudioError: what is wrong; the record says ``failed``.
    """

    def story(stop: StopOnSignal) -> None:
        started = time.monotonic()
        mark_running(run_folder)
        record = read_run(run_folder)
        dataset, rows = read_training_rows(run_dataset(record, Workspace.around(run_folder)), preset)
        base = find_base(preset, rows.columns, record)
        with plain_words(run_folder, lambda: "the groups could not be written"):
            found = group_rows(preset, rows, dataset.name, base=base, say=say, stopped=lambda: stop.stopped)
            if stop.stopped:
                return
            info = found.clusters.info
            info = info.model_copy(update={"extra": info.extra | file_rules(dataset, info.columns)})
            with new_folder(run_folder / MODEL) as place:
                save_clusters(replace(found.clusters, info=info), place)
        result = result_of(found, len(rows)) | {"training_seconds": round(time.monotonic() - started, 2)}
        close_well(run_folder, result, MODEL, "config.yaml")

    return to_the_end(run_folder, story)


def group_rows(
    preset: ClustersPreset,
    rows: Examples,
    name: str,
    *,
    base: ResolvedBase | None = None,
    say: Say = lambda _text: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Grouped:
    """Groups of rows, from the preset to what is saved; nothing is read or written.

    Args:
        name: of the Dataset, for messages. base: see :func:`fit_space`. stopped: says whether a signal came.
    Raises:
        DataError, UserError: the rows give no groups as asked.
    """
    notes = [*rows.notes, *told_columns(rows)]
    space, explained = fit_space(preset, rows.columns, rows.features, notes.append, base)
    matrix = space.matrix(rows.features)
    check_matrix(preset, matrix, name)
    known = np.flatnonzero(has_direction(matrix)) if preset.distance == "cosine" else np.arange(len(matrix))
    if len(known) < len(matrix):
        notes.append(
            f"{len(matrix) - len(known):,} of {len(matrix):,} training rows are zero, have no direction, and belong to none"
        )
    for note in notes:
        say(note)
    places = known[drawn_rows(len(known), preset.choosing.rows, preset.seed)]
    if len(places) < len(known):
        notes.append(
            f"{len(places):,} of {len(known):,} rows, drawn with the seed, were looked at to judge groups and their number"
        )
        say(notes[-1])
    choice = choose(
        Looked(part_of(rows.features, places), matrix[places], space, preset.estimator, preset.choosing, preset.seed, stopped)
    )
    found = find_groups(matrix[known], preset.estimator, choice.k if isinstance(preset.estimator, Counted) else None, preset.seed)
    labels = np.full(len(matrix), NONE, dtype=np.int64)
    labels[known] = found.labels
    info = describe(preset, rows, choice.model_copy(update={"k": found.groups.k}), labels, matrix, found.groups)
    info = info.model_copy(update={"explained": explained, "without_direction": len(matrix) - len(known)})
    for sentence in choice.told:
        say(sentence)
    return Grouped(Clusters(info, space, found.groups), notes)


def describe(
    preset: ClustersPreset, rows: Examples, choice: Choice, labels: np.ndarray, matrix: np.ndarray, groups: Groups
) -> ClustersInfo:
    """What is known of groups beside their arrays; labels: the group of each training row, int64 [n]."""
    sizes = np.bincount(labels, minlength=groups.k + 1)
    return ClustersInfo(
        form=groups.form,
        estimator=preset.estimator.model_dump(mode="json"),
        columns=list(rows.columns),
        fillings=fillings_of(rows),
        distance=preset.distance,
        texts=preset.texts,
        pictures=preset.pictures,
        dimensions=matrix.shape[1],
        sizes=[int(size) for size in sizes[1:]],
        in_no_group=int(sizes[NONE]),
        placed_again=float(np.mean(placed(groups, matrix, preset.distance).groups == labels)),
        choice=choice,
        extra={"extra_columns": preset.extra_columns, "missing_columns": preset.missing_columns},
    )


def result_of(found: Grouped, rows: int) -> dict[str, Any]:
    """What stands in ``run.json``."""
    info = found.clusters.info
    return {
        "rows": rows,
        "columns": len(info.columns),
        "dimensions": info.dimensions,
        "groups": info.choice.k,
        "sizes": info.sizes,
        "in_no_group": info.in_no_group,
        "placed_again": info.placed_again,
        "structure": info.choice.structure.found,
        "silhouette": info.choice.structure.silhouette,
        "told": info.choice.told,
        "notes": found.notes,
    }
