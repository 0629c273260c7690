"""Group fairness over labelled predictions, of a file or of the model, or over the quality of free answers.

Small groups are flagged and stay in: averaging them away would hide the people in them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import DataError, UserError, nearest
from studio.core.records import GroupScores, Score
from studio.evals.intervals import estimate, share_interval
from studio.evals.labelled import Labelled, asking_about, completed, labelled_rows, labels_of
from studio.evals.metrics import METRICS
from studio.evals.metrics.base import Metric, SumStatistic, ratio
from studio.evals.metrics.fairness import (
    GroupMeanStatistic,
    RateStatistic,
    by_chance,
    fairness_metric,
    highest,
    lowest,
    numbered,
    spread,
)
from studio.evals.numbers import number
from studio.evals.scoring import differences, score, without_value
from studio.evals.statistics import SHARE, SIGNIFICANCE, Statistic
from studio.evals.task import Card, CardGroup, NotComputedError, Part, TaskContext, TaskResult
from studio.evals.tasks.outcomes import Outcomes, label_outcomes, positive_label, text_outcomes, too_many_unread
from studio.schema.tasks import FairnessTask

_SHUFFLES = 200


def run(context: TaskContext[FairnessTask]) -> TaskResult:
    """Measure gaps between groups for every model.

    Raises:
        DataError: a column or file is missing. NotComputedError: no group column is named, or there is no data.
    """
    task = context.task
    if task.group is None:
        raise NotComputedError(_no_group(context))
    found, asking = labelled_rows(context, task.group)
    if found.clusters is not None:
        raise UserError(
            "predictions.cluster is set, and fairness takes every row for a person of its own. Remove it, or keep one row per "
            "person."
        )
    found, without = _with_group(found, task.group)
    quality = _quality_metric(task)
    if quality is None or asking is None:  # free answers are never read from a file
        labels = labels_of(found, task.labels, 50)
        positive = positive_label(task, labels)
        outcomes = label_outcomes(context, asking, found, labels, positive)
    else:
        positive, outcomes = task.positive, text_outcomes(context, asking, found, quality)
    assert found.groups is not None
    groups, names = numbered([group or "" for group in found.groups])
    if len(names) > task.max_groups:
        raise DataError(
            f"the column '{task.group}' has {len(names)} different values, so it hardly names groups of people. "
            "Name another with group, or raise max_groups."
        )
    truth = np.array([int(value == positive) for value in found.truth])
    unread = {label: too_many_unread(task, outcome, groups, names) for label, outcome in outcomes.items()}
    usable = {label: outcome for label, outcome in outcomes.items() if unread[label] is None}
    metrics, measured = _measure(task, quality, usable, truth, groups, names)
    scores = {
        label: [
            without_value(metric, str(unread[label]), len(truth))
            if label not in measured
            else _noted(_scored(metric, measured[label][name], outcomes[label], context), measured[label][name], context)
            for name, metric in metrics.items()
        ]
        for label in outcomes
    }
    result = TaskResult(
        scores=scores,
        differences=differences(metrics, measured, resamples=context.resamples, seed=context.seed),
        examples=_examples(found, outcomes),
        groups=_group_tables(context, quality, usable, truth, groups, names) if usable else [],
        notes=[f"{label}: {reason[:1].upper()}{reason[1:]}" for label, reason in unread.items() if reason]
        + found.notes
        + _notes(task, found, truth, groups, names, without),
        limits=[
            "A gap says that groups are treated differently here, not why: the groups may differ in what they ask or in how "
            "the truth "
            "was written down. No gap says nothing about groups that are not in this column, or about people in two of them "
            "at once.",
            "A gap is never negative and grows with the number of groups and with small ones even where nobody is treated "
            "differently; so the value that shuffled groups give stands beside it.",
        ],
        cards=_worst(found, outcomes, names, groups, task.examples_shown),
        data={**found.data, "group": task.group},
        rows=len(found.truth),
        title=f"Fairness between groups ({task.group})",
    )
    return completed(context, asking, found, result)


def _no_group(context: TaskContext[FairnessTask]) -> str:
    """What to do when no group column is named; the columns there are."""
    task = context.task
    columns: list[str] = []
    if task.predictions is None:
        with suppress(UserError, NotComputedError):
            columns = asking_about(context).text_columns(context)
    known = f" The columns of its rows: {', '.join(columns)}." if columns else ""
    return (
        f"no group column is named.{known} Set group to the column that tells people's groups apart, or give "
        f"predictions.file with "
        "columns label, prediction and a group."
    )


def _with_group(found: Labelled, name: str) -> tuple[Labelled, int]:
    """The examples that belong to a group, and how many do not.

    Raises:
        DataError: none does.
    """
    assert found.groups is not None
    kept = [place for place, group in enumerate(found.groups) if group not in (None, "")]
    if not kept:
        raise DataError(f"no example has a value in the group column '{name}'. Name another column with group.")
    if len(kept) == len(found.groups):
        return found, 0
    return found.part(kept), len(found.groups) - len(kept)


def _quality_metric(task: FairnessTask) -> Metric | None:
    """The text metric that is compared between groups; None for accuracy of labels.

    Raises:
        UserError: there is no such metric, or it cannot be computed per example.
    """
    if task.quality == "accuracy":
        return None
    if task.quality not in METRICS:
        known = ["accuracy", *METRICS]
        raise UserError(f"quality '{task.quality}' is not a metric.{nearest(task.quality, known)} Allowed: {', '.join(known)}.")
    if task.predictions is not None:
        raise UserError(
            f"quality '{task.quality}' needs the model's answers, and the predictions come from a file. Use accuracy."
        )
    metric: Metric = METRICS.get(task.quality)
    if metric.better == "neither":
        raise UserError(f"quality cannot be '{task.quality}': neither more nor less of it is better.")
    return metric


def _scored(metric: Metric, statistic: Statistic, outcome: Outcomes, context: TaskContext[FairnessTask]) -> Score:
    """The score; its coverage is the share of predictions that could be read."""
    item = score(metric, statistic, resamples=context.resamples, seed=context.seed)
    return item.model_copy(update={"coverage": min(item.coverage, float(outcome.read.mean()))})


def _measure(
    task: FairnessTask, quality: Metric | None, outcomes: dict[str, Outcomes], truth: Any, groups: Any, names: list[str]
) -> tuple[dict[str, Metric], dict[str, dict[str, Statistic]]]:
    """The metrics and their statistics, by label of the model."""
    title, unit, better = ("Accuracy", "share", "higher") if quality is None else (quality.title, quality.unit, quality.better)
    metrics = {name: fairness_metric(name) for name in task.metric_names() if name in fairness_rate_names()}
    for name, words, direction in (
        ("quality_gap", f"{title} gap", "lower"),
        ("quality_worst_group", f"{title} of the worst group", better),
    ):
        metrics[name] = Metric(
            key=name,
            title=words,
            unit=unit,
            better="higher" if direction == "higher" else "lower",
            scale=SHARE if quality is None else quality.scale,
            needs="answers",
            explains="Mean of each group; the gap is that between the best and the worst group.",
            measure=_no_evidence,
            made_with=lambda: "means of groups, as fairlearn's MetricFrame",
        )
    measured: dict[str, dict[str, Statistic]] = {}
    # Rates are taken where every model's prediction was read, so that models are compared on the same examples.
    known = np.logical_and.reduce([outcome.read for outcome in outcomes.values()]) if outcomes else None
    for label, outcome in outcomes.items():
        statistics: dict[str, Statistic] = {}
        for name in metrics:
            if name in fairness_rate_names():
                statistics[name] = RateStatistic(name, truth[known], outcome.positive[known], groups[known], len(names))
            else:
                worst = highest if better == "lower" else lowest
                figure = spread if name.endswith("_gap") else worst
                scored, shares = np.isfinite(outcome.right), quality is None
                statistics[name] = GroupMeanStatistic(np.nan_to_num(outcome.right), scored, groups, len(names), figure, shares)
        measured[label] = statistics
    return metrics, measured


def fairness_rate_names() -> tuple[str, ...]:
    """The figures made of rates of the good outcome."""
    return (
        "demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference", "equal_opportunity_difference",
    )  # fmt: skip


def _noted(item: Score, statistic: Statistic, context: TaskContext[FairnessTask]) -> Score:
    """A gap with what shuffled groups would give."""
    is_gap = item.metric.endswith(("_difference", "_gap"))
    if not is_gap or item.value is None or not isinstance(statistic, RateStatistic | GroupMeanStatistic):
        return item
    chance = by_chance(statistic, rounds=_SHUFFLES, seed=context.seed)
    if chance is None:
        return item
    return item.model_copy(
        update={
            "note": f"{'no gap shown: ' if chance.p >= SIGNIFICANCE else ''}shuffled groups give {number(chance.mean)} on "
            f"average, this much in {100 * chance.p:.1f}% of shuffles; without what chance shows the gap is about "
            f"{number(chance.without)}"
        }
    )


def _group_tables(
    context: TaskContext[FairnessTask],
    quality: Metric | None,
    outcomes: dict[str, Outcomes],
    truth: Any,
    groups: Any,
    names: list[str],
) -> list[GroupScores]:
    """Each rate of each group with its interval."""
    title, unit = ("Accuracy", "share") if quality is None else (quality.title, quality.unit)
    tables = []
    rates: tuple[tuple[str, str, Callable[[Outcomes], tuple[Any, Any]]], ...] = (
        ("Rate of the good outcome by group", "share", lambda o: (o.positive * o.read, o.read)),
        ("True positive rate by group", "share of those who deserve it", lambda o: (o.positive * truth * o.read, truth * o.read)),
        (
            "False positive rate by group",
            "share of those who do not",
            lambda o: (o.positive * (1 - truth) * o.read, (1 - truth) * o.read),
        ),
        (f"{title} by group", unit, lambda o: (np.nan_to_num(o.right), np.isfinite(o.right).astype(np.float64))),
    )
    for name, words, sums in rates:
        if "rate" in name.lower() and next(iter(outcomes.values())).positive is None:
            continue
        scores = {
            label: [_group_score(group, sums(outcome), groups == place, words, context) for place, group in enumerate(names)]
            for label, outcome in outcomes.items()
        }
        tables.append(GroupScores(title=name, unit=words, scores=scores))
    return tables


def _group_score(name: str, sums_of: tuple[Any, Any], member: Any, unit: str, context: TaskContext[FairnessTask]) -> Score:
    """A rate of one group (what counts over whom), its interval over the group's own examples; small and empty groups say so."""
    sums = np.stack([np.asarray(part, dtype=np.float64)[member] for part in sums_of], axis=1)
    relevant = int((sums[:, 1] > 0).sum())
    statistic = SumStatistic(sums, sums[:, 1] > 0, [None] * len(sums), ratio)
    value, found = estimate(statistic, resamples=context.resamples, seed=context.seed)
    bounds = found.bounds
    if set(np.unique(sums[:, 0])) <= {0.0, 1.0}:
        bounds = share_interval(float(sums[:, 0].sum()), relevant)
    note = None
    if relevant == 0:
        note = "no such example: no rate, left out of the gap"
    elif relevant < context.task.small:
        note = f"small group (fewer than {context.task.small}): its value is uncertain"
    return Score(
        metric=name,
        value=value,
        unit=unit,
        better="neither",
        n=relevant,
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
        made_with="mean over the group; exact interval of a share, else studentised bootstrap within the group",
        note=note,
        reason=note if relevant == 0 else None,
    )


