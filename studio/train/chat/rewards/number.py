"""Reward: the answer's number is that of the reference."""

from __future__ import annotations

from studio.language.number_reading import free_number
from studio.schema.rewards import NumberReward
from studio.train.chat.rewards.base import Attempt, Reward, Task, lacks_reference, reference_text, text_after


class Number(Reward[NumberReward]):
    """See :class:`studio.schema.rewards.NumberReward`; read as evaluations read numbers."""

    def missing(self, task: Task) -> str | None:
        """A right answer that holds one number."""
        lacking = lacks_reference(task, self.settings.column)
        if lacking is None and self._due(task) is None:
            return f"no single number in its right answer {str(reference_text(task, self.settings.column))[:60]!r}"
        return lacking

    def _due(self, task: Task) -> float | None:
        """The number of the right answer."""
        text = str(reference_text(task, self.settings.column))
        return free_number(text_after(text, self.settings.after, required=False), self.settings.decimal)

    def score(self, task: Task, attempt: Attempt) -> float:
        """See :meth:`Reward.score`."""
        due = self._due(task)
        found = free_number(text_after(attempt.said, self.settings.after, required=True), self.settings.decimal)
        return float(due is not None and found is not None and abs(found - due) <= self.settings.tolerance)
