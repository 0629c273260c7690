"""How a variational autoencoder learns: reconstruct, and keep the latents near the prior.

Legend: b pictures, s side in pixels, d latent size, D = 3 s s numbers of a picture.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from studio.models.images.label_networks import Vae

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
