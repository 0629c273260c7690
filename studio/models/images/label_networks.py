"""Small convolutional networks for a VAE and a GAN on pictures of 16 to 128 pixels, told a label.

Legend: b pictures, s side in pixels, w width (channels at full size), d latent size, k labels (index k means "no label").
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Pictures are halved until they are this large.
_SMALLEST = 4


def halvings(size: int) -> int:
    """How often a side can be halved down to 4 pixels.

    Raises:
        ValueError: the side is not 4 times a power of two.
    """
    count: int = round(math.log2(size / _SMALLEST))
    if count < 1 or _SMALLEST * 2**count != size:
        raise ValueError(f"a side of {size} pixels is not 8, 16, 32, 64 or 128")
    return count


def _channels(width: int, level: int) -> int:
    """Channels after ``level`` halvings: doubled each time, up to eight times the width."""
    return width * min(1 << level, 8)


class Residual(nn.Module):
    """Two 3x3 convolutions beside the input. [b, c, h, w] to the same shape; normalised in groups of 8 channels if asked."""

    def __init__(self, channels: int, *, normalise: bool) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        groups = max(1, channels // 8)
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) if normalise else nn.Identity() for _ in range(2))
        # Starts as the identity, so that depth does no harm at the start (Fixup, arXiv 1901.09321).
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w]."""
        h = self.first(functional.silu(self.norms[0](x)))
        h = self.second(functional.silu(self.norms[1](h)))
        summed: Tensor = x + h
        return summed


class Down(nn.Module):
    """Picture and label to a row of numbers. [b, 3, s, s] and int64 [b] to [b, out]."""

    def __init__(self, *, size: int, width: int, labels: int, out: int, normalise: bool) -> None:
        super().__init__()
        count = halvings(size)
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        for level in range(count):
            before, after = _channels(width, level), _channels(width, level + 1)
            layers += [Residual(before, normalise=normalise), nn.Conv2d(before, after, 4, stride=2, padding=1)]
        last = _channels(width, count)
        layers += [Residual(last, normalise=normalise), nn.SiLU(), nn.Flatten()]
        self.body = nn.Sequential(*layers)
        features = last * _SMALLEST**2
        self.head = nn.Linear(features, out)
        self.label = nn.Embedding(labels + 1, features)
        nn.init.normal_(self.label.weight, std=0.02)

    def forward(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """[b, out]."""
        features = self.body(pixels)  # [b, f]
        return self.head(features * (1 + self.label(labels)))  # type: ignore[no-any-return]


class Up(nn.Module):
    """Latent and label to a picture. [b, d] and int64 [b] to [b, 3, s, s], not bounded."""

    def __init__(self, *, size: int, width: int, labels: int, latent: int) -> None:
        super().__init__()
        count = halvings(size)
        top = _channels(width, count)
        self.label = nn.Embedding(labels + 1, latent)
        self.start = nn.Linear(2 * latent, top * _SMALLEST**2)
        layers: list[nn.Module] = [nn.Unflatten(1, (top, _SMALLEST, _SMALLEST)), Residual(top, normalise=True)]
        for level in reversed(range(count)):
            before, after = _channels(width, level + 1), _channels(width, level)
            # Enlarge, then convolve: a transposed convolution leaves a chequered pattern.
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(before, after, 3, padding=1)]
            layers += [Residual(after, normalise=True)]
        layers += [nn.GroupNorm(max(1, width // 8), width), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1)]
        self.body = nn.Sequential(*layers)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """[b, 3, s, s]."""
        return self.body(self.start(torch.cat([latents, self.label(labels)], dim=1)))  # type: ignore[no-any-return]


class Vae(nn.Module):
    """A variational autoencoder (https://arxiv.org/abs/1312.6114), encoder and decoder told the label."""

    def __init__(self, *, size: int, width: int, labels: int, latent: int) -> None:
        super().__init__()
        self.encoder = Down(size=size, width=width, labels=labels, out=2 * latent, normalise=True)
        self.decoder = Up(size=size, width=width, labels=labels, latent=latent)

    def encode(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior, each [b, d]."""
        mean, log_variance = self.encoder(pixels, labels).chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Pictures [b, 3, s, s] in -1..1 from latents [b, d]; tanh keeps them there."""
        return torch.tanh(self.decoder(latents, labels))


class Generator(nn.Module):
    """The half of a GAN that draws."""

    def __init__(self, *, size: int, width: int, labels: int, latent: int) -> None:
        super().__init__()
        self.decoder = Up(size=size, width=width, labels=labels, latent=latent)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Pictures [b, 3, s, s] in -1..1 from latents [b, d]."""
        return torch.tanh(self.decoder(latents, labels))


class Discriminator(Down):
    """The half of a GAN that judges: one number per picture, [b]. No normalisation, which would mix pictures of a batch."""

    def __init__(self, *, size: int, width: int, labels: int) -> None:
        super().__init__(size=size, width=width, labels=labels, out=1, normalise=False)

    def forward(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """[b]."""
        return super().forward(pixels, labels).squeeze(1)
