"""What models did, example by example, as fairness compares it between groups: the outcome given, and how good it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.core.errors import DataError, nearest
from studio.evals.label_reading import strict_label
from studio.evals.labelled import Asking, Labelled, read_labels, unread_examples
from studio.evals.metrics.base import Metric
from studio.evals.pieces import Floats
from studio.evals.task import TaskContext
from studio.schema.tasks import ClassificationTask, FairnessTask


@dataclass(frozen=True)
class Outcomes:
    """What one model did, example by example.

    right: quality of each example, nan where it has none. positive: 1 where the good outcome was given, None without labels.
    read: False where the prediction could not be read; it is wrong, and in no rate of outcomes.
    """

    right: Floats
    positive: Any
    read: NDArray[np.bool_]


def positive_label(task: FairnessTask | ClassificationTask, labels: list[str]) -> str | None:
    """The good outcome in the spelling of the labels (1 is 1.0).

    Raises:
        DataError: there is no such label.
    """
    if task.positive is None:
        return None
    found = strict_label(task.positive, labels)
    if found is None:
        raise DataError(
            f"the label {task.positive!r} of 'positive' does not occur as truth.{nearest(task.positive, labels)} "
            f"Labels: {', '.join(labels)}."
        )
    return found


def label_outcomes(
    context: TaskContext[FairnessTask], asking: Asking | None, found: Labelled, labels: list[str], positive: str | None
) -> dict[str, Outcomes]:
    """Right or wrong, and positive or not, of every model."""
    if asking is not None:
        asking.answers(context, found, labels)
    outcomes = {}
    for label, values in read_labels(context.task, found, labels).items():
        known = np.array([value is not None for value in values])
        if not known.all():
            found.notes.append(
                f"{label}: {int((~known).sum())} of {len(values)} predictions could not be read as one of the labels "
                f"{', '.join(labels[:8])}{unread_examples(found.said[label], values)}; they count as wrong and are left out of "
                "the rates of outcomes."
            )
        right = np.array([float(a == b) for a, b in zip(values, found.truth, strict=True)])
        given = np.array([int(value == positive) for value in values]) if positive is not None else None
        outcomes[label] = Outcomes(right, given, known)
    return outcomes


def too_many_unread(task: FairnessTask, outcome: Outcomes, groups: Any, names: list[str]) -> str | None:
    """Why no gap of a model can be computed: a group too many of whose predictions could not be read. None where it can."""
    shares = [float(1 - outcome.read[groups == place].mean()) for place in range(len(names))]
    worst = int(np.argmax(shares))
    if shares[worst] <= task.max_unread:
        return None
    return (
        f"{100 * shares[worst]:.1f}% of the predictions for {names[worst]} could not be read as labels (at most "
        f"{100 * task.max_unread:g}% may be: max_unread), so a gap between groups would say nothing. See that labels and "
        "predictions are written alike, or name all labels with 'labels'."
    )


def text_outcomes(context: TaskContext[FairnessTask], asking: Asking, found: Labelled, quality: Metric) -> dict[str, Outcomes]:
    """Quality of every answer of every model."""
    outcomes = {}
    for label, evidence in asking.evidence(context, found, [quality]).items():
        each = quality.measure(evidence).each
        values = np.array([np.nan if value is None else value for value in each], dtype=np.float64)
        outcomes[label] = Outcomes(values, None, np.ones(len(each), dtype=bool))
    return outcomes
