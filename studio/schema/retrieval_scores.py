"""The task that measures what finds texts. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from studio.schema.tasks import Count, Positive, SuiteData, TaskSettings, Text

DEPTH = 10
"""Passages that nDCG and MRR look at."""


class RetrievalTask(TaskSettings):
    """Held-out questions against a corpus of passages: how many of the right ones are found, and how far up they stand.

    Beside the models stands a search by words (BM25). A reranker orders what that search has found, and its base is that order.
    """

    type: Literal["retrieval"]
    """Kind of task."""
    data: SuiteData = SuiteData()
    """The questions that are asked."""
    passage: Text | None = None
    """What answers a question, as in the preset; None takes what the run was trained with."""
    at: Annotated[list[Positive], Field(min_length=1)] = [1, 5, 10]
    """Numbers of first passages among which recall looks."""
    distractors: Count = 10_000
    """Passages of the training split in the corpus at most, drawn with the suite's seed; the more, the harder."""
    candidates: Positive = 50
    """Passages of the search by words that a reranker orders."""

    @field_validator("at")
    @classmethod
    def _each_once(cls, at: list[int]) -> list[int]:
        """In rising order, none twice."""
        if sorted(set(at)) != at:
            raise ValueError(f"at: {at} is not in rising order without repeats. Give numbers such as [1, 5, 10]")
        return at

    def metric_names(self) -> list[str]:
        """Recall at each number, and what looks at the first ten."""
        return [*(f"recall_{k}" for k in self.at), f"ndcg_{DEPTH}", f"mrr_{DEPTH}"]
