"""Measuring what finds texts: order the corpus for every question, and see where the right passages stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from studio.core.records import Score
from studio.evals.embed.corpus import Corpus, read_corpus
from studio.evals.embed.models import RERANKER, WORDS, Ranked, open_searcher
from studio.evals.embed.words import search_by_words
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.scoring import differences, most_changed, score
from studio.evals.statistics import SHARE, Statistic
from studio.evals.task import Card, CardGroup, Part, TaskContext, TaskResult
from studio.models.embed.ranking import mrr_at, ndcg_at, recall_at
from studio.schema.retrieval_scores import DEPTH, RetrievalTask

OfQuestion = Callable[[Sequence[int], set[int]], float]
_SHOWN = 3
"""First passages of each model on an example's card."""


def run(context: TaskContext[RetrievalTask]) -> TaskResult:
    """Recall, nDCG and MRR of every model, beside a search by words.

    Raises:
        NotComputedError, UserError: as :func:`read_corpus` and :func:`open_searcher`.
    """
    task = context.task
    searchers = {label: open_searcher(context.targets[label], context.run, context.run_folder) for label in context.labels}
    corpus = read_corpus(context)
    depth = max(*task.at, DEPTH)
    candidates = max(task.candidates, depth)
    by_words = search_by_words([row.query for row in corpus.rows], corpus.passages, candidates)
    ranked: dict[str, Ranked] = {}
    for label, searcher in searchers.items():
        context.tell(f"{searcher.about['name']}: {len(corpus.rows)} questions, {len(corpus.passages):,} passages")
        ranked[label] = searcher.rank(corpus, by_words, depth)
    measures = measures_of(task)
    metrics = {name: metric for name, (metric, _) in measures.items()}
    measured = {label: _measured(corpus, found, measures) for label, found in ranked.items()}
    scores = {label: _scores(metrics, found, corpus, context) for label, found in measured.items()}
    table = _table(corpus, ranked, measured)
    return TaskResult(
        scores=scores,
        differences=differences(metrics, measured, resamples=context.resamples, seed=context.seed, clusters=corpus.owners),
        examples=table,
        notes=corpus.notes,
        limits=_limits(context, corpus),
        cards=_cards(corpus, ranked, table, metrics[f"ndcg_{DEPTH}"], task.examples_shown),
        data=corpus.data,
        rows=len(corpus.rows),
        title="Retrieval",
        marks={WORDS: _scores(metrics, _measured(corpus, by_words, measures), corpus, context)},
        about={label: searcher.about for label, searcher in searchers.items()},
    )


def measures_of(task: RetrievalTask) -> dict[str, tuple[Metric, OfQuestion]]:
    """Each metric by name, with what it says of one question."""
    found: dict[str, tuple[Metric, OfQuestion]] = {}
    for k in task.at:
        explains = f"Share of a question's passages that are among the first {k}; mean over questions."
        found[f"recall_{k}"] = (_metric(f"recall_{k}", f"Recall@{k}", explains), partial(_at, recall_at, k))
    explains = (
        f"Right passages among the first {DEPTH}, discounted by the logarithm of their place (Järvelin and Kekäläinen 2002)."
    )
    found[f"ndcg_{DEPTH}"] = (_metric(f"ndcg_{DEPTH}", f"nDCG@{DEPTH}", explains), partial(_at, ndcg_at, DEPTH))
    explains = f"1 over the place of the first right passage, 0 where none is among the first {DEPTH}; mean over questions."
    found[f"mrr_{DEPTH}"] = (_metric(f"mrr_{DEPTH}", f"MRR@{DEPTH}", explains), partial(_at, mrr_at, DEPTH))
    return found


def _at(measure: Callable[[Sequence[int], set[int], int], float], k: int, first: Sequence[int], right: set[int]) -> float:
    return measure(first, right, k)


