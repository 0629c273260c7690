"""LoRA layers and the gated layers around them as a training step goes through them: fewer products, and less kept for them.

All of it is exact: tests compare it with PEFT's own layers.

Legend: n rows, i inputs and o outputs of a layer, r rank, m width of a gated layer.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from transformers.activations import GELUTanh, SiLUActivation

from studio.adapters.chat.reference import START, TRAINED


@dataclass(frozen=True)
class Unit:
    """What bends the gate of a gated layer, [n, m] to [n, m], and its gradient from that of its result and its input."""

    bend: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]


_SILU = Unit(nn.functional.silu, torch.ops.aten.silu_backward)
_GELU = Unit(
    lambda gate: nn.functional.gelu(gate, approximate="tanh"),
    lambda gradient, gate: torch.ops.aten.gelu_backward(gradient, gate, approximate="tanh"),
)
_UNITS = {"silu": _SILU, "gelu_tanh": _GELU}
_NAMES: dict[type, str] = {nn.SiLU: "silu", SiLUActivation: "silu", GELUTanh: "gelu_tanh"}
# How transformers writes it in the hundred-odd families of Llama's kind; what is written otherwise is left alone.
_GATED = re.compile(r"self\.down_proj\(self\.act_fn\(self\.gate_proj\((\w+)\)\) \* self\.up_proj\(\1\)\)")


class LoraProduct(torch.autograd.Function):
    """y = x W^T + s (d A^T) B^T + s0 (x A0^T) B0^T with frozen W, A0 and B0, each sum formed inside a matrix product.

    d is x, or what dropout leaves of it. A0 and B0 are those of the adapter that a training started from, where there is one.
    x is given, or made of a gate g and u as f(g) * u: then g and u are kept, and x, as large as each of them, is made again on
    the way back.

    PEFT's own forward writes x A^T B^T, scales it and adds it, each over the whole [n, o] output, and the backward pass adds two
    [n, i] gradients; A and B are converted on the way there and back.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        up: Tensor | None,
        unit: str,
        dropped: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        scale: float,
        a: Tensor,
        b: Tensor,
        start_scale: float,
        start_a: Tensor | None,
        start_b: Tensor | None,
    ) -> Tensor:
        """Returns [n, o].

        All arguments are tensors, numbers and words, which is what ``torch.compile`` sees through.

        Args:
            x: [n, i], or the gate of what is made of it with ``up`` [n, i] and the ``unit`` of that name.
            dropped: [n, i], goes through A in place of x, where there is dropout; not with a gate.
            weight: [o, i], of the type of x, and so is ``bias`` [o].
            scale, a, b: of the adapter, [r, i] and [o, r], of any type.
            start_scale, start_a, start_b: the same of the frozen one beside it, if any.
        """
        made = x if up is None else _UNITS[unit].bend(x).mul_(up)
        into_a = made if dropped is None else dropped
        middle = into_a @ a.to(x.dtype).t()  # [n, r]
        ctx.save_for_backward(x, up, dropped, weight, middle, a, b, start_a, start_b)
        ctx.unit, ctx.scale, ctx.start_scale = unit, scale, start_scale
        y = nn.functional.linear(made, weight, bias).addmm_(middle, b.to(x.dtype).t(), alpha=scale)
        if start_a is not None and start_b is not None:
            y.addmm_(made @ start_a.to(x.dtype).t(), start_b.to(x.dtype).t(), alpha=start_scale)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Of x (or its gate), ``up``, what was dropped, A and B."""
        x, up, dropped, weight, middle, a, b, start_a, start_b = ctx.saved_tensors
        (y,) = gradients
        unit = _UNITS[ctx.unit] if up is not None else None
        bent = unit.bend(x) if unit is not None else None
        into_a = dropped if dropped is not None else x if bent is None else bent * up
        back = y @ b.to(y.dtype)  # [n, r]
        of_a = (back.t() @ into_a).to(a.dtype).mul_(ctx.scale) if ctx.needs_input_grad[7] else None
        of_b = (y.t() @ middle).to(b.dtype).mul_(ctx.scale) if ctx.needs_input_grad[8] else None
        del into_a
        of_dropped = (back @ a.to(y.dtype)).mul_(ctx.scale) if dropped is not None else None
        if not (ctx.needs_input_grad[0] or ctx.needs_input_grad[1]):
            return None, None, None, of_dropped, None, None, None, of_a, of_b, None, None, None
        of_x = y @ weight
        if dropped is None:
            of_x.addmm_(back, a.to(y.dtype), alpha=ctx.scale)
        if start_a is not None:
            of_x.addmm_(y @ start_b.to(y.dtype), start_a.to(y.dtype), alpha=ctx.start_scale)
        of_up = None
        if unit is not None and bent is not None:
            of_x, of_up = unit.backward(of_x * up, x), bent.mul_(of_x)
        return of_x, of_up, None, of_dropped, None, None, None, of_a, of_b, None, None, None


def fuse_lora(model: nn.Module) -> int:
    """Let plain LoRA layers go through :class:`LoraProduct`, the last one of a gated layer with what the gate lets through.

    Layers that are quantised or DoRA keep PEFT's forward, and so does every layer while adapters are switched off or merged,
    and where x and W differ in type. The frozen adapter that a training started from goes through the same products.

    Returns:
        Number of LoRA layers changed.
    """
    changed = 0
    for module in model.modules():
        if isinstance(module, LoraLinear) and _plain(module):
            module.forward = _FusedForward(module)  # type: ignore[method-assign]
            changed += 1
    for module in model.modules():
        last: Any = getattr(module, "down_proj", None)
        unit = _NAMES.get(type(getattr(module, "act_fn", None)))
        if unit and isinstance(getattr(last, "forward", None), _FusedForward) and _is_gated(module):
            module.forward = _GatedForward(module, unit)  # type: ignore[method-assign]
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


def _is_gated(module: nn.Module) -> bool:
    """True where a layer computes ``down(act(gate(x)) * up(x))`` and nothing else, by what its class says."""
    try:
        lines = inspect.getsource(type(module).forward).strip().splitlines()
    except (OSError, TypeError):  # a class made while running
        return False
    code = [line.strip() for line in lines[1:]]
    named = re.fullmatch(r"(\w+) = (.*)", code[0])
    if named and code[1:] == [f"return {named[1]}"]:
        return bool(_GATED.fullmatch(named[2]))
    return len(code) == 1 and bool(_GATED.fullmatch(code[0].removeprefix("return ")))


class _FusedForward:
    """The forward of one layer in place of PEFT's, which it falls back to."""

    def __init__(self, module: Any) -> None:
        self.module, self.plain = module, type(module).forward

    def __call__(self, x: Tensor, *args: Any, up: Tensor | None = None, unit: str = "", **kwargs: Any) -> Tensor:
        """``x`` [..., i] to [..., o]; with ``up`` and ``unit``, ``x`` is the gate of what goes through the layer."""
        module = self.module
        base = module.base_layer
        weight = base.weight
        kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        plain = module.disable_adapters or module.merged or args or kwargs or weight.requires_grad
        active = [name for name in module.active_adapters if name in module.lora_A]
        dropping = [name for name in active if not isinstance(module.lora_dropout[name], nn.Identity)]
        plain = plain or not active or not x.dtype == weight.dtype == kind or START in dropping
        if up is not None and (plain or dropping):
            x, up = _UNITS[unit].bend(x) * up, None
        if plain:
            result: Tensor = self.plain(module, x, *args, **kwargs)
            return result
        first = TRAINED if TRAINED in active else active[0]
        flat = x.reshape(-1, x.shape[-1])
        dropped = module.lora_dropout[first](flat) if dropping else None
        beside = START in active and first != START
        out: Tensor = LoraProduct.apply(  # type: ignore[no-untyped-call]
            flat,
            None if up is None else up.reshape(-1, up.shape[-1]),
            unit,
            dropped,
            weight,
            base.bias,
            module.scaling[first],
            *_matrices(module, first),
            module.scaling[START] if beside else 0.0,
            *(_matrices(module, START) if beside else (None, None)),
        )
        return out.reshape(*x.shape[:-1], -1)


def _matrices(module: Any, name: str) -> tuple[Tensor, Tensor]:
    """A [r, i] and B [o, r] of an adapter of a layer."""
    return module.lora_A[name].weight, module.lora_B[name].weight


class _GatedForward:
    """The forward of a gated layer that leaves the product with the gate to its last layer."""

    def __init__(self, module: Any, unit: str) -> None:
        self.module, self.unit = module, unit

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` [..., i] to [..., i]."""
        drawn: Tensor = self.module.down_proj(self.module.gate_proj(x), up=self.module.up_proj(x), unit=self.unit)
        return drawn
