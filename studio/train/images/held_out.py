"""The held-out denoising loss: always the same noise at the same times, so that two of them can be compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from studio.models.images.families.base import Family
from studio.train.images.loop import diffusion_loss
from studio.train.images.pictures import Pictures

LEVELS = 8
"""Noise levels per picture, at the middles of as many equal shares of the times drawn in training."""


@torch.no_grad()
def held_out_loss(family: Family, pictures: Pictures, rows: Sequence[int] | None = None, *, batch_size: int = 16) -> float:
    """Mean squared error of the prediction over pictures and noise levels, in units of the training loss, unweighted.

    The noise of a picture comes from its content and the level, so it depends neither on order nor on the batch; nothing is
    augmented, no caption dropped, and of a VAE the mean is taken.

    Args:
        rows: which pictures; None means all.
    """
    chosen = list(range(len(pictures.captions))) if rows is None else list(rows)
    times = family.process.quantiles([(level + 0.5) / LEVELS for level in range(LEVELS)])
    total = 0.0
    for shape in dict.fromkeys(pictures.shapes[row] for row in chosen):
        alike = [row for row in chosen if pictures.shapes[row] == shape]
        pairs = [(row, level) for row in alike for level in range(LEVELS)]
        for first in range(0, len(pairs), batch_size):
            part = pairs[first : first + batch_size]
            rows_of = [row for row, _ in part]
            clean = family.latents(pictures.moments(rows_of, None), None)
            noise = torch.stack([_noise(pictures.identities[row], level, clean.shape[1:]) for row, level in part])
            at = times[torch.tensor([level for _, level in part])]
            text = pictures.text(rows_of, [False] * len(part))
            losses = diffusion_loss(family, clean, noise.to(clean.device), at, text, pictures.sizes(rows_of), gamma=None)
            total += float(losses.double().sum())
    return total / (len(chosen) * LEVELS)


def _noise(identity: str, level: int, shape: torch.Size) -> torch.Tensor:
    """Normal noise [c, h, w] that belongs to a picture and a level."""
    seed = (int(identity[:12], 16) * LEVELS + level) % (1 << 63)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
