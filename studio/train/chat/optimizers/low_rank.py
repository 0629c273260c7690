"""AdamW whose moments live in a low-rank space of each matrix's gradient: GaLore and APOLLO, written from their papers.

galore-torch has had no release since its first (March 2024), and apollo-torch may not be used commercially.

Legend: m the larger and n the smaller side of a matrix, r rank. G is the gradient [m, n], P its projection [n, r], R = G P
[m, r]. A matrix that is wider than high is worked on transposed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

Kind = Literal["galore", "apollo", "apollo_mini"]
# APOLLO lets the norm of an update grow by at most this factor a step (https://arxiv.org/abs/2412.05270, section 4.2).
_GROWTH = 1.01


class LowRankAdamW(Optimizer):
    """GaLore (https://arxiv.org/abs/2403.03507) and APOLLO (https://arxiv.org/abs/2412.05270).

    * GaLore: P are the first r right singular vectors of G, found anew every so many steps; AdamW's step in R is projected back.
    * APOLLO: P is random, drawn again from its seed at every step and never kept; AdamW in R only says how much each row of G
      (APOLLO), or all of G (APOLLO-Mini), is scaled.

    Groups with ``projected: True`` hold matrices with n > r; all others are plain AdamW.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        kind: Kind,
        rank: int,
        every: int,
        scale: float,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        seed: int = 0,
    ) -> None:
        """``seed`` decides APOLLO's random projections, the same in every process."""
        self._kind, self._rank, self._every, self._scale, self._seed = kind, rank, every, scale, seed
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0, "projected": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step: weights shrink by lr * weight_decay, then move against the update."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for number, group in enumerate(self.param_groups):
            for place, weight in enumerate(group["params"]):
                if weight.grad is None:
                    continue
                state = self.state[weight]
                state["step"] = state.get("step", 0) + 1
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                if group["projected"]:
                    update = self._projected(weight.grad, state, group, seed=_mixed(self._seed, number, place))
                else:
                    update = _adam(weight.grad, state, group)
                weight.add_(update, alpha=-group["lr"])
        return loss

    def _projected(self, gradient: Tensor, state: dict[str, Any], group: dict[str, Any], *, seed: int) -> Tensor:
        """The update of a matrix, of its shape."""
        wide = gradient.shape[0] < gradient.shape[1]
        tall = gradient.T if wide else gradient  # [m, n]
        turn = (state["step"] - 1) // self._every
        if self._kind != "galore":
            update = self._scaled(tall, state, group, seed=_mixed(seed, turn))
        else:
            if "projection" not in state or (state["step"] - 1) % self._every == 0:
                state["projection"] = (
                    torch.linalg.svd(tall.float(), full_matrices=False).Vh[: self._rank].T.contiguous()
                )  # [n, r]
            projection = state["projection"].to(tall.dtype)
            update = _adam(tall @ projection, state, group) @ projection.T * self._scale
        turned: Tensor = update.T if wide else update
        return turned

    def _scaled(self, tall: Tensor, state: dict[str, Any], group: dict[str, Any], *, seed: int) -> Tensor:
        """APOLLO's update [m, n]: the gradient, scaled by rows or as a whole."""
        random = torch.Generator(device=tall.device).manual_seed(seed)
        projection = torch.randn(tall.shape[1], self._rank, generator=random, device=tall.device, dtype=torch.float32)
        small = tall @ (projection / self._rank**0.5).to(tall.dtype)  # [m, r]
        wished = _adam(small, state, group)
        rows = {"dim": 1, "keepdim": True} if self._kind == "apollo" else {}
        factor = torch.linalg.vector_norm(wished, **rows) / (torch.linalg.vector_norm(small, **rows) + 1e-8)
        update: Tensor = tall * factor * self._scale
        norm = torch.linalg.vector_norm(update)
        if "norm" in state:
            limit = torch.clamp(norm / (state["norm"] * _GROWTH + 1e-8), min=1.0)
            update, norm = update / limit, norm / limit
        state["norm"] = norm
        return update


def _mixed(*numbers: int) -> int:
    """A seed that differs for each of them."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % 2**63
    return seed


def _adam(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    """Adam's bias-corrected step for a gradient, of its shape; the moments are kept in ``state``."""
    first, second = group["betas"]
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    mean, square, step = state["exp_avg"], state["exp_avg_sq"], state["step"]
    mean.lerp_(gradient, 1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    denominator = (square / (1 - second**step)).sqrt_().add_(group["eps"])
    step_in: Tensor = (mean / (1 - first**step)).div_(denominator)
    return step_in
