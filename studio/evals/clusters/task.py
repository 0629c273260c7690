"""Measuring groups: place held-out rows, hold them against rows without structure, compare with labels, show the groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError, nearest
from studio.core.records import Difference, Score
from studio.core.workspace import read_dataset, run_dataset
from studio.data.examples import Examples, Wanted, read_examples
from studio.evals.clusters.agreement import Resampled
from studio.evals.clusters.curves import choice_panel
from studio.evals.clusters.lead import lead_of, limits_of, notes_of
from studio.evals.clusters.metrics import PlacedRows, statistics_of, told_with
from studio.evals.clusters.models import (
    SHUFFLED,
    Told,
    described,
    open_run_clusters,
    to_middle,
    told_by,
    told_without_structure,
)
from studio.evals.clusters.page import cards_of, groups_panel, picture_panels, size_scores
from studio.evals.clusters.tightness import MeanSilhouette, silhouette_difference
from studio.evals.metrics.base import Metric
from studio.evals.scoring import difference, score, without_value
from studio.evals.statistics import Statistic
from studio.evals.task import NotComputedError, TaskContext, TaskResult
from studio.models.clusters.criteria import silhouettes
from studio.models.clusters.opening import Clusters
from studio.schema.cluster_scores import ClusteringTask

TRAIN = "train"
ONE_GROUP = "one group for all rows"


@dataclass(frozen=True)
class Rows:
    """What is measured.

    held_out: the rows [n]; training: those that the Run learned from, as many as are looked at. truth: labels, object [n], or
    None. data: for the report. clusters: the Run's groups.
    """

    held_out: Examples
    training: pd.DataFrame
    truth: np.ndarray | None
    data: dict[str, Any]


def run(context: TaskContext[ClusteringTask]) -> TaskResult:
    """Measure the groups of a Run on rows that it did not see.

    Raises:
        NotComputedError: the model is no Run of groups, or the Dataset has no such rows.
        UserError: a column does not exist, or the rows were trained on.
    """
    task = context.task
    clusters, record = open_run_clusters(context.targets["tuned"])
    rows = _rows_of(context, clusters)
    told, about = _told(context, clusters, rows)
    about["tuned"] = described(record, context.targets["tuned"].run)  # type: ignore[arg-type]
    metrics = told_with(task.metric_names(), _made_with(clusters))
    measured = {label: _measured(label, one, rows, context) for label, one in told.items()}
    labels, each = told["tuned"].labels, silhouettes(told["tuned"].matrix, told["tuned"].labels)
    middles = to_middle(clusters, told["tuned"])
    result = TaskResult(
        scores={label: _scores(metrics, found, label, clusters, context) for label, found in measured.items()},
        differences=_differences(metrics, measured, context),
        examples=_table(rows, told, each),
        groups=size_scores(labels, clusters.groups.k, each, resamples=context.resamples, seed=context.seed),
        notes=notes_of(clusters.info, rows.held_out, task),
        limits=limits_of(clusters.info, unfolded=clusters.space.unfolded is not None),
        cards=cards_of(rows.held_out, labels, middles, each, clusters.groups.k, task.examples_shown),
        panels=[
            groups_panel(
                rows.held_out, labels, middles, clusters.info.sizes, each, task.columns_shown, _described(clusters, rows)
            ),
            *picture_panels(told["tuned"].matrix, labels, clusters.groups.k, rows.truth, task.picture, context.seed),
            *choice_panel(clusters.info.choice),
        ],
        about=about,
        data=rows.data,
        rows=len(rows.held_out),
        title="Groups",
    )
    result.lead = lead_of(clusters.info, result)
    return result


def _rows_of(context: TaskContext[ClusteringTask], clusters: Clusters) -> Rows:
    """Held-out rows and training rows, drawn where there are many."""
    task, info = context.task, clusters.info
    assert context.run is not None
    own = run_dataset(context.run, context.workspace)
    folder = context.dataset_folder(task.data.dataset)
    if folder.resolve() == own.resolve() and task.data.split == TRAIN and task.data.training_rows != "keep":
        raise UserError(
            f"the split train of {folder.parent.name} is what the run learned from. Measure another split, or --set "
            "tasks.0.data.training_rows=keep to measure it anyway."
        )
    dataset = read_dataset(folder)
    if not dataset.splits.get(task.data.split):
        raise NotComputedError(
            f"the dataset {dataset.name} has no rows in {task.data.split}. Build it with a split of that name, or take another: "
            "--set tasks.0.data.split=validation"
        )
    wanted = Wanted(features=tuple(column.name for column in info.columns))
    found = read_examples(folder, task.data.split, wanted)
    _check_types(found, clusters, dataset.name)
    held_out = _part(found, context.draw(range(len(found)), min(task.rows, task.limit or task.rows)))
    training = read_examples(own, TRAIN, wanted).features
    places = context.draw(range(len(training)), task.rows)
    data = {
        "path": str(folder),
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "split": task.data.split,
        "rows": len(held_out),
        "rows_in_split": len(found),
    }
    truth = _truth(held_out, task.labels, dataset.name) if task.labels is not None else None
    return Rows(held_out, training.iloc[places].reset_index(drop=True), truth, data)


def _described(clusters: Clusters, rows: Rows) -> tuple[Examples, np.ndarray]:
    """Training rows and the groups they are placed in."""
    nothing = pd.DataFrame(index=rows.training.index)
    training = Examples([str(place) for place in nothing.index], rows.held_out.columns, rows.training, others=nothing)
    return training, clusters.place(rows.training).groups


def _part(rows: Examples, places: list[int]) -> Examples:
    """Some of the rows; all of them as they are."""
    return rows if len(places) == len(rows) else rows.part(places)


def _check_types(rows: Examples, clusters: Clusters, name: str) -> None:
    """Columns hold what they held in training."""
    for column, before in zip(rows.columns, clusters.info.columns, strict=True):
        if column.type != before.type:
            raise UserError(
                f"{column.name} of the dataset {name} is of type {column.type}, and the run learned it as {before.type}. Say its "
                "type under 'columns' of the recipe, or train a run on this dataset."
            )


def _truth(rows: Examples, name: str, dataset: str) -> np.ndarray:
    """The column of labels, str or None, object [n].

    Raises:
        UserError: there is none of that name.
    """
    known = {
        **{column: rows.others[column] for column in rows.others.columns},
        **{column: rows.features[column] for column in rows.features.columns},
    }
    if name not in known:
        raise UserError(
            f"labels: the rows of {dataset} have no column {name!r}.{nearest(name, known)} Columns: {', '.join(known) or 'none'}."
        )
    return np.array([None if value is None or value != value else str(value) for value in known[name]], dtype=object)


def _told(
    context: TaskContext[ClusteringTask], clusters: Clusters, rows: Rows
) -> tuple[dict[str, Told], dict[str, dict[str, Any]]]:
    """Label to its groups of the held-out rows, and what the baseline is; another Run's are measured in this Run's space."""
    task, features = context.task, rows.held_out.features
    matrix = clusters.space.matrix(features)
    told = {"tuned": told_by(clusters, clusters.space.matrix(rows.training), matrix, task.refits, context.seed)}
    about: dict[str, dict[str, Any]] = {}
    if not context.has_base:
        return told, about
    if context.targets["base"].own_base:
        told["base"] = told_without_structure(clusters, rows.training, features, task.refits, context.seed)
        about["base"] = {"kind": "baseline", "name": SHUFFLED}
        return told, about
    other, record = open_run_clusters(context.targets["base"])
    names = [column.name for column in other.info.columns]
    if missing := [name for name in names if name not in features.columns]:
        raise UserError(
            f"the baseline {record.name} looks at {', '.join(missing)}, and {context.targets['tuned'].name} does not. Compare "
            "runs with the same features."
        )
    found = told_by(other, other.space.matrix(rows.training), other.space.matrix(features), task.refits, context.seed)
    told["base"] = replace(found, matrix=matrix)
    about["base"] = described(record, context.targets["base"].run)  # type: ignore[arg-type]
    return told, about


def _measured(label: str, told: Told, rows: Rows, context: TaskContext[ClusteringTask]) -> dict[str, Statistic | str]:
    """The figures of one label. Shuffled rows have no labels: there one group for all of them stands."""
    shuffled = label == "base" and context.targets["base"].own_base
    found = statistics_of(PlacedRows(told.matrix, told.labels, told.anew, rows.truth))
    if shuffled and rows.truth is not None:
        one = PlacedRows(told.matrix, np.ones(len(told.labels), dtype=np.int64), [], rows.truth)
        found |= {name: value for name, value in statistics_of(one).items() if name in {"ari", "ami"}}
    return found


def _scores(
    metrics: dict[str, Metric],
    found: dict[str, Statistic | str],
    label: str,
    clusters: Clusters,
    context: TaskContext[ClusteringTask],
) -> list[Score]:
    """Values with intervals; the reason where there is none."""
    shuffled = label == "base" and context.targets["base"].own_base
    scores = []
    for name, metric in metrics.items():
        statistic = found[name]
        if isinstance(statistic, str):
            none = without_value(metric, statistic, 1)
            scores.append(none if not (shuffled and name == "silhouette") else _nothing_found(none))
            continue
        one = score(metric, statistic, resamples=context.resamples, seed=context.seed)
        if shuffled and name in {"ari", "ami"}:
            one = one.model_copy(update={"low": None, "high": None, "interval": "none: 0 by definition", "note": ONE_GROUP})
        if name == "in_no_group" and clusters.groups.form != "dense" and clusters.info.distance != "cosine":
            one = one.model_copy(update={"low": None, "high": None, "interval": "none: this method puts every row in a group"})
        scores.append(one)
    return scores


def _nothing_found(none: Score) -> Score:
    """A silhouette of 0, where no two groups were found in rows without structure: that is what the groups are held against."""
    return none.model_copy(
        update={
            "value": 0.0,
            "reason": None,
            "note": f"{none.reason}, which counts as 0",
            "interval": "none: no groups",
            "coverage": 1.0,
        }
    )


def _differences(
    metrics: dict[str, Metric], measured: dict[str, dict[str, Statistic | str]], context: TaskContext[ClusteringTask]
) -> list[Difference]:
    """Tuned minus base of what both have."""
    if "base" not in measured:
        return []
    shuffled = context.targets["base"].own_base
    results = []
    for name, metric in metrics.items():
        tuned, base = measured["tuned"][name], measured["base"][name]
        if name == "silhouette" and isinstance(tuned, MeanSilhouette) and (shuffled or isinstance(base, MeanSilhouette)):
            found = silhouette_difference(metric, tuned, base if isinstance(base, MeanSilhouette) else None)
        elif isinstance(tuned, str) or isinstance(base, str) or name == "in_no_group":
            continue
        else:
            found = difference(metric, Resampled(tuned), Resampled(base), resamples=context.resamples, seed=context.seed)
        if shuffled and name not in {"ari", "ami"}:
            found = found.model_copy(update={"method": f"{found.method}; shuffled rows are paired by place"})
        results.append(found)
    return results


def _table(rows: Rows, told: dict[str, Told], each: np.ndarray) -> pd.DataFrame:
    """One line per row."""
    table = pd.DataFrame({"id": rows.held_out.ids, "group": told["tuned"].labels, "distance": told["tuned"].distances})
    if told["tuned"].certainty is not None:
        table["probability"] = told["tuned"].certainty
    table["silhouette"] = each
    if rows.truth is not None:
        table["label"] = rows.truth
    if "base" in told:
        table["base_group"] = told["base"].labels
    return table


def _made_with(clusters: Clusters) -> str:
    """Library and space."""
    from importlib.metadata import version

    info = clusters.info
    return (
        f"scikit-learn {version('scikit-learn')}, {info.distance} distances in the run's space of {info.dimensions:,} dimensions"
    )
