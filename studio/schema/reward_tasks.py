"""Settings of the tasks around reward models: how well one tells pairs apart, and what one says of the answers of others."""

from __future__ import annotations

from typing import Literal

from studio.schema.tasks import Positive, SuiteData, TaskSettings


class PairsTask(TaskSettings):
    """A reward model on held-out pairs: how often it scores the chosen answer above the rejected one."""

    type: Literal["pairs"]
    """Kind of task."""
    data: SuiteData = SuiteData()
    """The rows; those that are no pair are left out and counted."""
    batch_size: Positive = 16
    """Answers scored side by side."""

    def metric_names(self) -> list[str]:
        """The share of pairs, and what the scores are."""
        return ["accuracy", "margin", "chosen_score", "rejected_score"]


class RewardTask(TaskSettings):
    """A reward model scores the answers of models to held-out questions."""

    type: Literal["reward"]
    """Kind of task."""
    reward: str | None = None
    """The run that scores (trained with ``objective: reward``): name, id, path or ``last``. None means that none was named, and
    the task is not computed."""
    data: SuiteData = SuiteData()
    """The rows that are asked."""
    batch_size: Positive = 16
    """Answers scored side by side."""

    def metric_names(self) -> list[str]:
        """The mean score, and how long the answers are that got it."""
        return ["reward", "words"]
