"""Schedule-free AdamW, whose weights for speaking are an average that training itself never stands at.

Source: The Road Less Scheduled, https://arxiv.org/abs/2405.15682. Needs pytorch-optimizer; import it behind its guard.
"""

from __future__ import annotations

from typing import Any

import torch
from pytorch_optimizer import ScheduleFreeAdamW


class ExactScheduleFreeAdamW(ScheduleFreeAdamW):  # type: ignore[misc]
    """Goes back to training with the very numbers it left, so that neither a validation nor a checkpoint changes a run.

    The package's own way back interpolates again, which rounds. Here the point where training stands is kept in the state while
    the average is looked at, and so a checkpoint, which is always written then, holds both.
    """

    @torch.no_grad()
    def eval(self) -> None:
        """Put the average into the weights: what is validated and saved."""
        for group, weight, state in self._moved(training=True):
            state["y"] = weight.detach().clone()
            weight.lerp_(state["z"], 1.0 - 1.0 / group["betas"][0])
        self._turn(training=False)

    @torch.no_grad()
    def train(self) -> None:
        """Put back the point where training stands."""
        for _, weight, state in self._moved(training=False):
            weight.copy_(state.pop("y"))
        self._turn(training=True)

    def _moved(self, *, training: bool) -> list[tuple[dict[str, Any], torch.Tensor, dict[str, Any]]]:
        """Group, weight and state of what has been trained, of the groups that are in that mode."""
        return [
            (group, weight, self.state[weight])
            for group in self.param_groups
            if group["train_mode"] == training
            for weight in group["params"]
            if "z" in self.state[weight]
        ]

    def _turn(self, *, training: bool) -> None:
        for group in self.param_groups:
            group["train_mode"] = training
