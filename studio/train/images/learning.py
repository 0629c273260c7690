"""One optimizer step of a VAE and of a GAN. Their losses stand in ``vae.py`` and ``gan.py``.

Legend: b pictures, s side in pixels, d latent size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

import torch
from torch import Tensor

from studio.models.images.families.labelled import LabelGan, LabelledFamily, LabelVae
from studio.models.images.label_networks import Discriminator, Generator, Vae
from studio.schema.generative import GanAdapter, LabelledAdapter, VaeAdapter
from studio.train.images.augment import altered
from studio.train.images.gan import discriminator_loss, generator_loss
from studio.train.images.trained import Trained
from studio.train.images.vae import active_units, held_out_bound, vae_loss


class Learning(ABC):
    """What differs between the two: the networks that train, a step, a held-out figure, and what may go wrong."""

    adapter: LabelledAdapter
    family: LabelledFamily
    trained: Trained
    optimizers: list[torch.optim.Optimizer]

    @abstractmethod
    def step(self, pixels: Tensor, labels: Tensor, draws: torch.Generator) -> dict[str, float]:
        """One optimizer step on pictures [b, 3, s, s] in -1..1; ``loss`` and other figures."""

    def held_out(self, pixels: Tensor, labels: Tensor) -> float | None:  # noqa: ARG002 - a GAN has no such figure
        """A loss on pictures that are not trained on, None where there is none."""
        return None

    def problems(self, pixels: Tensor, labels: Tensor) -> dict[str, Any]:  # noqa: ARG002 - see VaeLearning
        """Figures on training pictures, with ``warnings``."""
        return {"warnings": []}

    def _noise(self, count: int, draws: torch.Generator) -> Tensor:
        return torch.randn(count, self.adapter.latent, generator=draws).to(self.family.device)  # [b, d]


class VaeLearning(Learning):
    """One network, one loss."""

    def __init__(self, adapter: VaeAdapter, family: LabelVae) -> None:
        """Adam with its usual memory."""
        self.adapter: VaeAdapter = adapter
        self.family, self.network = family, cast(Vae, family.network)
        self.trained = Trained({"network": self.network})
        self.optimizers = [torch.optim.Adam(self.trained.parameters.values(), lr=adapter.learning_rate)]

    def step(self, pixels: Tensor, labels: Tensor, draws: torch.Generator) -> dict[str, float]:
        """Down the bound."""
        loss, figures = vae_loss(self.network, pixels, labels, self._noise(len(pixels), draws), beta=self.adapter.beta)
        loss.backward()
        figures["grad_norm"] = float(torch.nn.utils.clip_grad_norm_(self.trained.parameters.values(), 1.0))
        self.optimizers[0].step()
        self.optimizers[0].zero_grad(set_to_none=True)
        return {"loss": float(loss.detach()), **figures}

    def held_out(self, pixels: Tensor, labels: Tensor) -> float | None:
        """The bound in nats per number of the picture."""
        return held_out_bound(self.network, pixels, labels)

    def problems(self, pixels: Tensor, labels: Tensor) -> dict[str, Any]:
        """Latent numbers in use."""
        return active_units(self.network, pixels, labels)


class GanLearning(Learning):
    """Two networks in turn, on the same pictures."""

    def __init__(self, adapter: GanAdapter, family: LabelGan) -> None:
        """Adam without momentum, as R3GAN trains."""
        self.adapter: GanAdapter = adapter
        self.family, self.generator = family, cast(Generator, family.network)
        self.judge = Discriminator(size=adapter.resolution, width=adapter.width, labels=len(family.labels)).to(family.device)
        self.trained = Trained({"network": self.generator, "judge": self.judge})
        adam: dict[str, Any] = {"lr": adapter.learning_rate, "betas": (0.0, 0.99), "eps": 1e-8}
        self.optimizers = [torch.optim.Adam(network.parameters(), **adam) for network in (self.judge, self.generator)]

    def step(self, pixels: Tensor, labels: Tensor, draws: torch.Generator) -> dict[str, float]:
        """The judge's step, then the generator's, each with noise of its own."""
        judge_noise, noise = self._noise(len(pixels), draws), self._noise(len(pixels), draws)

        def alter(pictures: Tensor) -> Tensor:
            return altered(pictures, draws) if self.adapter.alter else pictures

        loss, figures = discriminator_loss(
            self.judge, self.generator, pixels, labels, judge_noise, penalty=self.adapter.penalty, alter=alter
        )
        loss.backward()
        self._down(0)
        loss = generator_loss(self.judge, self.generator, pixels, labels, noise, alter=alter)
        loss.backward()
        self._down(1)
        return {"loss": float(loss.detach()), **figures}

    def _down(self, which: int) -> None:
        """A step of one network; what the other's backward pass left is thrown away."""
        self.optimizers[which].step()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
