"""Pictures side by side in one PNG, each with its caption below."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from studio.core.provenance import Origin, mark, png_texts

# Small pictures are enlarged to about this side without smoothing, so that their pixels can be judged.
_SHOWN = 128
_MARGIN, _LINE, _LINES = 6, 12, 2


def picture_grid(pictures: Sequence[Image.Image], captions: Sequence[str], *, columns: int | None = None) -> Image.Image:
    """One RGB picture with all, row by row; ``columns`` None makes it about square."""
    largest = max(max(picture.size) for picture in pictures)
    factor = max(1, _SHOWN // largest)
    cell = largest * factor
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    high = cell + _LINE * _LINES + _MARGIN
    sheet = Image.new("RGB", (columns * (cell + _MARGIN) + _MARGIN, rows * high + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=10)
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = _MARGIN + place % columns * (cell + _MARGIN), _MARGIN + place // columns * high
        shown = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
        sheet.paste(shown, (left, top))
        lines = textwrap.wrap(caption, max(8, cell // 6))[:_LINES]
        draw.text((left, top + cell + 1), "\n".join(lines), fill="#444444", font=font, spacing=2)
    return sheet


def save_picture_grid(
    pictures: Sequence[Image.Image], captions: Sequence[str], path: Path, *, model: str, columns: int | None = None
) -> None:
    """Write :func:`picture_grid` as a PNG in one step, with a mark that says which run (``name/time-id``) painted it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    sheet = mark(picture_grid(pictures, captions, columns=columns), Origin(model))
    sheet.save(temporary, format="PNG", pnginfo=png_texts(sheet))
    temporary.replace(path)
