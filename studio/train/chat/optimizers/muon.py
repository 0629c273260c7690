"""Muon on hidden matrices and AdamW on all else, as one optimizer with one state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import AdamW, Optimizer


class MuonWithAdamW(Optimizer):
    """Muon (https://kellerjordan.github.io/posts/muon/) for matrices, AdamW for embeddings, head, norms and biases.

    The update of a matrix is scaled to the size that AdamW's would have (https://arxiv.org/abs/2502.16982, section 2.2), so that
    both take the same learning rate and weight decay. Both are PyTorch's own; they share this one's state and groups, so that a
    checkpoint holds one optimizer.
    """

    def __init__(
        self, matrices: list[dict[str, Any]], others: list[dict[str, Any]], *, lr: float, betas: tuple[float, float], eps: float
    ) -> None:
        """``matrices`` and ``others`` are groups, each with its ``weight_decay``; either may be empty."""
        self._parts: list[tuple[Optimizer, slice]] = []
        groups: list[dict[str, Any]] = []
        for given, made in (
            (matrices, lambda given: torch.optim.Muon(given, lr=lr, adjust_lr_fn="match_rms_adamw")),
            (others, lambda given: AdamW(given, lr=lr, betas=betas, eps=eps)),
        ):
            if given:
                part = made(given)
                self._parts.append((part, slice(len(groups), len(groups) + len(given))))
                groups += part.param_groups
        super().__init__(groups, {"lr": lr})
        self._share()

    def _share(self) -> None:
        """Let both parts work on this one's groups and state."""
        for part, mine in self._parts:
            part.param_groups, part.state = self.param_groups[mine], self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a checkpoint; groups and state are new objects afterwards."""
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part, _ in self._parts:
            part.step()
        return loss
