"""Pictures with their boxes drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from studio.data.entries import Entry

if TYPE_CHECKING:
    from PIL import Image

    from studio.data.boxes import Box

# Lines and names on a picture of few pixels would hide it.
_LEAST_SIDE = 320
# Distinct for people who do not tell colours well: Okabe and Ito 2008, https://jfly.uni-koeln.de/color/.
_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


def picture_of(entry: Entry) -> Image.Image | None:
    """The picture of a row with its boxes; None for rows without one.

    Raises:
        StudioError: its file is missing or damaged.
    """
    if entry.picture is None:
        return None
    picture = entry.picture()
    return draw_boxes(picture, entry.boxes) if entry.boxes else picture


def draw_boxes(picture: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """A copy with boxes and their labels; a small picture is enlarged by a whole number first. One colour per label."""
    from PIL import Image, ImageDraw

    times = max(1, _LEAST_SIDE // max(picture.size))
    drawn = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(drawn)
    labels = sorted({box.label for box in boxes})
    for box in boxes:
        colour = _COLOURS[labels.index(box.label) % len(_COLOURS)]
        left, upper = box.x * times, box.y * times
        pen.rectangle((left, upper, left + box.width * times, upper + box.height * times), outline=colour, width=2)
        name = pen.textbbox((left + 3, upper + 2), box.label)
        pen.rectangle((left, upper, name[2] + 3, name[3] + 2), fill=colour)
        pen.text((left + 3, upper + 2), box.label, fill="black")
    return drawn
