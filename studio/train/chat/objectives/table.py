"""Which objectives there are. A new one is a module beside this, a line here, and its name in the preset's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.core.registry import Registry

if TYPE_CHECKING:
    from studio.train.chat.objectives.base import Objective

OBJECTIVES = Registry(
    "objective",
    {
        "sft": "studio.train.chat.objectives.conversations:SFT",
        "text": "studio.train.chat.objectives.conversations:TEXT",
        "dpo": "studio.train.chat.objectives.preferences:PAIRS",
        "ipo": "studio.train.chat.objectives.preferences:PAIRS",
        "orpo": "studio.train.chat.objectives.preferences:PAIRS",
        "simpo": "studio.train.chat.objectives.preferences:PAIRS",
        "cpo": "studio.train.chat.objectives.preferences:PAIRS",
        "kto": "studio.train.chat.objectives.preferences:KTO",
        "grpo": "studio.train.chat.objectives.grpo:GRPO",
        "distill": "studio.train.chat.objectives.distillation:DISTILL",
        "reward": "studio.train.chat.objectives.reward:REWARD",
    },
)


def objective(name: str) -> Objective:
    """The objective that a preset names."""
    found: Objective = OBJECTIVES.get(name)
    return found
