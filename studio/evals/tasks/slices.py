"""The main figures of labels and of numbers once more for the rows with each value of a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.core.records import GroupScores, Score
from studio.evals.labelled import Labelled
from studio.evals.metrics.base import Metric
from studio.evals.metrics.classification import classification_metric, classification_statistic
from studio.evals.metrics.regression import regression_metric, regression_statistic
from studio.evals.scoring import score
from studio.evals.slicing import FEW, places_by_value
from studio.evals.statistics import Statistic
from studio.evals.task import TaskContext

# Of one model and one figure: the statistic over some of the examples.
Measure = Callable[[str, str, Sequence[int]], Statistic]

_OF_LABELS = ("accuracy", "balanced_accuracy", "f1_macro")
_OF_NUMBERS = ("mae", "rmse", "r2")


def label_slices(
    context: TaskContext[Any], found: Labelled, predicted: Mapping[str, Sequence[str | None]], labels: Sequence[str]
) -> list[GroupScores]:
    """Accuracy and its kin for each value of each column of ``found.values``; means over the labels that occur in a slice."""

    def measure(model: str, name: str, places: Sequence[int]) -> Statistic:
        truth, said = [found.truth[place] for place in places], [predicted[model][place] for place in places]
        occurring = [label for label in labels if label in truth or label in said]
        return classification_statistic(name, truth, said, occurring)

    metrics = {name: classification_metric(name) for name in _OF_LABELS}
    return _slices(context, found, list(predicted), metrics, measure)


def number_slices(
    context: TaskContext[Any], found: Labelled, truth: Sequence[float], predicted: Mapping[str, Sequence[float | None]]
) -> list[GroupScores]:
    """Errors for each value of each column of ``found.values``."""

    def measure(model: str, name: str, places: Sequence[int]) -> Statistic:
        return regression_statistic(name, [truth[place] for place in places], [predicted[model][place] for place in places])

    metrics = {name: regression_metric(name) for name in _OF_NUMBERS}
    return _slices(context, found, list(predicted), metrics, measure)


def _slices(
    context: TaskContext[Any], found: Labelled, models: Sequence[str], metrics: Mapping[str, Metric], measure: Measure
) -> list[GroupScores]:
    """Every figure for each slice."""
    groups = []
    for column, values in found.values.items():
        slices = places_by_value(column, values)
        for name, metric in metrics.items():
            scores = {
                model: [
                    _score(context, found, metric, measure(model, name, places), value, places)
                    for value, places in slices.items()
                ]
                for model in models
            }
            explains = f"The rows with each value of the column '{column}'."
            groups.append(GroupScores(title=f"{metric.title} by {column}", unit=metric.unit, explains=explains, scores=scores))
    return groups


def _score(
    context: TaskContext[Any], found: Labelled, metric: Metric, statistic: Statistic, value: str, places: Sequence[int]
) -> Score:
    """One figure of one slice; few rows are said."""
    clusters = [found.clusters[place] for place in places] if found.clusters is not None else None
    item = score(metric, statistic, resamples=context.resamples, seed=context.seed, clusters=clusters)
    return item.model_copy(update={"metric": value, "title": value, "note": "few rows" if len(places) < FEW else None})
