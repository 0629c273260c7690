"""Numbers against the truth: errors, explained variance, rank correlation, and the examples furthest off."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from studio.core.records import Score
from studio.evals.labelled import Labelled, completed, labelled_rows
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.metrics.bounds import bound_metrics, bound_statistic
from studio.evals.metrics.regression import regression_metric, regression_statistic
from studio.evals.numbers import number
from studio.evals.scoring import differences, score
from studio.evals.statistics import Statistic
from studio.evals.task import Card, CardGroup, NotComputedError, Part, TaskContext, TaskResult
from studio.evals.tasks.residuals import residual_panels
from studio.evals.tasks.slices import number_slices
from studio.language.number_reading import Decimal, free_number, strict_number
from studio.schema.tasks import RegressionTask

_OF_ERRORS = ("mae", "median_ae", "rmse", "mse", "r2", "spearman")


def run(context: TaskContext[RegressionTask]) -> TaskResult:
    """Score the numbers of every model.

    Raises:
        DataError: a column or file is missing. NotComputedError: the truth is not numbers, or there is no data.
    """
    task = context.task
    found, asking = labelled_rows(context, None)
    truth = _numbers_of(found, task.decimal)
    if asking is not None:
        asking.answers(context, found, ())
    read = _reader(task)
    predicted = found.numbers or {label: [read(value, task.decimal) for value in said] for label, said in found.said.items()}
    metrics, measured = _measured(found, truth, predicted)
    scores = {
        label: [_score(context, found, metrics[name], statistic) for name, statistic in statistics.items()]
        for label, statistics in measured.items()
    }
    result = TaskResult(
        scores=scores,
        differences=differences(
            # Where nothing is read off a text, that both have read all of it is no comparison.
            {name: metric for name, metric in metrics.items() if name != "unparsed" or not found.numbers},
            measured,
            resamples=context.resamples,
            seed=context.seed,
            clusters=found.clusters,
        ),
        examples=_examples(found, truth, predicted),
        groups=number_slices(context, found, truth, predicted),
        notes=[*found.notes, *_notes(context, found, truth, predicted)],
        limits=["Errors are means over all examples: a model may be far off for a kind of case that is rare here."],
        cards=_furthest(found, truth, predicted, task.examples_shown),
        panels=residual_panels(truth, predicted["tuned"]),
        data=found.data,
        rows=len(truth),
        title="Regression",
    )
    return completed(context, asking, found, result)


def _reader(task: RegressionTask) -> Callable[[str | None, Decimal | None], float | None]:
    """How numbers are read: a column holds nothing else."""
    return strict_number if task.predictions is not None and task.predictions.holds == "labels" else free_number


def _measured(
    found: Labelled, truth: list[float], predicted: Mapping[str, list[float | None]]
) -> tuple[dict[str, Metric], dict[str, dict[str, Statistic]]]:
    """What is measured, and the statistics of each model."""
    metrics = {name: regression_metric(name) for name in (*_OF_ERRORS, "unparsed")}
    measured: dict[str, dict[str, Statistic]] = {}
    for label, values in predicted.items():
        measured[label] = {name: regression_statistic(name, truth, values, found.clusters) for name in _OF_ERRORS}
        measured[label]["unparsed"] = mean_statistic([float(value is None) for value in values])
    if found.bounds:
        metrics |= bound_metrics(found.level)
        for label, bounds in found.bounds.items():
            measured[label] |= {name: bound_statistic(name, truth, bounds) for name in ("interval_coverage", "interval_width")}
    return metrics, measured


def _score(context: TaskContext[RegressionTask], found: Labelled, metric: Metric, statistic: Statistic) -> Score:
    """One figure; that all could be read is certain where nothing is read."""
    item = score(metric, statistic, resamples=context.resamples, seed=context.seed, clusters=found.clusters)
    if metric.key == "unparsed" and found.numbers and item.value == 0:
        return item.model_copy(
            update={"low": 0.0, "high": 0.0, "interval": "nothing is read off a text: the model gives numbers"}
        )
    return item


def _examples(found: Labelled, truth: list[float], predicted: Mapping[str, list[float | None]]) -> pd.DataFrame:
    """One line per example: truth, and for each model what it said, the number read from it, and its interval."""
    table = pd.DataFrame({"id": found.ids, "prompt": found.prompts or [""] * len(found.ids), "truth": truth})
    for label, values in predicted.items():
        table[f"{label}_answer"], table[f"{label}_number"] = found.said[label], values
        if label in found.bounds:
            table[f"{label}_low"] = [low for low, _ in found.bounds[label]]
            table[f"{label}_high"] = [high for _, high in found.bounds[label]]
    return table


def _notes(
    context: TaskContext[RegressionTask], found: Labelled, truth: list[float], predicted: Mapping[str, list[float | None]]
) -> list[str]:
    """Answers in which no number was found, and few examples."""
    notes, read = [], _reader(context.task)
    for label, values in predicted.items():
        unread = [said for said, value in zip(found.said[label], values, strict=True) if value is None]
        if unread:
            decimal = context.task.decimal
            unclear = decimal is None and any(read(said, ",") is not None for said in unread)
            notes.append(
                f"{label}: in {len(unread)} of {len(truth)} answers not exactly one number was found; they are left out."
                + (" Say with decimal whether their comma is a decimal sign or one of thousands." if unclear else "")
            )
    if len(truth) < 30:
        notes.append(f"Only {len(truth)} examples: intervals from so few are wide, and small differences cannot be seen.")
    return notes


def _numbers_of(found: Labelled, decimal: Decimal | None) -> list[float]:
    """The truth as numbers.

    Raises:
        NotComputedError: it is not numbers, or one may be read in two ways.
    """
    if found.true_numbers is not None:
        return found.true_numbers
    values = []
    for text in found.truth:
        value = strict_number(text, decimal)
        if value is None:
            unclear = decimal is None and strict_number(text, ",") is not None
            raise NotComputedError(
                f"the true value {text[:60]!r} may be read in two ways. Say with decimal which sign is the decimal one."
                if unclear
                else f"the true value {text[:60]!r} is not a number. Name a column of numbers with label_column, or give "
                "predictions.file."
            )
        values.append(value)
    return values


def _furthest(found: Labelled, truth: list[float], predicted: Mapping[str, list[float | None]], count: int) -> list[CardGroup]:
    """The examples on which the tuned model is furthest off."""
    errors = [(abs(value - truth[place]), place) for place, value in enumerate(predicted["tuned"]) if value is not None]
    places = [place for _, place in sorted(errors, key=lambda pair: (-pair[0], pair[1]))[:count]]
    cards = []
    for place in places:
        parts, picture = found.shown(place)
        sides = [
            Part(found.called(label), *_said(found, label, place, predicted[label][place]))
            for label in ("base", "tuned")
            if label in predicted
        ]
        cards.append(Card(found.ids[place], [*parts, Part("true value", number(truth[place]))], sides, picture))
    return [CardGroup("Furthest off", cards)] if cards else []


def _said(found: Labelled, label: str, place: int, value: float | None) -> tuple[str | None, str]:
    """What a model said, and the number read from it, or the interval around it."""
    if not found.numbers:
        return found.said[label][place], f"read as {number(value)}"
    if label in found.bounds:
        low, high = found.bounds[label][place]
        return number(value), f"{number(low)} to {number(high)}"
    return number(value), ""
