"""Training pictures on their way into the loop: which rows each step takes, and what the network sees of them.

Legend: b pictures of a window (one optimizer step), c channels, h and w the size of what the network sees.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from studio.core.errors import UserError
from studio.data.images.rows import ImageRow, open_image
from studio.models.images.families.base import Conditions, Family, Size

# Decoded pictures stay in memory up to this many bytes; beyond it they are decoded again when their turn comes.
_KEPT_BYTES = 1 << 30


class Pictures(Protocol):
    """What the loop asks of a split. One implementation encodes as it goes, another reads a cache."""

    @property
    def captions(self) -> Sequence[str]:
        """One per picture."""

    @property
    def shapes(self) -> Sequence[tuple[int, int]]:
        """Height and width in pixels that each picture is shown at; a window holds pictures of one shape."""

    @property
    def weights(self) -> Sequence[float]:
        """Weight of each picture's loss."""

    @property
    def identities(self) -> Sequence[str]:
        """Hash of each picture's content; fixed noise is drawn from it."""

    def moments(self, rows: Sequence[int], draws: torch.Generator | None) -> Tensor:
        """What ``Family.latents`` takes, [b, ...]; ``draws`` decides the augmentation, None means none."""

    def text(self, rows: Sequence[int], dropped: Sequence[bool]) -> Conditions:
        """Conditions of the captions, those that are dropped replaced by the empty one."""

    def sizes(self, rows: Sequence[int]) -> list[Size]:
        """Where the pictures come from."""


class LivePictures:
    """A split that is decoded, augmented and encoded as it is needed."""

    def __init__(
        self,
        family: Family,
        folder: Path,
        rows: Sequence[ImageRow],
        *,
        resolution: int,
        flip: bool = False,
        shift: int = 0,
        weights: Sequence[float] | None = None,
    ) -> None:
        """Nothing is decoded yet.

        Args:
            folder: the Dataset.
            resolution: side in pixels of a square picture; a row with a bucket keeps its shape at this area.
            flip, shift: see :class:`studio.schema.diffusion.DiffusionAdapter`.
        Raises:
            UserError: a bucket does not fit the family.
        """
        self.family, self.folder, self.rows, self.flip, self.shift = family, folder, list(rows), flip, shift
        self.captions = [row.caption or "" for row in rows]
        self.shapes = [shape_of(row, resolution, family) for row in rows]
        self.weights = list(weights) if weights is not None else [1.0] * len(self.rows)
        self.identities = [row.sha256 for row in rows]
        self._decoded: dict[int, Tensor] = {}
        self._bytes = 0

    def pixels(self, row: int) -> Tensor:
        """One picture as uint8 [3, h, w], scaled to cover its shape and cropped in the middle."""
        known = self._decoded.get(row)
        if known is not None:
            return known
        pixels = fit(open_image(self.folder, self.rows[row]), self.shapes[row])
        if self._bytes + pixels.nbytes <= _KEPT_BYTES:
            self._decoded[row] = pixels
            self._bytes += pixels.nbytes
        return pixels

    def moments(self, rows: Sequence[int], draws: torch.Generator | None) -> Tensor:
        """Decode, augment, scale to -1..1 and encode."""
        pixels = torch.stack([self.pixels(row) for row in rows])
        if draws is not None:
            pixels = augment(pixels, draws, flip=self.flip, shift=self.shift)
        scaled = (pixels.float() / 127.5 - 1).to(self.family.device)
        with torch.no_grad():
            return self.family.encode_pixels(scaled)

    def text(self, rows: Sequence[int], dropped: Sequence[bool]) -> Conditions:
        """Encode the captions, with gradient where a text network trains."""
        prompts = ["" if gone else self.captions[row] for row, gone in zip(rows, dropped, strict=True)]
        return self.family.encode_text(prompts)

    def sizes(self, rows: Sequence[int]) -> list[Size]:
        """Original sizes and the crop of :func:`fit`."""
        return [_size(self.rows[row], self.shapes[row]) for row in rows]


