"""The two places where a training step loses time and memory around the matrix products, written tighter.

Both are exact: tests compare them with the plain form. Legend: n targets, v vocabulary, r rank, i inputs, o outputs of a layer.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn


class TargetNll(torch.autograd.Function):
    """Cross-entropy of each target that keeps one [n, v] buffer instead of three.

    The backward turns the logits into their own gradient in place (softmax minus one at the target), so neither the
    log-probabilities nor a second gradient buffer are ever allocated. The logits must not be used afterwards.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        """``logits`` float32 [n, v], ``targets`` int64 [n]; returns float32 [n] in nats."""
        normaliser = torch.logsumexp(logits, dim=-1)  # [n]
        picked = logits.gather(1, targets[:, None]).squeeze(1)  # [n]
        ctx.save_for_backward(logits, targets, normaliser)
        return normaliser - picked

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Gradient of the logits, in their own memory."""
        logits, targets, normaliser = ctx.saved_tensors
        gradient = logits.detach().sub_(normaliser[:, None]).exp_()  # softmax, [n, v]
        gradient[torch.arange(len(targets), device=targets.device), targets] -= 1.0
        return gradient.mul_(gradients[0][:, None]), None


def target_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of each of ``targets`` int64 [n] under ``logits`` [n, v]; float32 [n], in nats.

    The logits are used up: nothing else may read them afterwards.
    """
    value: Tensor = TargetNll.apply(logits.float(), targets)  # type: ignore[no-untyped-call]
    return value


def fuse_lora(model: nn.Module) -> int:
    """Let plain LoRA layers add their update inside the matrix product: y = x W^T, then y += (s x A^T) B^T in place.

    PEFT's own forward writes x A^T B^T, scales it and adds it, each over the whole [tokens, o] output and again in the
    backward pass; scaling the [tokens, r] middle instead gives the same numbers. Layers that are quantised, DoRA, or
    hold several adapters keep PEFT's forward, and so does every layer while adapters are switched off or merged.

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
        and module.active_adapters == ["default"]
        and not module.lora_variant
        and not module.lora_bias.get("default", False)
        and not module.fan_in_fan_out
    )


class _FusedForward:
    """The forward of one layer; a class rather than a closure so that the model can still be pickled by launchers."""

    def __init__(self, module: Any) -> None:
        self.module, self.plain = module, type(module).forward

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """``x`` [..., i] to [..., o]."""
        module = self.module
        if module.disable_adapters or module.merged or kwargs.get("adapter_names") is not None:
            result: Tensor = self.plain(module, x, *args, **kwargs)
            return result
        a, b = module.lora_A["default"], module.lora_B["default"]
        base: Tensor = module.base_layer(x, *args, **kwargs)
        # Under autocast the product casts by itself; casting here as well would copy x there and back in every layer.
        inputs = x if torch.is_autocast_enabled(x.device.type) else x.to(a.weight.dtype)
        middle = a(module.lora_dropout["default"](inputs)) * module.scaling["default"]  # [..., r]
        flat = base.reshape(-1, base.shape[-1])
        out = flat.addmm_(middle.reshape(-1, middle.shape[-1]).to(base.dtype), b.weight.t().to(base.dtype))
        return out.reshape(base.shape)
