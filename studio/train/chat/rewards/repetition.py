"""Reward: the answer does not repeat itself."""

from __future__ import annotations

from studio.schema.rewards import RepetitionReward
from studio.train.chat.rewards.base import Attempt, Reward, Task


class Repetition(Reward[RepetitionReward]):
    """See :class:`studio.schema.rewards.RepetitionReward`.

    Source: "Demystifying Long Chain-of-Thought Reasoning", https://arxiv.org/abs/2502.03373, appendix B, there as a
    punishment and over words. Tokens serve scripts without blanks too.
    """

    def score(self, task: Task, attempt: Attempt) -> float:  # noqa: ARG002 - the same for all tasks
        """See :meth:`Reward.score`. An answer shorter than n repeats nothing."""
        size = self.settings.size
        grams = [tuple(attempt.ids[start : start + size]) for start in range(len(attempt.ids) - size + 1)]
        return len(set(grams)) / len(grams) if grams else 1.0
