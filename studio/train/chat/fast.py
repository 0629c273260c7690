"""The loss, the one place beside the layers where a training step loses time and memory, written tighter.

It is exact: tests compare it with the plain form. Legend: n targets, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# Logits that are taken up at once, in numbers: few enough that a CPU's next slice reuses the memory of the last, and on a GPU few
# enough slices that starting them takes no time.
_SLICE_ON_CPU, _SLICE_ELSEWHERE = 2 << 20, 8 << 20


def _slices(logits: Tensor) -> Iterator[slice]:
    """Rows of [n, v] a slice at a time."""
    rows = max(1, (_SLICE_ON_CPU if logits.device.type == "cpu" else _SLICE_ELSEWHERE) // logits.shape[1])
    return (slice(start, start + rows) for start in range(0, len(logits), rows))


class TargetNll(torch.autograd.Function):
    """Cross-entropy of each target that keeps one [n, v] buffer, the logits in their own type, instead of three.

    The backward turns the logits into their own gradient in place (softmax minus one at the target), a slice of rows at a time in
    float32. The logits must not be used afterwards.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        """``logits`` [n, v], ``targets`` int64 [n]; returns float32 [n] in nats."""
        normaliser = torch.cat([logits[rows].float().logsumexp(dim=-1) for rows in _slices(logits)])  # [n]
        picked = logits.gather(1, targets[:, None]).squeeze(1).float()  # [n]
        ctx.save_for_backward(logits, targets, normaliser)
        return normaliser - picked

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Gradient of the logits, in their own memory."""
        logits, targets, normaliser = ctx.saved_tensors
        logits = logits.detach()
        for rows in _slices(logits):
            gradient = logits[rows].float().sub_(normaliser[rows, None]).exp_()  # softmax
            gradient[torch.arange(len(gradient), device=targets.device), targets[rows]] -= 1.0
            gradient.mul_(gradients[0][rows, None])
            if gradient.dtype != logits.dtype:  # in float32 it is the same memory
                logits[rows] = gradient
        return logits, None


def target_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of each of ``targets`` int64 [n] under ``logits`` [n, v]; float32 [n], in nats.

    The logits are used up: nothing else may read them afterwards.
    """
    value: Tensor = TargetNll.apply(logits, targets)  # type: ignore[no-untyped-call]
    return value


@torch.no_grad()
def entropies(logits: Tensor) -> Tensor:
    """Entropy of each distribution of ``logits`` [n, v], float32 [n] in nats."""
    found = []
    for rows in _slices(logits):
        logs = logits[rows].float().log_softmax(dim=-1)
        found.append(-(logs.exp() * logs).sum(dim=-1))
    return torch.cat(found)
