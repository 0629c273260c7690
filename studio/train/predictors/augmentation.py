"""Altered copies of training pictures, made anew in each step, so that a network sees what does not matter.

Legend: b pictures of a step, s side in pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from studio.schema.networks import Pictures

# Weights of red, green and blue in brightness, ITU-R BT.601.
_GREY = (0.299, 0.587, 0.114)


def augment(pixels: Tensor, settings: Pictures, draws: torch.Generator) -> Tensor:
    """Mirror, move and colour pictures float32 [b, 3, s, s] in 0..255 as the preset says."""
    if settings.flip:
        mirrored = torch.rand(len(pixels), generator=draws) < 0.5
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    if settings.shift:
        pixels = moved(pixels, settings.shift, draws)
    if settings.colour:
        pixels = coloured(pixels, settings.colour, draws)
    return pixels


def moved(pixels: Tensor, share: float, draws: torch.Generator) -> Tensor:
    """Each picture by whole pixels, up to a share of its side in both directions; the border is repeated."""
    side = pixels.shape[-1]
    most = round(share * side)
    if most == 0:
        return pixels
    wide = functional.pad(pixels, (most, most, most, most), mode="replicate")
    places = torch.randint(0, 2 * most + 1, (len(pixels), 2), generator=draws).tolist()
    return torch.stack(
        [picture[:, top : top + side, left : left + side] for picture, (top, left) in zip(wide, places, strict=True)]
    )


def coloured(pixels: Tensor, share: float, draws: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation of each picture, each times 1 - share to 1 + share; what leaves 0..255 is cut."""
    brightness, contrast, saturation = 1 + share * (2 * torch.rand((3, len(pixels), 1, 1, 1), generator=draws) - 1)
    pixels = pixels * brightness
    pixels = _between(pixels, pixels.mean(dim=(1, 2, 3), keepdim=True), contrast)
    grey = (pixels * torch.tensor(_GREY)[None, :, None, None]).sum(dim=1, keepdim=True)
    return _between(pixels, grey, saturation).clamp(0, 255)


def _between(pixels: Tensor, plain: Tensor, factor: Tensor) -> Tensor:
    """What a picture differs from a plain one, times a factor."""
    return plain + (pixels - plain) * factor
