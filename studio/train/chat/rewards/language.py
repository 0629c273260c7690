"""Reward: the answer is in the language that it should be in."""

from __future__ import annotations

from studio.language.identify import language_of
from studio.schema.rewards import LanguageReward
from studio.train.chat.rewards.base import Attempt, Reward, Task


class Language(Reward[LanguageReward]):
    """See :class:`studio.schema.rewards.LanguageReward`."""

    def missing(self, task: Task) -> str | None:
        """A language that can be told."""
        return None if self._due(task) else "the language of its last user turn cannot be told"

    def _due(self, task: Task) -> str | None:
        """The language that is asked for."""
        if self.settings.language != "prompt":
            return self.settings.language
        spoken = [turn["content"] for turn in task.prompt if turn["role"] == "user"]
        return language_of(spoken[-1]) if spoken else None

    def score(self, task: Task, attempt: Attempt) -> float:
        """See :meth:`Reward.score`."""
        due = self._due(task)
        return float(due is not None and language_of(attempt.said, due) == due)
