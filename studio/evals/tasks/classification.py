"""Labels against the truth: accuracy and its kin, figures of each class, the examples that went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.core.records import GroupScores, Score
from studio.evals.intervals import estimate, share_interval
from studio.evals.label_reading import strict_label
from studio.evals.labelled import Labelled, completed, labelled_rows, labels_of, read_labels, unread_examples
from studio.evals.metrics.base import Metric, SumStatistic, ratio
from studio.evals.metrics.classification import UNPARSED, classification_metric, classification_statistic
from studio.evals.metrics.probabilities import PROBABILITY_METRICS
from studio.evals.scoring import differences, score, without_value
from studio.evals.statistics import SHARE, Statistic
from studio.evals.task import TaskContext, TaskResult
from studio.evals.tasks.curves import add_probabilities, curve_panels, matrix_panel
from studio.evals.tasks.outcomes import positive_label
from studio.evals.tasks.slices import label_slices
from studio.evals.tasks.thresholds import threshold_panel
from studio.evals.tasks.wrong import wrong_cards
from studio.schema.tasks import ClassificationTask


def run(context: TaskContext[ClassificationTask]) -> TaskResult:
    """Score labels of every model.

    Raises:
        DataError: a column or file is missing. NotComputedError: the truth is free text, or there is no data.
        UserError: probabilities of a label are asked for, and nothing gives any.
    """
    task = context.task
    found, asking = labelled_rows(context, None)
    known = labels_of(found, task.labels, task.max_labels)
    if asking is not None:
        (asking.likelihoods if task.by == "likelihood" else asking.answers)(context, found, known)
    labels = _that_occur(found, _with_predicted(task, found, known))
    predicted = read_labels(task, found, labels)
    positive = positive_label(task, known) or found.positive
    metrics, measured = _measured(found, predicted, labels, known, positive)
    result = TaskResult(
        scores=_scores(context, found, predicted, metrics, measured),
        differences=differences(
            _compared(found, metrics), measured, resamples=context.resamples, seed=context.seed, clusters=found.clusters
        ),
        examples=_examples(found, predicted),
        groups=[
            *_class_groups(found.truth, predicted, labels, context),
            _confusions(found.truth, predicted["tuned"], labels),
            *label_slices(context, found, predicted, labels),
        ],
        notes=found.notes + _notes(found, predicted, labels),
        limits=["The figures hold for examples distributed as these are: with other shares of the classes, precision changes."],
        cards=wrong_cards(found, predicted, task.examples_shown),
        data=found.data,
        rows=len(found.truth),
        panels=[
            *(curve_panels(found, known, positive) if _has_probabilities(found) else []),
            *threshold_panel(found, positive),
            *matrix_panel(found.truth, predicted, labels),
        ],
        title="Classification",
    )
    return completed(context, asking, found, result)


def _compared(found: Labelled, metrics: dict[str, Metric]) -> dict[str, Metric]:
    """The figures in which two models are compared.

    Where nothing is read off a text, that both have read all of it is no comparison. And what always says the shares of the
    labels is calibrated without knowing anything, so that nobody is better.
    """
    left = {"unparsed"} if found.labels is not None else set()
    if found.about.get("base", {}).get("kind") == "baseline":
        left.add("ece")
    return {name: metric for name, metric in metrics.items() if name not in left}


def _has_probabilities(found: Labelled) -> bool:
    """True where a file or a model gives probabilities."""
    return bool(found.scores or found.shares)


def _measured(
    found: Labelled,
    predicted: dict[str, list[str | None]],
    labels: Sequence[str],
    known: Sequence[str],
    positive: str | None,
) -> tuple[dict[str, Metric], dict[str, dict[str, Statistic]]]:
    """What is measured, and the statistics of each model.

    Args:
        labels: those that are true or given somewhere. known: with those that a model knows; its probabilities are of all of
        them.
    Raises:
        UserError: ``positive`` is named, and there are no probabilities.
    """
    of_labels = [
        "accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_weighted", "mcc", "unparsed",
    ]  # fmt: skip
    metrics = {name: classification_metric(name) for name in of_labels}
    measured: dict[str, dict[str, Statistic]] = {
        label: {name: classification_statistic(name, found.truth, values, labels) for name in of_labels}
        for label, values in predicted.items()
    }
    if _has_probabilities(found):
        metrics |= add_probabilities(measured, found, known, positive)
    elif positive is not None:
        raise UserError(
            "'positive' names the label that probabilities are of, and there are none. Set by to likelihood: "
            "--set tasks.0.by=likelihood"
        )
    return metrics, measured


def _scores(
    context: TaskContext[ClassificationTask],
    found: Labelled,
    predicted: dict[str, list[str | None]],
    metrics: dict[str, Metric],
    measured: dict[str, dict[str, Statistic]],
) -> dict[str, list[Score]]:
    """Every figure of every model; those of labels with the share that could be read as their coverage."""
    scores: dict[str, list[Score]] = {}
    for label, statistics in measured.items():
        read = sum(value is not None for value in predicted[label]) / len(found.truth)
        scores[label] = []
        for name, metric in metrics.items():
            if name not in statistics:
                scores[label].append(without_value(metric, "no probabilities are at hand", len(found.truth)))
                continue
            item = score(metric, statistics[name], resamples=context.resamples, seed=context.seed, clusters=found.clusters)
            changed: dict[str, Any] = {} if name in PROBABILITY_METRICS else {"coverage": read}
            if name == "unparsed" and found.labels is not None and item.value == 0:
                changed |= {"low": 0.0, "high": 0.0, "interval": "nothing is read off a text: the model gives labels"}
            scores[label].append(item.model_copy(update=changed))
    return scores


def _that_occur(found: Labelled, labels: list[str]) -> list[str]:
    """The labels that are true or given somewhere; what a model only knows is no class here, as for scikit-learn."""
    if found.labels is None:
        return labels
    occurring = {*found.truth, *(value for said in found.said.values() for value in said)}
    kept = [label for label in labels if label in occurring]
    if gone := [label for label in labels if label not in occurring]:
        shown = ", ".join(gone[:8]) + (" …" if len(gone) > 8 else "")
        found.notes.append(
            f"Known to the model, and neither true nor predicted in these rows: {shown}. Nothing is said about them."
        )
    return kept


def _with_predicted(task: ClassificationTask, found: Labelled, labels: list[str]) -> list[str]:
    """The labels, and what a column of labels predicts and is never true: a class of its own, as for scikit-learn.

    Where ``labels`` says which there are, or there are too many (then they are no labels but free text), it stays unread.
    """
    if task.predictions is None or task.predictions.holds != "labels" or task.labels is not None:
        return labels
    counts: dict[str, int] = {}
    for value in (value for said in found.said.values() for value in said if value and strict_label(value, labels) is None):
        spelled = strict_label(value, list(counts)) or value
        counts[spelled] = counts.get(spelled, 0) + 1
        if len(labels) + len(counts) > task.max_labels:
            found.notes.append(
                f"With the predicted values there are more than {task.max_labels} labels, so what is never true is taken for "
                "free text and not read. Set predictions.holds to answers for texts of a language model, or raise max_labels."
            )
            return labels
    if counts:
        shown = ", ".join(f"{value[:40]!r} ({count})" for value, count in list(counts.items())[:8])
        found.notes.append(
            f"Predicted and never true: {shown}{' …' if len(counts) > 8 else ''}. Each counts as a class of its own, as in "
            "scikit-learn. Say with 'labels' which labels there are, and such values count as unparsed."
        )
    return sorted([*labels, *counts])


def _class_groups(
    truth: Sequence[str], predicted: dict[str, list[str | None]], labels: Sequence[str], context: TaskContext[ClassificationTask]
) -> list[GroupScores]:
    """Precision, recall and F1 of each class with bootstrap intervals."""
    groups = []
    for title, kind in (("Precision by class", 0), ("Recall by class", 1), ("F1 by class", 2)):
        scores = {
            name: [_class_score(truth, values, label, kind, context) for label in labels] for name, values in predicted.items()
        }
        groups.append(GroupScores(title=title, unit="share", scores=scores))
    return groups


def _class_score(
    truth: Sequence[str], values: Sequence[str | None], label: str, kind: int, context: TaskContext[ClassificationTask]
) -> Score:
    """One figure of one class, from sums over examples: hits over predicted, over true, or twice over both."""
    true = np.array([value == label for value in truth], dtype=np.float64)
    said = np.array([value == label for value in values], dtype=np.float64)
    top, below = (true * said, said) if kind == 0 else (true * said, true) if kind == 1 else (2 * true * said, true + said)
    statistic = SumStatistic(np.stack([top, below], axis=1), np.ones(len(true), dtype=bool), [None] * len(true), ratio)
    value, found = estimate(statistic, resamples=context.resamples, seed=context.seed, scale=SHARE)
    bounds = share_interval(float(top.sum()), int(below.sum())) if kind < 2 else found.bounds
    support = int(true.sum())
    return Score(
        metric=label,
        value=value,
        unit="share",
        better="higher",
        n=support,
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
        made_with="counts, as scikit-learn's precision_recall_fscore_support",
        reason=None if value is not None else "never predicted" if kind == 0 else "no example of this class",
        note="few examples" if 0 < support < 30 else "no example" if support == 0 else None,
    )


def _confusions(truth: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]) -> GroupScores:
    """The commonest confusions of the tuned model: which class was taken for which, as a share of the true class."""
    counts: dict[tuple[str, str], int] = {}
    for true, said in zip(truth, predicted, strict=True):
        if true != said:
            counts[true, said or UNPARSED] = counts.get((true, said or UNPARSED), 0) + 1
    support = {label: sum(value == label for value in truth) for label in labels}
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
    scores = [
        Score(
            metric=f"{true} taken for {said}",
            value=count / support[true],
            unit="share of the true class",
            better="lower",
            n=support[true],
            made_with=f"{count} of {support[true]}",
        )
        for (true, said), count in ranked
    ]
    return GroupScores(title="Confusions of the tuned model", unit="share of the true class", scores={"tuned": scores})


def _examples(found: Labelled, predicted: dict[str, list[str | None]]) -> pd.DataFrame:
    """One line per example: truth, and for each model what it said, the label read from it, and whether it is right."""
    table = pd.DataFrame({"id": found.ids, "prompt": found.prompts or [""] * len(found.ids), "truth": found.truth})
    for label, values in predicted.items():
        table[f"{label}_answer"] = found.said[label]
        table[f"{label}_label"] = values
        table[f"{label}_right"] = [a == b for a, b in zip(values, found.truth, strict=True)]
        if label in found.scores:
            table[f"{label}_score"] = found.scores[label]
        elif label in found.shares:
            table[f"{label}_probability"] = [max(row.values()) if row else None for row in found.shares[label]]
    return table


def _notes(found: Labelled, predicted: dict[str, list[str | None]], labels: Sequence[str]) -> list[str]:
    """What the reader must know: unparsed answers, few examples, one class only."""
    count, notes = len(found.truth), []
    for label, values in predicted.items():
        missing = sum(value is None for value in values)
        if missing:
            shown = unread_examples(found.said[label], values)
            notes.append(f"{label}: in {missing} of {count} answers not exactly one label was found{shown}; they count as wrong.")
    if len(set(found.truth)) < 2:
        notes.append(f"All examples have the same true label, {found.truth[0]!r}: accuracy says little and correlation nothing.")
    if count < 30:
        notes.append(f"Only {count} examples: intervals from so few are wide, and small differences cannot be seen.")
    if len(labels) > 1 and found.about.get("base", {}).get("kind") != "baseline":
        share = max(sum(value == label for value in found.truth) for label in labels) / count
        notes.append(f"Always giving the most frequent label would be right in {100 * share:.1f}% of cases.")
    return notes
