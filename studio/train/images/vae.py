"""How a variational autoencoder learns: reconstruct, and keep the latents near the prior. Its loss, then its step.

Legend: b pictures, s side in pixels, d latent size, D = 3 s s numbers of a picture.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

from studio.models.images.families.labelled import LabelVae
from studio.models.images.label_networks import Vae
from studio.schema.generative import VaeAdapter
from studio.train.images.learning import Learning
from studio.train.images.trained import Trained

# A latent number is in use when its mean varies by more than this over pictures (arXiv 1509.00519, appendix C).
_ACTIVE = 0.01


def vae_loss(network: Vae, pixels: Tensor, labels: Tensor, noise: Tensor, *, beta: float) -> tuple[Tensor, dict[str, float]]:
    """Negative evidence bound in nats per number of the picture, with the best noise level of the decoder.

    With p(x | z) = N(decoded, sigma^2) and the sigma that fits the batch best, the reconstruction costs log sigma per number;
    so there is no weight to guess between the two terms.
    Source: sigma-VAE (arXiv 2006.13202), section 4.2.

    Args:
        pixels: [b, 3, s, s] in -1..1.
        noise: [b, d].
    """
    mean, log_variance = network.encode(pixels, labels)  # [b, d] each
    decoded = network(mean + torch.exp(0.5 * log_variance) * noise, labels)
    error = (decoded - pixels).square().mean()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    size = pixels[0].numel()
    reconstruction = 0.5 * torch.log(2 * math.pi * error.clamp(min=1e-8)) + 0.5
    bound = reconstruction + beta * divergence / size
    figures = {"reconstruction": float(error.detach()), "divergence": float(divergence.detach())}
    return bound, figures


@torch.no_grad()
def held_out_bound(network: Vae, pixels: Tensor, labels: Tensor) -> float:
    """The bound on pictures that were not trained on, always with the same noise; beta is 1 whatever the training's was."""
    latent = network.encoder.head.out_features // 2
    noise = torch.randn(len(pixels), latent, generator=torch.Generator().manual_seed(0)).to(pixels.device)
    return float(vae_loss(network, pixels, labels, noise, beta=1.0)[0])


@torch.no_grad()
def active_units(network: Vae, pixels: Tensor, labels: Tensor) -> dict[str, Any]:
    """How many latent numbers say anything about the picture; none is the collapse that a VAE is prone to."""
    mean, _ = network.encode(pixels, labels)
    active = int((mean.var(dim=0) > _ACTIVE).sum())
    warnings = []
    if active == 0:
        warnings.append("the decoder ignores the latents (posterior collapse): lower 'beta' or train longer.")
    return {"active": active, "latent": mean.shape[1], "warnings": warnings}


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
