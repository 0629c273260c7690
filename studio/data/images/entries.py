"""Pictures as pages show them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from studio.data.boxes import boxes_of
from studio.data.entries import REMOVED, Entry, facts_of, given
from studio.data.images.rows import ImageRow, RemovedImage, open_image, read_image_split, read_removed_images

if TYPE_CHECKING:
    from PIL import Image


def image_entries(folder: Path, part: str) -> list[Entry]:
    """Rows of one split of a finished Dataset, or its removed rows.

    Raises:
        StudioError: a file is missing or damaged.
    """
    if part == REMOVED:
        return [_removed(gone) for gone in read_removed_images(folder)]
    return [_picture(folder, row) for row in read_image_split(folder, part)]


def _picture(folder: Path, row: ImageRow) -> Entry:
    """A picture."""
    facts = {
        "label": row.label,
        "group": row.group,
        "pixels": f"{row.width} x {row.height}",
        "bucket": row.bucket,
        "source": row.source,
        "file": row.image,
    }
    said = [{"role": "caption", "content": row.caption}]
    boxes = boxes_of(row.meta)
    # Where they lie is drawn; a page of numbers would say it to nobody.
    other = row.meta | ({"boxes": [box.label for box in boxes]} if boxes else {})
    return Entry(row.id, said, given(facts) | facts_of(other), "", _opener(folder, row), boxes=boxes)


def _opener(folder: Path, row: ImageRow) -> Callable[[], Image.Image]:
    """Opens the picture of a row when it is looked at."""
    return lambda: open_image(folder, row)


def _removed(gone: RemovedImage) -> Entry:
    """A removed picture with the thumbnail that was kept."""
    facts = {"found": gone.value, "allowed": gone.threshold, "repeats": gone.matched, "file": gone.file, "source": gone.source}
    said = [{"role": "caption", "content": gone.caption}] if gone.caption else []
    return Entry(gone.id, said, given(facts), f"{gone.step}: {gone.reason}", lambda: _thumbnail(gone.thumbnail))


def _thumbnail(data: bytes | None) -> Image.Image:
    """A kept thumbnail, or a grey field where the picture could not be decoded."""
    from PIL import Image

    return Image.open(io.BytesIO(data), formats=("JPEG",)).convert("RGB") if data else Image.new("RGB", (96, 96), "#9ca3af")
