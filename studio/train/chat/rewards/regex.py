"""Reward: a regular expression is found in the answer."""

from __future__ import annotations

import re

from studio.schema.rewards import RegexReward
from studio.train.chat.rewards.base import Attempt, Reward, Task


class Regex(Reward[RegexReward]):
    """See :class:`studio.schema.rewards.RegexReward`."""

    def __init__(self, settings: RegexReward) -> None:
        """Compile it once."""
        super().__init__(settings)
        self._pattern = re.compile(settings.pattern)

    def score(self, task: Task, attempt: Attempt) -> float:  # noqa: ARG002 - the same for all tasks
        """See :meth:`Reward.score`."""
        match = self._pattern.fullmatch(attempt.said.strip()) if self.settings.whole else self._pattern.search(attempt.said)
        return float(match is not None)