def shape_of(row: ImageRow, resolution: int, family: Family) -> tuple[int, int]:
    """Height and width that a row is shown at: square, or its bucket's shape at the area of a square.

    Raises:
        UserError: the family cannot do this resolution.
    """
    if family.only_default_size:
        if resolution != family.default_size:
            raise UserError(
                f"resolution {resolution} does not fit this base, which knows {family.default_size} pixels only. "
                f"Set resolution to {family.default_size}, or leave it out."
            )
        return resolution, resolution
    if resolution % family.multiple:
        near = max(family.multiple, round(resolution / family.multiple) * family.multiple)
        raise UserError(
            f"resolution {resolution} is not a multiple of {family.multiple}, which the family {family.name} needs. "
            f"Set resolution to {near}."
        )
    if row.bucket is None:
        return resolution, resolution
    width, height = (int(side) for side in row.bucket.split("x"))
    scale = resolution / (width * height) ** 0.5
    sides = [max(family.multiple, round(side * scale / family.multiple) * family.multiple) for side in (height, width)]
    return sides[0], sides[1]


def fit(picture: Image.Image, shape: tuple[int, int]) -> Tensor:
    """Scale a picture until it covers the shape, crop the middle; uint8 [3, h, w]."""
    height, width = shape
    scale = max(width / picture.width, height / picture.height)
    size = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    cropped = picture.crop((left, top, left + width, top + height))
    return torch.from_numpy(np.array(cropped, dtype=np.uint8)).permute(2, 0, 1).contiguous()


def augment(pixels: Tensor, draws: torch.Generator, *, flip: bool, shift: int) -> Tensor:
    """Mirror every other picture and move each by up to ``shift`` pixels, its border repeated; uint8 [b, 3, h, w].

    The draws are made whether or not they are used, so that switching one on changes nothing else.
    """
    count, _, height, width = pixels.shape
    mirrored, moves = draw_augmentation(count, draws, shift=shift)
    if flip:
        pixels = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(-1), pixels)
    if shift:
        wide = torch.nn.functional.pad(pixels.float(), [shift] * 4, mode="replicate").to(torch.uint8)
        moved = [wide[row, :, top : top + height, left : left + width] for row, (top, left) in enumerate(moves.tolist())]
        pixels = torch.stack(moved)
    return pixels


def draw_augmentation(count: int, draws: torch.Generator, *, shift: int) -> tuple[Tensor, Tensor]:
    """Which pictures are mirrored, bool [b], and how far each is moved, int64 [b, 2]; cached and live pictures draw alike."""
    mirrored = torch.rand(count, generator=draws) < 0.5
    return mirrored, torch.randint(2 * shift + 1, (count, 2), generator=draws)


def image_windows(shapes: Sequence[tuple[int, int]], *, batch_size: int, steps: int, seed: int) -> list[list[int]]:
    """The rows of every optimizer step, decided once from the seed; a window holds one shape.

    Every epoch goes through all rows in a new order. Rows wait in a queue for their shape until a window is full, so a rare
    shape comes as often as the others, only less often at a time.

    Raises:
        UserError: there are no rows.
    """
    if not shapes:
        raise UserError(
            "the Dataset has no training pictures. Look at its removed.parquet, or build it with a larger train split."
        )
    queues: dict[tuple[int, int], deque[int]] = {}
    windows: list[list[int]] = []
    epoch = 0
    while len(windows) < steps:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        for row in torch.randperm(len(shapes), generator=generator).tolist():
            queue = queues.setdefault(shapes[row], deque())
            queue.append(row)
            if len(queue) == batch_size:
                windows.append(list(queue))
                queue.clear()
        epoch += 1
    return windows[:steps]


def _size(row: ImageRow, shape: tuple[int, int]) -> Size:
    """Crop in pixels of the scaled picture, as SDXL was told."""
    scale = max(shape[1] / row.width, shape[0] / row.height)
    top, left = (round(row.height * scale) - shape[0]) // 2, (round(row.width * scale) - shape[1]) // 2
    return Size(original=(row.height, row.width), crop=(max(0, top), max(0, left)), target=shape)
