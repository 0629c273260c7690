"""Steps on size and shape. What size a picture gets is decided here; it is drawn at the end, once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from studio.core.telling import counted
from studio.data.images.look import Picture
from studio.data.images.steps.base import ImageStep, SingleStep, Verdict
from studio.data.verdicts import Drop

Shape = tuple[int, int]


class ImageSize(SingleStep):
    """Pictures with too few or too many pixels."""

    def __init__(self, min_side: int | None = None, max_side: int | None = None, min_pixels: int | None = None) -> None:
        """Limits in pixels, None for none."""
        self._min, self._max, self._pixels = min_side, max_side, min_pixels

    def judge(self, picture: Picture) -> Verdict:
        """Drop or keep."""
        size = f"{picture.width} x {picture.height} pixels"
        if self._min is not None and min(picture.width, picture.height) < self._min:
            return Drop("too small", size, f"shorter side at least {self._min}")
        if self._pixels is not None and picture.width * picture.height < self._pixels:
            return Drop("too small", size, f"at least {self._pixels:,} pixels in all")
        if self._max is not None and max(picture.width, picture.height) > self._max:
            return Drop("too large", size, f"longer side at most {self._max}")
        return picture


class Aspect(SingleStep):
    """Pictures that are far from square."""

    def __init__(self, max_ratio: float = 3.0) -> None:
        """``max_ratio``: longest side over shortest side."""
        self._max = max_ratio

    def judge(self, picture: Picture) -> Verdict:
        """Drop or keep."""
        ratio = max(picture.width, picture.height) / min(picture.width, picture.height)
        if ratio > self._max:
            return Drop("too elongated", f"{picture.width} x {picture.height}, {ratio:.2f} to 1", f"at most {self._max:g} to 1")
        return picture


class Resize(ImageStep):
    """One size for all pictures."""

    def __init__(self, size: int, fit: str = "crop") -> None:
        """``fit``: ``crop``, ``pad`` or ``inside``; see :class:`studio.schema.image_steps.ResizeStep`."""
        self._size, self._fit = size, fit

    def judge_all(self, pictures: Sequence[Picture]) -> list[Verdict]:
        """Never drops."""
        small = sum(max(picture.width, picture.height) < self._size for picture in pictures) if self._fit != "inside" else 0
        self.notes = _enlarged(small)
        return [replace(picture, target=self._target(picture), fit=self._fit) for picture in pictures]

    def _target(self, picture: Picture) -> Shape:
        """Size of one stored picture."""
        if self._fit != "inside":
            return self._size, self._size
        shrink = min(1.0, self._size / max(picture.width, picture.height))
        return max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink))


class Buckets(ImageStep):
    """Shapes of about equal area; every picture gets the one that is nearest to its own. None is dropped."""

    def __init__(self, size: int = 512, multiple: int = 64, max_ratio: float = 2.0, min_rows: int = 1) -> None:
        """See :class:`studio.schema.image_steps.BucketsStep`."""
        self._shapes = bucket_shapes(size, multiple, max_ratio)
        self._min_rows = min_rows

    def judge_all(self, pictures: Sequence[Picture]) -> list[Verdict]:
        """Never drops: a rare bucket's pictures go to the nearest bucket that has enough."""
        chosen = [nearest_shape(picture, self._shapes) for picture in pictures]
        counts = Counter(chosen)
        large = [shape for shape in self._shapes if counts[shape] >= self._min_rows]
        notes: list[str] = []
        if not large:
            # All are rare: the fullest takes them all rather than none being trained on.
            large = [counts.most_common(1)[0][0]]
        for shape in sorted(set(counts) - set(large)):
            notes.append(
                f"bucket {shape[0]}x{shape[1]} had {counted(counts[shape], 'picture')} and was merged into its neighbours"
            )
        final = [
            shape if shape in large else nearest_shape(picture, large) for picture, shape in zip(pictures, chosen, strict=True)
        ]
        small = sum(
            picture.width < width or picture.height < height for picture, (width, height) in zip(pictures, final, strict=True)
        )
        self.notes = (*notes, *_enlarged(small))
        return [
            replace(picture, target=shape, fit="crop", bucket=f"{shape[0]}x{shape[1]}")
            for picture, shape in zip(pictures, final, strict=True)
        ]


def bucket_shapes(size: int, multiple: int, max_ratio: float) -> list[Shape]:
    """Every width and the largest height so that the area is at most that of the square, both multiples of ``multiple``.

    Source: SDXL's aspect-ratio buckets (Podell et al. 2023, appendix I), which kohya and SimpleTuner use as well.
    """
    shapes: set[Shape] = set()
    for short in range(multiple, size + 1, multiple):
        long = size * size // short // multiple * multiple
        if long / short <= max_ratio:
            shapes |= {(short, long), (long, short)}
    return sorted(shapes)


def nearest_shape(picture: Picture, shapes: Sequence[Shape]) -> Shape:
    """The shape whose aspect ratio is nearest, on a logarithmic scale; of two the larger one."""
    ratio = math.log(picture.width / picture.height)
    return min(shapes, key=lambda shape: (round(abs(math.log(shape[0] / shape[1]) - ratio), 9), -shape[0] * shape[1]))


def _enlarged(count: int) -> tuple[str, ...]:
    """A note about pictures that have fewer pixels than they will be stored with."""
    if not count:
        return ()
    said = "with fewer pixels than the size to be stored: enlarged; the step 'size' would remove them"
    return (f"{counted(count, 'picture')} {said}",)
