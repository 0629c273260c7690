"""What only predictors can show, added to the finished result of a task: the first paragraph, weak spots, explanations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from studio.data.examples import Examples
from studio.evals.labelled import Labelled
from studio.evals.numbers import number
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


def _of_median(info: PredictorInfo, found: Labelled) -> list[str]:
    """How far off the median of the training rows is, which no number without a look at the rows beats in absolute error."""
    if info.task == "labels" or found.true_numbers is None or "median" not in info.baseline:
        return []
    median = info.baseline["median"]
    off = float(np.abs(np.array(found.true_numbers) - median).mean())
    return [f"Always saying the median of the training rows, {number(median)}, would be off by {number(off)} on average."]


def complete(context: TaskContext[Any], found: Labelled, result: TaskResult) -> TaskResult:
    """See :attr:`studio.evals.labelled.Asking.complete`."""
    if context.task.type == "fairness":
        return result
    kept: Kept = found.kept
    spots = weak_spots(kept.rows, kept.predictions["tuned"], found)
    lead = lead_of_labels if kept.models["tuned"].info.task == "labels" else lead_of_numbers
    result.lead = lead(kept.models["tuned"].info, found, result, spots)
    result.groups += spots.groups
    result.notes += _of_median(kept.models["tuned"].info, found)
    return result
