"""Reward: the answer is the reference."""

from __future__ import annotations

from studio.language.spelling import bare
from studio.schema.rewards import ExactReward
from studio.train.chat.rewards.base import Attempt, Reward, Task, lacks_reference, reference_text, text_after


class Exact(Reward[ExactReward]):
    """See :class:`studio.schema.rewards.ExactReward`; compared as the metric ``exact_match`` does."""

    def missing(self, task: Task) -> str | None:
        """A right answer."""
        return lacks_reference(task, self.settings.column)

    def score(self, task: Task, attempt: Attempt) -> float:
        """See :meth:`Reward.score`."""
        due = text_after(str(reference_text(task, self.settings.column)), self.settings.after, required=False)
        said = text_after(attempt.said, self.settings.after, required=True)
        return float(said is not None and bare(said, brackets=False) == bare(str(due), brackets=False))
