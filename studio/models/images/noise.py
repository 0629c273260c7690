"""How noise is mixed into pictures, what a network is asked to predict, and the way back. Written once for all families.

Legend: x clean [b, c, h, w], n noise of the same shape, z noisy, t times [b]; z = a(t) x + s(t) n.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

Objective = Literal["epsilon", "v", "flow"]


class NoiseProcess(ABC):
    """A family's noise levels and what its network predicts at them."""

    objective: Objective

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random times [b] as they are drawn in training."""

    @abstractmethod
    def quantiles(self, fractions: Sequence[float]) -> Tensor:
        """Times at these fractions (0 to 1) of the training's distribution; what a held-out loss is measured at."""

    @abstractmethod
    def scales(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """a(t) and s(t), each float32 [b]."""

    @abstractmethod
    def levels(self, steps: int) -> Tensor:
        """Times [steps + 1] of a sampling, from pure noise to the clean picture."""

    def mix(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Noisy pictures z = a x + s n, [b, c, h, w]."""
        a, s = (_wide(scale, clean) for scale in self.scales(times))
        return a * clean + s * noise

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network should say, [b, c, h, w]: the noise, v = a n - s x, or the flow n - x.

        Source: DDPM (arXiv 2006.11239), progressive distillation (2202.00512), rectified flow (2209.03003).
        """
        if self.objective == "epsilon":
            return noise
        if self.objective == "flow":
            return noise - clean
        a, s = (_wide(scale, clean) for scale in self.scales(times))
        return a * noise - s * clean

    def snr(self, times: Tensor) -> Tensor:
        """Signal-to-noise ratio a^2 / s^2 [b]."""
        a, s = self.scales(times)
        return (a / s) ** 2

    def min_snr_weights(self, times: Tensor, gamma: float) -> Tensor:
        """Loss weights [b] that cap the weight of nearly clean pictures.

        The error of x is to weigh min(SNR, gamma). The plain loss already weighs it by SNR (epsilon), SNR + 1 (v) or 1 / s^2
        (flow), so that is divided out.
        Source: Min-SNR weighting (arXiv 2303.09556), section 3.4.
        """
        snr = self.snr(times)
        if self.objective == "epsilon":
            plain = snr
        elif self.objective == "v":
            plain = snr + 1
        else:
            plain = 1 / self.scales(times)[1] ** 2
        return torch.clamp(snr, max=gamma) / plain

    def clean(self, noisy: Tensor, prediction: Tensor, times: Tensor) -> Tensor:
        """The clean picture that a prediction implies, [b, c, h, w]."""
        a, s = (_wide(scale, noisy) for scale in self.scales(times))
        if self.objective == "epsilon":
            return (noisy - s * prediction) / a
        if self.objective == "v":
            return a * noisy - s * prediction
        return noisy - s * prediction

    def step(self, noisy: Tensor, prediction: Tensor, time: Tensor, following: Tensor) -> Tensor:
        """One deterministic step of a sampling to the next time: DDIM (arXiv 2010.02502), which for a flow is Euler's step."""
        x = self.clean(noisy, prediction, time)
        a, s = (_wide(scale, noisy) for scale in self.scales(time))
        n = (noisy - a * x) / s
        a_next, s_next = (_wide(scale, noisy) for scale in self.scales(following))
        return a_next * x + s_next * n


class FlowProcess(NoiseProcess):
    """Straight lines from picture to noise: z = (1 - t) x + t n, t in (0, 1), t = 1 being noise.

    Times are drawn logit-normally (Stable Diffusion 3, arXiv 2403.03206) and shifted towards noise as
    t' = shift t / (1 + (shift - 1) t), which large pictures need; sampling uses the same shift.
    """

    objective: Objective = "flow"

    def __init__(self, *, mean: float = 0.0, std: float = 1.0, shift: float = 1.0, uniform: bool = False) -> None:
        """``mean`` and ``std`` of the normal variable whose logistic is the time; ``uniform`` draws evenly instead."""
        self.mean, self.std, self.shift, self.uniform = mean, std, shift, uniform

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Float32 [b] in (0, 1)."""
        if self.uniform:
            return self._shifted(torch.rand(count, generator=generator).clamp(1e-5, 1 - 1e-5))
        return self._shifted(torch.sigmoid(torch.randn(count, generator=generator) * self.std + self.mean))

    def quantiles(self, fractions: Sequence[float]) -> Tensor:
        """Float32 [q] in (0, 1)."""
        places = torch.tensor(fractions, dtype=torch.float64).clamp(1e-5, 1 - 1e-5)
        if not self.uniform:
            places = torch.sigmoid(math.sqrt(2) * torch.erfinv(2 * places - 1) * self.std + self.mean)
        return self._shifted(places.float())

    def scales(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """1 - t and t."""
        return 1 - times.float(), times.float()

    def levels(self, steps: int) -> Tensor:
        """From 1 to 0, shifted."""
        return self._shifted(torch.linspace(1, 0, steps + 1))

    def _shifted(self, times: Tensor) -> Tensor:
        return self.shift * times / (1 + (self.shift - 1) * times)


class DiscreteProcess(NoiseProcess):
    """A variance-preserving chain of T noise levels, as DDPM and Stable Diffusion count them; times are int64 0 to T - 1."""

    def __init__(self, alphas_cumprod: Tensor, objective: Objective) -> None:
        """``alphas_cumprod``: a(t)^2 for every level, float [T]."""
        self.alphas, self.objective = alphas_cumprod.float().cpu(), objective

    @classmethod
    def from_scheduler(cls, config: Any) -> DiscreteProcess:
        """From a diffusers scheduler's configuration: its betas and ``prediction_type``."""
        from diffusers import DDPMScheduler

        names: dict[str, Objective] = {"epsilon": "epsilon", "v_prediction": "v"}
        build: Any = DDPMScheduler.from_config
        scheduler = build(config)
        return cls(scheduler.alphas_cumprod, names[scheduler.config.prediction_type])

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Int64 [b], every level equally likely."""
        return torch.randint(len(self.alphas), (count,), generator=generator)

    def quantiles(self, fractions: Sequence[float]) -> Tensor:
        """Int64 [q]."""
        return (torch.tensor(fractions) * len(self.alphas)).long().clamp(0, len(self.alphas) - 1)

    def scales(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Roots of the cumulative product and of the rest; a negative time is the clean picture."""
        known = self.alphas[times.clamp(min=0).cpu()]
        alphas = torch.where(times.cpu() < 0, torch.ones_like(known), known).to(times.device)
        return alphas.sqrt(), (1 - alphas).sqrt()

    def levels(self, steps: int) -> Tensor:
        """Evenly spaced from the last level (trailing spacing, arXiv 2305.08891), then -1 for clean."""
        count = len(self.alphas)
        if steps > count:
            raise ValueError(f"{steps} sampling steps are more than the {count} noise levels")
        times = [round(count - index * count / steps) - 1 for index in range(steps)]
        return torch.tensor([*times, -1])


def _wide(scale: Tensor, like: Tensor) -> Tensor:
    """[b] as [b, 1, 1, 1], in the place of ``like``."""
    return scale.to(like.device).view(-1, *[1] * (like.ndim - 1))
