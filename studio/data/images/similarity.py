"""How alike two pictures are: perceptual hashes propose pairs, the colours of a 16 x 16 picture decide.

The hash (imagehash's phash) sees shapes in grey: a red and a blue heart are the same to it, and so are many flags. No pair counts
before its colours were compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from studio.data.images.look import Picture

# Hashes compared at once: 2,048 x n distances of one byte each.
_BLOCK = 2048


class NearImages:
    """Verified similar pairs among pictures."""

    def __init__(self, pictures: Sequence[Picture], distance: int, difference: float) -> None:
        """``distance``: most differing bits of 64; ``difference``: largest mean difference of colour, share of the range."""
        self._distance, self._difference = distance, difference
        self._hashes: NDArray[np.uint64] = np.array([int(picture.phash, 16) for picture in pictures], dtype=np.uint64)
        colours = [np.frombuffer(bytes.fromhex(picture.colours), dtype=np.uint8) for picture in pictures]
        self._colours: NDArray[np.uint8] = np.stack(colours) if colours else np.zeros((0, 0), dtype=np.uint8)

    def earlier(self) -> Iterator[tuple[int, list[tuple[int, int, float]]]]:
        """For each picture in order, the earlier ones that are near: index, bits, difference of colour."""
        for start in range(0, len(self._hashes), _BLOCK):
            stop = min(start + _BLOCK, len(self._hashes))
            # [block, stop]: every picture of the block against all up to its end.
            bits = np.bitwise_count(self._hashes[start:stop, None] ^ self._hashes[None, :stop])
            for index in range(start, stop):
                near = np.flatnonzero(bits[index - start, :index] <= self._distance)
                yield index, self._verified(index, near, bits[index - start])

    def _verified(self, index: int, near: NDArray[np.intp], bits: NDArray[np.uint8]) -> list[tuple[int, int, float]]:
        """Those of the proposed pictures whose colours agree."""
        if not len(near):
            return []
        gaps = np.abs(self._colours[near].astype(np.int16) - self._colours[index].astype(np.int16)).mean(axis=1) / 255
        return [
            (int(other), int(bits[other]), float(gap)) for other, gap in zip(near, gaps, strict=True) if gap <= self._difference
        ]
