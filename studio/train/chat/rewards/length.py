"""Reward: the answer is as long as it should be."""

from __future__ import annotations

from studio.schema.rewards import LengthReward
from studio.train.chat.rewards.base import Attempt, Reward, Task


class Length(Reward[LengthReward]):
    """See :class:`studio.schema.rewards.LengthReward`; the straight line is that of DAPO's soft overlong punishment."""

    def score(self, task: Task, attempt: Attempt) -> float:  # noqa: ARG002 - the same for all tasks
        """See :meth:`Reward.score`."""
        limits, said = self.settings, attempt.said
        long = {"tokens": len(attempt.ids), "words": len(said.split()), "characters": len(said)}[limits.unit]
        over = max((limits.min or 0) - long, 0 if limits.max is None else long - limits.max, 0)
        return 1.0 if not over else max(0.0, 1 - over / limits.slack) if limits.slack else 0.0