def _notes(task: FairnessTask, found: Labelled, truth: Any, groups: Any, names: list[str], without: int) -> list[str]:
    """Small groups, one group only, groups without a positive, examples without a group."""
    notes = []
    sizes = {name: int((groups == place).sum()) for place, name in enumerate(names)}
    small = [f"{name} ({size})" for name, size in sizes.items() if size < task.small]
    if small:
        notes.append(
            f"{len(small)} of {len(names)} groups have fewer than {task.small} examples: {', '.join(small[:12])}"
            f"{' …' if len(small) > 12 else ''}. They are kept, and their values are uncertain."
        )
    if len(names) == 1:
        notes.append(f"There is one group only ({names[0]}), so every gap is 0 and says nothing.")
    if task.positive is not None:
        for what, has in (("true positive", truth == 1), ("true negative", truth == 0)):
            empty = [name for place, name in enumerate(names) if not (has & (groups == place)).any()]
            if empty:
                notes.append(
                    f"No {what} example in {', '.join(empty)}: such a group has no rate there and is left out of that gap."
                )
    if without:
        notes.append(f"{without} of {without + len(found.truth)} examples have no value in '{task.group}' and were left out.")
    return notes


def _examples(found: Labelled, outcomes: dict[str, Outcomes]) -> pd.DataFrame:
    """One line per example."""
    table = pd.DataFrame({"id": found.ids, "group": found.groups, "truth": found.truth})
    for label, outcome in outcomes.items():
        table[f"{label}_said"] = found.said[label]
        table[f"{label}_quality"] = outcome.right
        if outcome.positive is not None:
            table[f"{label}_positive"] = outcome.positive
    return table


def _worst(found: Labelled, outcomes: dict[str, Outcomes], names: list[str], groups: Any, count: int) -> list[CardGroup]:
    """Examples of the group that fares worst with the tuned model."""
    right = outcomes["tuned"].right
    means = [
        float(np.nanmean(right[groups == place])) if np.isfinite(right[groups == place]).any() else np.inf
        for place in range(len(names))
    ]
    worst = int(np.argmin(means))
    places = [int(place) for place in np.flatnonzero(groups == worst)]
    places.sort(key=lambda place: (np.nan_to_num(right[place], nan=np.inf), place))
    cards = [
        Card(
            found.ids[place],
            [Part("group", names[worst]), Part("truth", found.truth[place])],
            [Part(label, found.said[label][place]) for label in ("base", "tuned") if label in outcomes],
        )
        for place in places[:count]
    ]
    return [CardGroup(f"The worst examples of the group that fares worst ({names[worst]})", cards)]


def _no_evidence(_: object) -> Statistic:
    """Groups are measured by their own statistics."""
    raise NotImplementedError("fairness is measured from labels and groups")
