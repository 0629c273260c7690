"""Group-relative policy optimisation in tensors: from rewards to advantages, and from log-probabilities to the loss.

Legend: g groups of a step, k answers of a group, a answers of a micro batch, n targets of it (tokens of answers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Scale = Literal["group", "batch", "none"]
LossType = Literal["dapo", "grpo", "dr_grpo"]

# As in TRL: a group of nearly equal rewards is not blown up.
_TINY = 1e-4


def advantages(rewards: Tensor, scale: Scale) -> Tensor:
    """How much better each answer is than the mean of its group, float [g, k], from rewards [g, k].

    Source: DeepSeekMath, https://arxiv.org/abs/2402.03300, section 4.1.2; ``none`` is Dr. GRPO, https://arxiv.org/abs/2503.20783.

    Args:
        scale: what it is divided by: the standard deviation in the group, in the whole step, or nothing.
    """
    apart = rewards - rewards.mean(dim=1, keepdim=True)
    if scale == "none":
        return apart
    return apart / (_TINY + (rewards.std(dim=1, keepdim=True) if scale == "group" else rewards.std()))


def without_difference(rewards: Tensor) -> Tensor:
    """Groups whose answers all have the same reward, bool [g]: nothing is learnt from them."""
    return rewards.amax(dim=1) - rewards.amin(dim=1) < 1e-8


def shares(lengths: Tensor, loss: LossType, longest: int) -> Tensor:
    """What each token of an answer weighs in the loss of a step, float [a], from all its answers' targets, int [a].

    The weights are those of the whole step, so that its loss does not depend on how it is cut into micro batches.

    Args:
        longest: most tokens of an answer.
    """
    if loss == "dapo":
        return torch.full_like(lengths, 1, dtype=torch.float32) / lengths.sum().clamp(min=1)
    if loss == "grpo":
        return 1 / (lengths.clamp(min=1).float() * len(lengths))
    return torch.full_like(lengths, 1, dtype=torch.float32) / (len(lengths) * longest)


@dataclass(frozen=True)
class Surrogate:
    """Of each target [n]: its loss; whether it was clipped; its divergence from the start in nats, None where nobody asked."""

    losses: Tensor
    clipped: Tensor
    divergence: Tensor | None


def surrogate(
    now: Tensor,
    before: Tensor,
    advantage: Tensor,
    *,
    low: float,
    high: float,
    beta: float = 0.0,
    reference: Tensor | None = None,
    weight: Tensor | float = 1.0,
) -> Surrogate:
    """The clipped surrogate of each token: -min(r A, clip(r, 1 - low, 1 + high) A) + beta r KL, with r = exp(now - before).

    Source: DeepSeekMath, equations 3 and 4 (the KL estimate is Schulman's k3); a higher upper bound is DAPO's,
    https://arxiv.org/abs/2503.14476; r before the KL makes its gradient unbiased (DeepSeek-V3.2,
    https://arxiv.org/abs/2512.02556, section 3.1).

    Args:
        now, before: log-probabilities of the targets [n] under the model that learns, and under the one that wrote them.
        advantage: of each target's answer, [n].
        reference: log-probabilities under the model as it started, [n].
        weight: what the surrogate, but not the KL, is multiplied by, see :func:`sampling_weights`.
    """
    ratio = torch.exp(now - before)
    losses = -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage) * weight
    clipped = ((ratio < 1 - low) & (advantage < 0)) | ((ratio > 1 + high) & (advantage > 0))
    if reference is None:
        return Surrogate(losses, clipped, None)
    divergence = torch.exp(reference - now) - (reference - now) - 1
    return Surrogate(losses + beta * ratio * divergence, clipped, divergence.detach())


def sampling_weights(before: Tensor, written: Tensor, most: float | None) -> Tensor:
    """Truncated importance weights [n] of tokens that another program drew, as TRL's ``token_truncate`` has them; ones where
    ``most`` is None.

    Source: https://fengyao.notion.site/off-policy-rl.

    Args:
        before, written: log-probabilities [n] under the model that wrote, by the sums of the training and by the writer's.
        most: no weight is larger.
    """
    return torch.ones_like(before) if most is None else torch.exp(before - written).clamp(max=most)
