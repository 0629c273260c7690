"""Reward: the answer thinks first, between marks, and then says something."""

from __future__ import annotations

from studio.schema.rewards import ThoughtReward
from studio.train.chat.rewards.base import Attempt, Reward, Task


class Thought(Reward[ThoughtReward]):
    """See :class:`studio.schema.rewards.ThoughtReward`."""

    def score(self, task: Task, attempt: Attempt) -> float:  # noqa: ARG002 - the same for all tasks
        """See :meth:`Reward.score`. A thought that is never closed leaves nothing that is said."""
        return float(bool((attempt.answered.reasoning_content or "").strip()) and bool(attempt.said.strip()))
