"""How a generative adversarial network learns: one network draws, the other tells drawn from real, both in pairs.

The losses of both come first, then the step that uses them.

Legend: b pictures, s side in pixels, d latent size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from studio.models.images.families.labelled import LabelGan
from studio.models.images.label_networks import Discriminator, Generator
from studio.schema.generative import GanAdapter
from studio.train.images.augment import altered
from studio.train.images.learning import Learning
from studio.train.images.trained import Trained

Alter = Callable[[Tensor], Tensor]


def discriminator_loss(
    judge: Discriminator,
    generator: Generator,
    real: Tensor,
    labels: Tensor,
    noise: Tensor,
    *,
    penalty: float,
    alter: Alter = lambda pictures: pictures,
) -> tuple[Tensor, dict[str, float]]:
    """The judge is to rate each real picture above the drawn one beside it, and to be flat around both.

    f(D(drawn) - D(real)) with f(t) = log(1 + e^t), plus gamma / 2 times the squared gradients at real (R1) and drawn (R2)
    pictures, without which the pairing can fail to converge.
    Source: R3GAN (arXiv 2501.05441), sections 2.1 and 2.2.

    Args:
        real: [b, 3, s, s] in -1..1.
        noise: [b, d].
        alter: what the judge sees in place of pictures [2b, 3, s, s].
    """
    with torch.no_grad():
        drawn = generator(noise, labels)
    pictures = alter(torch.cat([real, drawn])).requires_grad_()  # [2b, 3, s, s]
    rated = judge(pictures, labels.repeat(2))
    rated_real, rated_drawn = rated.chunk(2)  # [b] each
    flat_real, flat_drawn = _squared_gradient(rated, pictures).chunk(2)  # [b] each
    loss = functional.softplus(rated_drawn - rated_real).mean() + penalty / 2 * (flat_real + flat_drawn).mean()
    right = (rated_real > rated_drawn).float().mean()
    return loss, {"judge": float(loss.detach()), "told_apart": float(right)}


def generator_loss(
    judge: Discriminator,
    generator: Generator,
    real: Tensor,
    labels: Tensor,
    noise: Tensor,
    *,
    alter: Alter = lambda pictures: pictures,
) -> Tensor:
    """The mirror image: each drawn picture is to be rated above the real one beside it."""
    with torch.no_grad():
        rated_real = judge(alter(real), labels)
    rated_drawn = judge(alter(generator(noise, labels)), labels)
    return functional.softplus(rated_real - rated_drawn).mean()


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


def _squared_gradient(rating: Tensor, pictures: Tensor) -> Tensor:
    """Squared norm of the rating's gradient at each picture, [b]; differentiable."""
    (gradient,) = torch.autograd.grad(rating.sum(), pictures, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1)
