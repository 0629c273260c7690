"""From statistics to the scores, differences and groups of a bias task.

A benchmark's numbers are functions of log-probabilities or answers; here they get intervals, are compared with the base on the
same examples, and are broken down by group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np

from studio.core.records import Difference, GroupScores, Score
from studio.evals.evidence import Answer, Evidence, LogProb
from studio.evals.metrics.base import Metric, SumStatistic
from studio.evals.scoring import difference, score
from studio.evals.statistics import ANY, Better, Scale, Statistic
from studio.evals.task import TaskContext
from studio.schema.tasks import LikelihoodSettings, TaskSettings

T = TypeVar("T", bound=TaskSettings)


@dataclass(frozen=True)
class Measured:
    """One metric and its statistic on each model, over the same examples.

    clusters: what each example was made from (a template, an occupation), where several are made from one: they are not
    independent.
    """

    metric: Metric
    by_label: Mapping[str, SumStatistic]
    clusters: Sequence[str] | None = None


def bias_metric(
    key: str,
    title: str,
    *,
    unit: str,
    explains: str,
    better: Better = "neither",
    ideal: float | None = None,
    made_with: Callable[[], str] | None = None,
    per_token: bool = False,
    scale: Scale = ANY,
) -> Metric:
    """A metric that its task computes; ``ideal`` is the value of no bias."""
    return Metric(
        key=key,
        title=title,
        unit=unit,
        better=better,
        needs="likelihood",
        explains=explains,
        measure=_by_its_task,
        made_with=made_with or likelihood_made_with,
        ideal=ideal,
        per_token=per_token,
        scale=scale,
    )


def _by_its_task(_evidence: Sequence[Evidence]) -> Statistic:
    """Refuse to compute a benchmark's number from held-out conversations, which are not that benchmark."""
    raise TypeError("a bias metric is computed by its own task, not from conversations")


def likelihood_made_with() -> str:
    """Library and settings of every number made of plain-text log-probabilities."""
    return (
        f"torch {version('torch')}, summed log-probability of plain text after one BOS or EOS token, log-softmax in float32, "
        "no chat "
        "template"
    )


def ask_likelihoods(context: TaskContext[T], texts: Sequence[tuple[str, str]]) -> dict[str, list[LogProb | None]]:
    """Log-probabilities of (prefix, continuation) by every model of the task."""
    settings = context.task.likelihood or LikelihoodSettings()
    found: dict[str, list[LogProb | None]] = {}
    for label in context.labels:
        with context.subject(label) as subject, context.bar(f"{label} scores", len(texts)) as advance:
            found[label] = list(subject.text_logprobs(texts, batch_size=settings.batch_size, advance=advance))
    return found


def ask_questions(context: TaskContext[T], prompts: Sequence[str]) -> dict[str, list[Answer | None]]:
    """Answers in words to single questions, by every model of the task, in its chat template."""
    asked = [[{"role": "user", "content": prompt}] for prompt in prompts]
    found: dict[str, list[Answer | None]] = {}
    for label in context.labels:
        with context.subject(label) as subject:
            found[label] = context.answers(subject, asked)
    return found


def with_library(metric: Metric, made_with: str | None) -> Metric:
    """The metric with another account of how it was made; unchanged for None."""
    return metric if made_with is None else replace(metric, made_with=lambda: made_with)


def summarise(context: TaskContext[T], measured: Sequence[Measured]) -> tuple[dict[str, list[Score]], list[Difference]]:
    """Scores of every model, and tuned minus base on the examples that both were scored on."""
    draws, seed = context.resamples, context.seed
    scores = {
        label: [score(item.metric, item.by_label[label], resamples=draws, seed=seed, clusters=item.clusters) for item in measured]
        for label in context.labels
    }
    if not context.has_base:
        return scores, []
    return scores, [
        difference(
            item.metric,
            item.by_label["tuned"],
            item.by_label["base"],
            resamples=draws,
            seed=seed,
            clusters=item.clusters,
        )
        for item in measured
    ]


def by_group(context: TaskContext[T], title: str, measured: Measured, groups: Sequence[str]) -> GroupScores:
    """One metric for each group of the examples.

    Args:
        groups: the group of each example, in order; an empty name belongs to none.
    """
    members: dict[str, list[int]] = {}
    for index, name in enumerate(groups):
        if name:
            members.setdefault(name, []).append(index)
    scores: dict[str, list[Score]] = {}
    for label in context.labels:
        statistic = measured.by_label[label]
        parts = {name: part_of(statistic, members[name]) for name in sorted(members)}
        scores[label] = [
            score(
                measured.metric,
                part,
                resamples=context.resamples,
                seed=context.seed,
                clusters=None if measured.clusters is None else [measured.clusters[place] for place in members[name]],
            ).model_copy(update={"metric": name, "title": name, "note": small_note(int(part.scored.sum()))})
            for name, part in parts.items()
        ]
    metric = measured.metric
    return GroupScores(title=title, unit=metric.unit, ideal=metric.ideal, explains=metric.explains, scores=scores)


def small_note(count: int) -> str | None:
    """A word of caution for a group from which little can be read."""
    return f"only {count} examples" if count < 30 else None


def part_of(statistic: SumStatistic, places: Sequence[int]) -> SumStatistic:
    """The same statistic over some of the examples."""
    chosen = np.array(places, dtype=np.int64)
    each = [statistic.each[place] for place in places]
    return SumStatistic(statistic.sums[chosen], statistic.scored[chosen], each, statistic.combine)


def sums_statistic(
    rows: Sequence[Sequence[float] | None], combine: Callable[[Any], Any], each: Sequence[float | None] | None = None
) -> SumStatistic:
    """A statistic over sums per example; None marks an example that could not be scored."""
    width = next((len(row) for row in rows if row is not None), 1)
    sums = np.array([row if row is not None else [0.0] * width for row in rows], dtype=np.float64).reshape(-1, width)
    scored = np.array([row is not None for row in rows], dtype=bool)
    return SumStatistic(sums, scored, list(each) if each is not None else [None] * len(rows), combine)
