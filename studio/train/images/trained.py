"""The parameters that train, by name, and their moving average. What a checkpoint holds and what a run ends with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from studio.core.errors import StudioError


class Trained:
    """Every parameter of some networks that wants a gradient, named ``component.parameter``."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        """Collect them.

        Raises:
            StudioError: nothing trains.
        """
        self.modules = dict(modules)
        self.parameters: dict[str, nn.Parameter] = {
            f"{component}.{name}": parameter
            for component, module in modules.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        if not self.parameters:
            raise StudioError(f"nothing trains in {', '.join(modules)}: no parameter wants a gradient")

    def __len__(self) -> int:
        """How many numbers train."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    def state(self) -> dict[str, Tensor]:
        """A copy of the values, on the CPU."""
        return {name: parameter.detach().cpu().clone() for name, parameter in self.parameters.items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put values back.

        Raises:
            StudioError: the names are others.
        """
        if state.keys() != self.parameters.keys():
            missing, extra = sorted(self.parameters.keys() - state.keys()), sorted(state.keys() - self.parameters.keys())
            raise StudioError(f"the saved weights do not belong to this network (missing {missing[:3]}, unknown {extra[:3]})")
        for name, parameter in self.parameters.items():
            parameter.copy_(state[name])


class Ema:
    """An exponential moving average of the trained parameters.

    With warm-up the decay of step t is min(decay, (1 + t) / (10 + t)), as in diffusers' EMAModel and TensorFlow before it.
    """

    def __init__(self, trained: Trained, *, decay: float, warmup: bool) -> None:
        """Starts at the parameters' values."""
        self.trained, self.decay, self.warmup = trained, decay, warmup
        self.values = {name: parameter.detach().clone() for name, parameter in trained.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after optimizer step ``step`` (the first is 1)."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay
        # By name: values that were read from a file come in the file's order.
        averages = [self.values[name] for name in self.trained.parameters]
        current = [parameter.detach() for parameter in self.trained.parameters.values()]
        torch._foreach_lerp_(averages, current, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The networks carry the average inside the block, and what they had before afterwards."""
        before = self.trained.state()
        self.trained.load(self.values)
        try:
            yield
        finally:
            self.trained.load(before)
