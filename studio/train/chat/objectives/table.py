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
        "dpo": "studio.train.chat.objectives.preferences:DPO",
        "kto": "studio.train.chat.objectives.preferences:KTO",
        "distill": "studio.train.chat.objectives.distillation:DISTILL",
        "reward": "studio.train.chat.objectives.reward:REWARD",
    },
)


def objective(name: str) -> Objective:
    """The objective that a preset names."""
    found: Objective = OBJECTIVES.get(name)
    return found
