"""Experts of a mixture in a traced pass: which tokens go to which is not known, but how many sums are formed is.

Legend: n tokens times experts per token, e experts, i inputs and o outputs of an expert's layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.moe import ExpertsInterface

_NAME = "studio_planned"


def plan_experts(model: nn.Module) -> None:
    """Let all stacked experts of a model go through :func:`planned_experts`.

    Where tensors have no contents, transformers' own grouped product knows bfloat16 only, and its plain form asks which experts
    are hit.
    """
    ExpertsInterface.register(_NAME, planned_experts)
    for module in model.modules():
        if hasattr(module, "_apply_gate") and hasattr(module, "num_experts"):
            module.config._experts_implementation_internal = _NAME  # type: ignore[union-attr]


def planned_experts(experts: Any, hidden: Tensor, chosen: Tensor, shares: Tensor) -> Tensor:
    """What transformers' ``grouped_mm_experts_forward`` keeps and makes, without looking at numbers.

    Args:
        hidden: [t, i]. chosen, shares: [t, k], the experts of each token and their weights.
    Returns:
        [t, i].
    """
    count = chosen.shape[-1]
    states = hidden[torch.arange(len(hidden), device=hidden.device).repeat_interleave(count)]  # [n, i]
    first = "gate_up_proj" if experts.has_gate else "up_proj"
    middle = _product(experts, states, first)
    middle = experts._apply_gate(middle) if experts.has_gate else experts.act_fn(middle)
    drawn = _product(experts, middle, "down_proj") * shares.reshape(-1, 1)
    return drawn.view(len(hidden), count, -1).sum(dim=1).to(hidden.dtype)


def _product(experts: Any, states: Tensor, name: str) -> Tensor:
    """[n, i] -> [n, o] through one stacked layer."""
    weight = getattr(experts, name)
    made: Tensor = _GroupedProduct.apply(states.to(weight.dtype), weight, experts.is_transposed)  # type: ignore[no-untyped-call]
    return made + getattr(experts, f"{name}_bias")[0] if experts.has_bias else made


class _GroupedProduct(torch.autograd.Function):
    """One product per expert over its own tokens: keeps both factors, and has a gradient for each."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, transposed: bool) -> Tensor:
        """``states`` [n, i], ``weight`` [e, o, i], or [e, i, o] where it is transposed."""
        ctx.save_for_backward(states, weight)
        return states.new_empty(len(states), weight.shape[2 if transposed else 1])

    @staticmethod
    def backward(ctx: Any, *_gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        states, weight = ctx.saved_tensors
        return torch.empty_like(states), torch.empty_like(weight) if ctx.needs_input_grad[1] else None, None
