"""What only predictors can show, added to the finished result of a task: the first paragraph, weak spots, explanations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from studio.data.examples import Examples
from studio.evals.labelled import Labelled
from studio.evals.numbers import figure, number
from studio.evals.predictors.explaining import explained
from studio.evals.predictors.lead import lead_of_labels, lead_of_numbers
from studio.evals.predictors.weak import weak_spots
from studio.evals.task import TaskContext, TaskResult
from studio.models.predictors.base import Prediction, Predictor, PredictorInfo


@dataclass
class Kept:
    """What was read and opened for a task.

    models, predictions: by label. rows: in the order of the examples.
    """

    models: dict[str, Predictor]
    rows: Examples
    predictions: dict[str, Prediction] = field(default_factory=dict)


def _of_numbers(info: PredictorInfo, found: Labelled, result: TaskResult) -> list[str]:
    """How far off the median of the training rows is, which no number without a look at the rows beats in absolute error; and
    intervals that hold less than they are made to.
    """
    if info.task == "labels" or found.true_numbers is None:
        return []
    notes = []
    if "median" in info.baseline:
        off = float(np.abs(np.array(found.true_numbers) - info.baseline["median"]).mean())
        notes.append(
            f"Always saying the median of the training rows, {number(info.baseline['median'])}, would be off by {number(off)} on "
            "average."
        )
    covered = next((score for score in result.scores["tuned"] if score.metric == "interval_coverage"), None)
    if covered is not None and covered.high is not None and found.level is not None and covered.high < found.level:
        notes.append(
            f"The intervals are too narrow for these rows: made to hold {found.level:.0%} of the true values, they hold "
            f"{figure(covered.value, 'share')} ({figure(covered.low, 'share')} to {figure(covered.high, 'share')}). Rows like "
            "these may be unlike the validation rows that their width was taken from, or training was stopped by the same rows."
        )
    return notes


def complete(context: TaskContext[Any], found: Labelled, result: TaskResult) -> TaskResult:
    """See :attr:`studio.evals.labelled.Asking.complete`."""
    if context.task.type == "fairness":
        return result
    kept: Kept = found.kept
    spots = weak_spots(kept.rows, kept.predictions["tuned"], found)
    lead = lead_of_labels if kept.models["tuned"].info.task == "labels" else lead_of_numbers
    result.lead = lead(kept.models["tuned"].info, found, result, spots)
    result.groups += spots.groups
    result.notes += _of_numbers(kept.models["tuned"].info, found, result)
    why = explained(context, found, kept.models["tuned"], kept.rows)
    result.groups += why.groups
    result.panels += why.panels
    result.notes += why.notes
    result.limits += why.limits
    return result
