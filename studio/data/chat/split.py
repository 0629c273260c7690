"""Dividing conversations so that nothing in test was trained on: those that resemble each other stay together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from studio.data.chat.likeness import Comparison
from studio.data.chat.rows import ChatRow
from studio.data.similarity import Clusters, Shingling
from studio.data.sketch import Numbers, firsts_of, key_of, keys_of
from studio.data.split import Division, divide_clusters
from studio.data.workers import Workers

_REMEDY = "Add other rows, raise split.threshold, set split.same_question: false, or name a finer group."


@dataclass(frozen=True)
class SplitPlan:
    """How to divide. validation, test: rows (whole number) or share below 1. Others as in the recipe's ``split``."""

    validation: float = 0.05
    test: float = 0.1
    seed: int = 0
    threshold: float = 0.6
    shingling: Shingling = field(default_factory=lambda: Shingling("word", 3))
    same_question: bool = True


def divide(rows: Sequence[ChatRow], plan: SplitPlan, crew: Workers | None = None) -> Division[ChatRow]:
    """Divide rows into train, validation and test; every cluster lies in one of them.

    ``crew``: processes that may help.

    Clusters are joined over near-duplicate pairs (whatever the cleaning steps left), equal first questions, and groups.

    Raises:
        DataError: there are too few rows or too few clusters for what is asked.
    """
    return divide_clusters(rows, cluster_rows(rows, plan, crew), plan.validation, plan.test, plan.seed, _REMEDY)


def cluster_rows(rows: Sequence[ChatRow], plan: SplitPlan, crew: Workers | None = None) -> list[list[int]]:
    """Row numbers that have to stay together, as clusters in order of their first row.

    Two rows are tied when their texts are at least ``threshold`` alike (verified), when their first question is the same, or
    when they share a group; ties are followed from row to row. What a tenth of the rows are asked ties none of them: see
    :mod:`studio.data.chat.likeness`.
    """
    clusters = Clusters(len(rows))
    compared = Comparison(rows)
    pairs = compared.pairs(plan.threshold, plan.shingling, crew)
    for index, first in enumerate(pairs.same):
        clusters.join(first, index)
    groups, questions = _ties(rows, compared)
    for index, first in enumerate(firsts_of(groups).tolist()):
        clusters.join(first, index)
    for index, first in enumerate(firsts_of(questions).tolist() if plan.same_question else ()):
        clusters.join(first, index)
    pairs.tie(clusters)
    return clusters.groups()


def _ties(rows: Sequence[ChatRow], compared: Comparison) -> tuple[Numbers, Numbers]:
    """Keys of what ties rows [n, 2] each: their group, and what is asked first; a key of its own where nothing does."""
    nothing = key_of("")
    asked = compared.questions.tobytes()
    groups, questions = [], []
    for index, row in enumerate(rows):
        own = key_of(f"row {index}")
        groups.append(own if row.group is None else key_of(f"group {row.group}"))
        question = asked[16 * index : 16 * index + 16]
        if question != nothing and compared.common[index] and row.messages[0]["role"] == "system":
            question = key_of(f"{question.hex()} {row.messages[0]['content']}")
        questions.append(own if question == nothing else question)
    return keys_of(groups), keys_of(questions)
