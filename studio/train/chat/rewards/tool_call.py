"""Reward: the answer makes the calls that the reference makes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from studio.models.chat.calls import name_of, same_calls
from studio.schema.rewards import ToolCallReward
from studio.train.chat.rewards.base import Attempt, Reward, Task


class ToolCall(Reward[ToolCallReward]):
    """See :class:`studio.schema.rewards.ToolCallReward`; compared as the task ``tool_calls`` of evaluations does."""

    def missing(self, task: Task) -> str | None:
        """Tools, and an assistant turn to compare with."""
        if not task.tools:
            return "no tools are offered in it, which 'reward: tool_call' needs"
        return None if task.reference is not None else "no assistant turn at its end, with which to compare"

    def score(self, task: Task, attempt: Attempt) -> float:
        """See :meth:`Reward.score`."""
        due: list[dict[str, Any]] = (task.reference or {}).get("tool_calls") or []
        made, broken = attempt.answered.tool_calls, attempt.answered.broken_calls
        if broken:
            return 0.0
        if not due:
            return float(not made and bool(attempt.said.strip()))
        if same_calls(made, due, task.tools):
            return 1.0
        return self.settings.named if Counter(map(name_of, made)) == Counter(map(name_of, due)) else 0.0
