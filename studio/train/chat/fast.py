"""The two places where a training step loses time and memory around the matrix products, written tighter.

Both are exact: tests compare them with the plain form. Legend: n targets, v vocabulary, r rank, i inputs, o outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from studio.adapters.chat.reference import START, TRAINED

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


class LoraProduct(torch.autograd.Function):
    """y = x W^T + s (x A^T) B^T with frozen W, each sum formed inside a matrix product.

    PEFT's own forward writes x A^T B^T, scales it and adds it, each over the whole [n, o] output, and the backward pass adds two
    [n, i] gradients; A and B are converted on the way there and back.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dropped: Tensor | None, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        """``x`` [n, i], ``weight`` [o, i], ``a`` [r, i], ``b`` [o, r]; all of one type but ``a`` and ``b``. Returns [n, o].

        ``dropped`` [n, i] goes through A in place of x, where there is dropout.
        """
        small_a, small_b = (a * scale).to(x.dtype), b.to(x.dtype)
        into_a = x if dropped is None else dropped
        middle = into_a @ small_a.t()  # [n, r], scaled
        ctx.save_for_backward(into_a, weight, middle, small_a, small_b)
        ctx.apart = dropped is not None
        ctx.scale, ctx.types = scale, (a.dtype, b.dtype)
        return nn.functional.linear(x, weight, bias).addmm_(middle, small_b.t())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, Tensor, Tensor, None]:
        """Of x, what was dropped of it, A and B."""
        into_a, weight, middle, a, b = ctx.saved_tensors
        (y,) = gradients
        back = y @ b  # [n, r]
        of_x = y @ weight if ctx.needs_input_grad[0] else None
        of_dropped = back @ a if ctx.apart else None
        if of_x is not None and not ctx.apart:
            of_x.addmm_(back, a)
        of_a = (back.t() @ into_a).to(ctx.types[0]).mul_(ctx.scale)
        return of_x, of_dropped, None, None, of_a, (y.t() @ middle).to(ctx.types[1]), None


def fuse_lora(model: nn.Module) -> int:
    """Let plain LoRA layers go through :class:`LoraProduct`.

    Layers that are quantised or DoRA keep PEFT's forward, and so does every layer while adapters are switched off or merged,
    and where x and W differ in type. The frozen adapter that a training started from goes through the same products.

    Returns:
        Number of layers changed.
    """
    changed = 0
    for module in model.modules():
        if isinstance(module, LoraLinear) and _plain(module):
            module.forward = _FusedForward(module)  # type: ignore[method-assign]
            changed += 1
    return changed


def _plain(module: Any) -> bool:
    """True for a LoRA layer over an unquantised linear layer with nothing but A and B."""
    return (
        type(module.get_base_layer()) is nn.Linear
        and set(module.active_adapters) <= {TRAINED, START}
        and not module.lora_variant
        and not any(module.lora_bias.values())
        and not module.fan_in_fan_out
    )


class _FusedForward:
    """The forward of one layer in place of PEFT's, which it falls back to."""

    def __init__(self, module: Any) -> None:
        self.module, self.plain = module, type(module).forward

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """``x`` [..., i] to [..., o]."""
        module = self.module
        base = module.base_layer
        weight = base.weight
        kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        plain = module.disable_adapters or module.merged or args or kwargs or weight.requires_grad
        active = [name for name in module.active_adapters if name in module.lora_A]
        dropping = any(not isinstance(module.lora_dropout[name], nn.Identity) for name in active)
        if plain or not active or (dropping and len(active) > 1) or not x.dtype == weight.dtype == kind:
            result: Tensor = self.plain(module, x, *args, **kwargs)
            return result
        a, b, scale = _together(module, active)
        flat = x.reshape(-1, x.shape[-1])
        dropped = module.lora_dropout[active[0]](flat) if dropping else None
        out: Tensor = LoraProduct.apply(flat, dropped, weight, base.bias, a, b, scale)  # type: ignore[no-untyped-call]
        return out.reshape(*x.shape[:-1], -1)


def _together(module: Any, active: list[str]) -> tuple[Tensor, Tensor, float]:
    """A [r, i], B [o, r] and the scale of the adapters of a layer as if they were one, r being the sum of their ranks."""
    first, scale = active[0], module.scaling[active[0]]
    a, b = module.lora_A[first].weight, module.lora_B[first].weight
    for name in active[1:]:
        a = torch.cat([a, module.lora_A[name].weight * (module.scaling[name] / scale)])
        b = torch.cat([b, module.lora_B[name].weight.to(b.dtype)], dim=1)
    return a, b, scale
