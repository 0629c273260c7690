"""The network through whose eyes pictures are scored, and running it over many pictures.

Legend: n pictures, b pictures of one batch, d features, c classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from studio.evals.images.inception import InceptionV3, is_reference, load_inception

Floats32 = NDArray[np.float32]


class FeatureNetwork(Protocol):
    """A classifier that also says how it sees a picture.

    name: for people, with the start of its hash unless it is the reference. sha256: of its weights file.
    reference: True only for the Inception weights of 2015-12-05, whose scores have plain names (IS, FID, KID).
    """

    name: str
    sha256: str
    reference: bool

    def prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        """A picture as the network takes it, uint8 [h, w, 3]."""
        ...

    def look(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [b, 3, h, w] -> features [b, d] and logits [b, c]."""
        ...


@dataclass(frozen=True)
class Seen:
    """How a network sees n pictures: features [n, d], logits [n, c]."""

    features: Floats32
    logits: Floats32

    def __len__(self) -> int:
        return len(self.features)


class Inception:
    """Inception-v3 of the published scores, or the same network with other weights."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        """Read the weights; see :func:`studio.evals.images.inception.load_inception`."""
        self.network: InceptionV3
        self.network, self.sha256 = load_inception(path)
        self.network.to(device)
        self.device = device
        self.reference = is_reference(self.sha256)
        self.name = "Inception-v3 of 2015-12-05" if self.reference else f"Inception-v3 {self.sha256[:8]}"

    def prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        """As it is: the network resizes on its own, and any other resize would change the score."""
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)

    def look(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`FeatureNetwork.look`; d = 2048, c = 1008."""
        features, logits = self.network(pictures.to(self.device))
        return features, logits


def see(
    network: FeatureNetwork,
    pictures: Iterable[Image.Image],
    *,
    batch_size: int = 64,
    advance: Callable[[int], None] | None = None,
) -> Seen:
    """Run a network over pictures, in their order, without gradients; only a batch of them is held at a time.

    A batch ends where the size changes, so pictures of one size go fastest.
    """
    features: list[Floats32] = []
    logits: list[Floats32] = []
    with torch.inference_mode():
        for batch in _batches((network.prepare(picture) for picture in pictures), batch_size):
            stacked = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)  # uint8 [b, 3, h, w]
            found = network.look(stacked)
            features.append(found[0].float().cpu().numpy())
            logits.append(found[1].float().cpu().numpy())
            if advance:
                advance(len(batch))
    if not features:
        return Seen(np.empty((0, 0), dtype=np.float32), np.empty((0, 0), dtype=np.float32))
    return Seen(np.concatenate(features), np.concatenate(logits))


def _batches(arrays: Iterable[NDArray[np.uint8]], size: int) -> Iterator[list[NDArray[np.uint8]]]:
    """Runs of arrays of one shape, at most ``size`` of them."""
    batch: list[NDArray[np.uint8]] = []
    for array in arrays:
        if batch and (len(batch) == size or array.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(array)
    if batch:
        yield batch


def pixels(pictures: Iterable[Image.Image], side: int = 32) -> Floats32:
    """Pictures as plain numbers for the pixel distance: [n, 3 * side * side], each 0 to 1.

    The Euclidean distance is divided by the root of the count, so that 0 is equal and 1 is black against white.
    """
    shape = (side, side)
    rows = [np.asarray(picture.convert("RGB").resize(shape, Image.Resampling.BOX), dtype=np.float32) for picture in pictures]
    if not rows:
        return np.empty((0, 3 * side * side), dtype=np.float32)
    flat: Floats32 = np.stack(rows).reshape(len(rows), -1) / np.float32(255 * np.sqrt(3 * side * side))
    return flat


def fit(picture: Image.Image, size: Sequence[int]) -> Image.Image:
    """A real picture at the size the model makes: the short side scaled, the rest cut evenly. (width, height) in pixels.

    Without it a score would measure the difference in resolution.
    """
    width, height = size
    picture = picture.convert("RGB")
    if picture.size == (width, height):
        return picture
    scale = max(width / picture.width, height / picture.height)
    scaled = picture.resize(
        (max(width, round(picture.width * scale)), max(height, round(picture.height * scale))), Image.Resampling.LANCZOS
    )
    left, top = (scaled.width - width) // 2, (scaled.height - height) // 2
    return scaled.crop((left, top, left + width, top + height))


def noise_pictures(count: int, size: Sequence[int], seed: int) -> Iterator[Image.Image]:
    """Pictures of independent uniform noise: the lower mark of every score. (width, height) in pixels."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        yield Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
