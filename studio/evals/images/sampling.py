"""What the models are asked to draw, the pictures they drew, and the real pictures these are compared with."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from studio.data.images.rows import ImageRow, open_image
from studio.evals.images.network import fit

# Batches drawn before their pictures are put down: 8 of 32 at 1,024 pixels are 800 MB.
_BATCHES_AT_ONCE = 8


class Sampler(Protocol):
    """The part of :class:`studio.adapters.images.loading.LoadedImageRun` that is needed here."""

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        batch_size: int = 32,
        advance: Callable[[int], None] | None = None,
    ) -> list[Image.Image]:
        """One picture per prompt and seed."""
        ...


@dataclass(frozen=True)
class Order:
    """One picture to be made: the prompt, the seed of its noise, and the label of the caption it came from."""

    prompt: str
    seed: int
    label: str | None = None


def orders_from_rows(rows: Sequence[ImageRow], count: int, seed: int) -> list[Order]:
    """Captions as prompts, drawn with a seed; where there are fewer than wanted they come again, each time with another noise."""
    shuffled = random.Random(seed).sample(list(rows), len(rows))
    chosen = [shuffled[index % len(shuffled)] for index in range(count)]
    return [Order(row.caption, _noise_seed(seed, index), row.label) for index, row in enumerate(chosen)]


def orders_from_texts(texts: Sequence[str], count: int, seed: int) -> list[Order]:
    """The suite's own prompts, in turn."""
    return [Order(texts[index % len(texts)], _noise_seed(seed, index)) for index in range(count)]


def _noise_seed(seed: int, index: int) -> int:
    """A seed per picture; two suites with neighbouring seeds share none."""
    return seed * 1_000_003 + index


@dataclass(frozen=True)
class Album:
    """Made pictures in a folder, one PNG each, so that memory does not grow with their number."""

    folder: Path
    count: int

    def __len__(self) -> int:
        return self.count

    def path(self, index: int) -> Path:
        """File of a picture."""
        return self.folder / file_name(index)

    def open(self, index: int) -> Image.Image:
        """A picture, decoded."""
        with Image.open(self.path(index)) as picture:
            return picture.convert("RGB")

    def __iter__(self) -> Iterator[Image.Image]:
        return (self.open(index) for index in range(self.count))


def file_name(index: int) -> str:
    """Name of the file of a picture."""
    return f"{index:05d}.png"


def make_pictures(
    sampler: Sampler,
    orders: Sequence[Order],
    folder: Path,
    *,
    steps: int | None,
    guidance: float | None,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
) -> Album:
    """Have the pictures drawn, some batches at a time, and put them into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    at_once = _BATCHES_AT_ONCE * batch_size
    for start in range(0, len(orders), at_once):
        part = orders[start : start + at_once]
        pictures = sampler.sample(
            [order.prompt for order in part],
            [order.seed for order in part],
            steps=steps,
            guidance=guidance,
            batch_size=batch_size,
            advance=advance,
        )
        for index, picture in enumerate(pictures, start):
            picture.convert("RGB").save(folder / file_name(index))
    return Album(folder, len(orders))


@dataclass(frozen=True)
class RealPictures:
    """Pictures of a Dataset at the size the model makes, opened one at a time. size: width and height in pixels."""

    folder: Path
    rows: Sequence[ImageRow]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.rows)

    def open(self, index: int) -> Image.Image:
        """A picture, decoded and fitted."""
        return fit(open_image(self.folder, self.rows[index]), self.size)

    def __iter__(self) -> Iterator[Image.Image]:
        return (self.open(index) for index in range(len(self.rows)))
