"""Numbers against the truth: errors, explained variance, rank correlation, and the examples furthest off."""

from __future__ import annotations

import pandas as pd

from studio.core.records import Score
from studio.evals.labelled import Labelled, labelled_rows
from studio.evals.metrics.base import mean_statistic
from studio.evals.metrics.regression import regression_metric, regression_statistic
from studio.evals.number_reading import Decimal, free_number, strict_number
from studio.evals.numbers import number
from studio.evals.scoring import differences, score
from studio.evals.statistics import Statistic
from studio.evals.task import Card, CardGroup, NotComputedError, Part, TaskContext, TaskResult
from studio.schema.tasks import RegressionTask


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
    read = strict_number if task.predictions is not None and task.predictions.holds == "labels" else free_number
    predicted = {label: [read(value, task.decimal) for value in said] for label, said in found.said.items()}
    metrics = {name: regression_metric(name) for name in task.metric_names()}
    measured: dict[str, dict[str, Statistic]] = {}
    for label, values in predicted.items():
        measured[label] = {name: regression_statistic(name, truth, values) for name in metrics if name != "unparsed"}
        measured[label]["unparsed"] = mean_statistic([float(value is None) for value in values])
    scores: dict[str, list[Score]] = {
        label: [
            score(metric, statistics[name], resamples=context.resamples, seed=context.seed, clusters=found.clusters)
            for name, metric in metrics.items()
        ]
        for label, statistics in measured.items()
    }
    table = pd.DataFrame({"id": found.ids, "prompt": found.prompts or [""] * len(found.ids), "truth": truth})
    for label, values in predicted.items():
        table[f"{label}_answer"], table[f"{label}_number"] = found.said[label], values
    notes = list(found.notes)
    for label, values in predicted.items():
        unread = [said for said, value in zip(found.said[label], values, strict=True) if value is None]
        if unread:
            unclear = any(read(said, ",") is not None for said in unread) and task.decimal is None
            notes.append(
                f"{label}: in {len(unread)} of {len(truth)} answers not exactly one number was found; they are left out."
                + (" Say with decimal whether their comma is a decimal sign or one of thousands." if unclear else "")
            )
    if len(truth) < 30:
        notes.append(f"Only {len(truth)} examples: intervals from so few are wide, and small differences cannot be seen.")
    return TaskResult(
        scores=scores,
        differences=differences(metrics, measured, resamples=context.resamples, seed=context.seed, clusters=found.clusters),
        examples=table,
        notes=notes,
        limits=["Errors are means over all examples: a model may be far off for a kind of case that is rare here."],
        cards=_furthest(found, truth, predicted, task.examples_shown),
        data=found.data,
        rows=len(truth),
        title="Regression",
    )


def _numbers_of(found: Labelled, decimal: Decimal | None) -> list[float]:
    """The truth as numbers.

    Raises:
        NotComputedError: it is not numbers, or one may be read in two ways.
    """
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


def _furthest(found: Labelled, truth: list[float], predicted: dict[str, list[float | None]], count: int) -> list[CardGroup]:
    """The examples on which the tuned model is furthest off."""
    errors = [(abs(value - truth[place]), place) for place, value in enumerate(predicted["tuned"]) if value is not None]
    places = [place for _, place in sorted(errors, key=lambda pair: (-pair[0], pair[1]))[:count]]
    cards = [
        Card(
            found.ids[place],
            [*([Part("asked", found.prompts[place])] if found.prompts else []), Part("true value", number(truth[place]))],
            [
                Part(label, found.said[label][place], f"read as {number(predicted[label][place])}")
                for label in ("base", "tuned")
                if label in predicted
            ],
        )
        for place in places
    ]
    return [CardGroup("Furthest off", cards)] if cards else []
