"""What a GAN's discriminator sees in place of a picture, so that a few hundred pictures cannot be learnt by heart.

Legend: b pictures, s side in pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def altered(pictures: Tensor, draws: torch.Generator) -> Tensor:
    """Each picture moved by up to an eighth of its side, with a square of half the side cut out; differentiable in the pictures.

    Real and drawn pictures alike go through it, in the generator's step too, so what is learnt is to draw unaltered ones.
    Source: DiffAugment (arXiv 2006.10738), section 3.2 and its reference code. Its changes of colour are left out: flat drawings
    in a few colours were learnt much more slowly with them (docs/log.md).

    Args:
        pictures: [b, 3, s, s] in -1..1.
    """
    return _cut(_moved(pictures, draws), draws)


def _moved(pictures: Tensor, draws: torch.Generator) -> Tensor:
    count, _, side, _ = pictures.shape
    far = max(1, side // 8)
    shifts = torch.randint(0, 2 * far + 1, (2, count), generator=draws).to(pictures.device)
    places = torch.arange(side, device=pictures.device)
    rows, columns = shifts[:, :, None] + places  # [b, s] each, into the padded picture
    padded = torch.nn.functional.pad(pictures, (far, far, far, far)).permute(0, 2, 3, 1)  # [b, s + 2 far, s + 2 far, 3]
    every = torch.arange(count, device=pictures.device)[:, None, None]
    return padded[every, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut(pictures: Tensor, draws: torch.Generator) -> Tensor:
    count, _, side, _ = pictures.shape
    middles = torch.randint(0, side, (2, count), generator=draws).to(pictures.device)
    apart = (torch.arange(side, device=pictures.device) - middles[:, :, None]).abs() < side // 4  # [2, b, s]
    return pictures * ~(apart[0][:, None, :, None] & apart[1][:, None, None, :])
