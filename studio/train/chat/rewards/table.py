"""Which rewards there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.core.registry import Registry
from studio.schema.rewards import RewardSettings
from studio.train.chat.rewards.base import Reward

REWARDS = Registry(
    "reward",
    {
        name: f"studio.train.chat.rewards.{name}:{attribute}"
        for name, attribute in {
            "exact": "Exact",
            "number": "Number",
            "regex": "Regex",
            "json_schema": "JsonSchema",
            "tool_call": "ToolCall",
            "length": "Length",
            "language": "Language",
            "repetition": "Repetition",
            "thought": "Thought",
        }.items()
    },
)


def named_rewards(settings: Sequence[Any]) -> dict[str, Reward[Any]]:
    """The rewards of a preset by name, in order; a second one of a kind is called ``regex_2``.

    Raises:
        UserError: the settings of one ask for what cannot be.
    """
    found: dict[str, Reward[RewardSettings]] = {}
    for each in settings:
        kind = each.reward
        number = sum(other.settings.reward == kind for other in found.values()) + 1  # type: ignore[attr-defined]
        found[kind if number == 1 else f"{kind}_{number}"] = REWARDS.get(kind)(each)
    return found
