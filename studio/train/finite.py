"""A training that has blown up is stopped at once: a loss, a gradient or a weight that is no number never gets better again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open

from studio.core.errors import StudioError


class BlownUpError(StudioError):
    """A figure of the training is not a number any more."""


def refuse_blown_up(
    step: int, learning_rate: float, *, clipped: bool = True, narrow: bool = False, **figures: float | None
) -> None:
    """Go on only while every figure of a step is finite.

    Args:
        step: optimizer steps done.
        learning_rate: as set in the preset; the advice is a third of it.
        clipped: False where clipping of gradients is off, which is then advised too.
        narrow: the arithmetic is float16, whose largest number is 65,504; another number type is then advised too.
        figures: by what they are called; None where there is none.
    Raises:
        BlownUpError: names the first that is not finite.
    """
    for name, value in figures.items():
        if value is not None and not math.isfinite(value):
            clip = "" if clipped else " and max_grad_norm 1"
            words = name.replace("_", " ")
            wider = "Try dtype float32, for float16 ends at 65,504, or" if narrow else "Try"
            raise BlownUpError(
                f"the {words} of step {step} is {value}: the training has blown up. "
                f"{wider} learning_rate {learning_rate / 3:.1g}{clip}; checkpoints of earlier steps stay."
            )


def refuse_scaled_away(step: int, scale: float) -> None:
    """Go on only while halving the scale of the loss can still help.

    Args:
        scale: what ``torch.amp.GradScaler`` multiplies the loss with; it starts at 65,536 and halves at each skipped step.
    Raises:
        BlownUpError: gradients are infinite although the loss is no longer made larger.
    """
    if scale < 1:
        raise BlownUpError(
            f"up to step {step} the gradients were too large for float16 again and again, whatever the loss was scaled with, "
            "so nothing is learnt. Use dtype float32, or a smaller learning_rate; checkpoints of earlier steps stay."
        )


def all_finite(parameters: Iterable[torch.Tensor]) -> bool:
    """True when no number of any of them is infinite or not a number."""
    return all(bool(torch.isfinite(parameter.detach()).all()) for parameter in parameters)


def refuse_broken(where: str | None, base: str) -> None:
    """Go on only with a base whose weights are numbers.

    Args:
        where: a tensor that holds something else, None for a sound base.
    Raises:
        StudioError: names it.
    """
    if where is not None:
        raise StudioError(
            f"the weights of {base} hold values that are no numbers (in {where}), so nothing can be learnt from them. Fetch the "
            "model again, or use another one."
        )


def first_broken(parameters: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """Name of the first that holds something else than numbers; None where all are sound.

    A sum is taken first, because it needs no second tensor of that size: it is no number where one of its terms is none.
    """
    for name, parameter in parameters:
        value = parameter.detach()
        readable = value.is_floating_point() and value.element_size() > 1
        if readable and not bool(torch.isfinite(value.sum())) and not bool(torch.isfinite(value).all()):
            return name
    return None


def first_not_finite(folder: Path) -> str | None:
    """Name of the first tensor of a model folder that holds something else than numbers; None for a sound one."""
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                value = tensors.get_tensor(name)
                if value.is_floating_point() and not bool(torch.isfinite(value.float()).all()):
                    return str(name)
    return None