def _metric(key: str, title: str, explains: str) -> Metric:
    """A mean over questions from 0 to 1."""
    return Metric(
        key=key,
        title=title,
        unit="fraction",
        better="higher",
        needs="answers",
        explains=explains,
        measure=lambda evidence: mean_statistic([None for _ in evidence]),
        made_with=lambda: "studio",
        scale=SHARE,
    )


def _measured(corpus: Corpus, ranked: Ranked, measures: dict[str, tuple[Metric, OfQuestion]]) -> dict[str, Statistic]:
    """Each metric of one order of the passages."""
    return {
        name: mean_statistic([of(first, right) for first, right in zip(ranked, corpus.right, strict=True)])
        for name, (_, of) in measures.items()
    }


def _scores(
    metrics: dict[str, Metric], found: dict[str, Statistic], corpus: Corpus, context: TaskContext[RetrievalTask]
) -> list[Score]:
    """Scores with intervals over questions; those of one passage or group are one."""
    return [
        score(metric, found[name], resamples=context.resamples, seed=context.seed, clusters=corpus.owners)
        for name, metric in metrics.items()
    ]


def _table(corpus: Corpus, ranked: dict[str, Ranked], measured: dict[str, dict[str, Statistic]]) -> pd.DataFrame:
    """One line per question: its passage, what each model put first, and each figure."""
    columns: dict[str, list[object]] = {
        "id": [row.id for row in corpus.rows],
        "question": [row.query for row in corpus.rows],
        "passage": [row.positive for row in corpus.rows],
        "right_passages": [len(right) for right in corpus.right],
    }
    for label, found in ranked.items():
        columns[f"{label}_first"] = [corpus.passages[first[0]] if first else None for first in found]
        columns |= {f"{label}_{name}": list(statistic.each) for name, statistic in measured[label].items()}
    return pd.DataFrame(columns)


def _cards(corpus: Corpus, ranked: dict[str, Ranked], table: pd.DataFrame, metric: Metric, shown: int) -> list[CardGroup]:
    """Questions that were won and lost most; without a baseline those that were answered worst."""
    lines = [{str(key): value for key, value in line.items()} for line in table.to_dict("records")]
    if "base" in ranked:
        improved, worsened = most_changed(lines, metric, shown)
        groups = [(f"Most improved, by {metric.title}", improved), (f"Most worsened, by {metric.title}", worsened)]
    else:
        worst = sorted(range(len(lines)), key=lambda place: lines[place][f"tuned_{metric.key}"])
        groups = [(f"Lowest {metric.title}", worst[:shown])]
    return [CardGroup(title, [_card(corpus, ranked, place) for place in places]) for title, places in groups if places]


def _card(corpus: Corpus, ranked: dict[str, Ranked], place: int) -> Card:
    """A question with its passage and what each model put first."""
    row, right = corpus.rows[place], corpus.right[place]
    sides = []
    for label, found in ranked.items():
        first = [
            f"{number}. {'[right] ' if passage in right else ''}{corpus.passages[passage]}"
            for number, passage in enumerate(found[place][:_SHOWN], start=1)
        ]
        at = next((number for number, passage in enumerate(found[place], start=1) if passage in right), None)
        sides.append(Part(label, "\n".join(first), f"right passage at {at}" if at else "right passage not found"))
    return Card(row.id, [Part("question", row.query), Part("passage", row.positive)], sides)


def _limits(context: TaskContext[RetrievalTask], corpus: Corpus) -> list[str]:
    """What the figures do not show."""
    data = corpus.data
    found = [
        f"The corpus holds {len(corpus.passages):,} passages: {corpus.own:,} of {data['split']} and {data['distractors']:,} "
        "distractors of train. A larger one gives smaller figures.",
        "Only passages that the Dataset names as an answer count as right; others that would answer too count as wrong.",
    ]
    if context.run is not None and context.run.kind == RERANKER:
        share = min(context.task.candidates, len(corpus.passages))
        found.append(f"A reranker sees the first {share} passages of {WORDS} only: what that search misses, it cannot find.")
    return found
