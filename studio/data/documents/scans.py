"""Pages that are pictures, read by OCR: PP-OCR's networks through RapidOCR, which brings them along (extra ``ocr``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

from studio.core.extras import available, require

EXTRA = "ocr"
"""The extra of the studio that carries the reader."""
_MODULES = ("rapidocr", "onnxruntime")
# Dots an inch at which pages are drawn: what offices scan at, and enough for letters of 8 points.
_RESOLUTION, _POINTS = 200, 72
_LONGEST = 4000
# Lines that the reader itself is less sure of are more often dirt than words (RapidOCR's own bound).
_LEAST_SURE = 0.5
# A line is a heading by its size only where it is this much taller: the height of a box says less than the size of a font.
_TALLER = 1.4


@dataclass(frozen=True)
class ScannedLine:
    """A line of a picture. size: of its letters; top, bottom: in points from the page's lower edge; sure: 0 to 1."""

    text: str
    size: float
    top: float
    bottom: float
    sure: float


def can_read_scans() -> bool:
    """True where the extra is installed."""
    return all(map(available, _MODULES))


def read_scan(page: Any) -> list[ScannedLine]:
    """The lines of a page of pypdfium2 from its picture, from top to bottom; those without a letter or digit are left out.

    Raises:
        MissingExtraError: the extra is not installed.
    """
    # A plan or a poster is drawn as large as an ordinary page.
    scale = min(_RESOLUTION / _POINTS, _LONGEST / max(page.get_size()))
    picture = page.render(scale=scale).to_numpy()
    found = _reader()(picture[:, :, :3].copy(), text_score=_LEAST_SURE)
    if found.boxes is None or not found.txts:
        return []
    height = float(page.get_height())
    lines = []
    for box, text, sure in zip(found.boxes, found.txts, found.scores, strict=True):
        top, bottom = (height - float(pick(box[:, 1])) / scale for pick in (min, max))
        if any(map(str.isalnum, text)):
            lines.append(ScannedLine(" ".join(text.split()), top - bottom, top, bottom, float(sure)))
    return _evened(lines)


def _evened(lines: Sequence[ScannedLine]) -> list[ScannedLine]:
    """Lines of which those of about the usual height are of the same size, whatever letters stand in them."""
    usual = median([line.size for line in lines]) if lines else 0.0
    sizes = [line.size if line.size >= _TALLER * usual else usual for line in lines]
    return [ScannedLine(line.text, size, line.top, line.bottom, line.sure) for line, size in zip(lines, sizes, strict=True)]


@cache
def _reader() -> Any:
    """The networks, loaded once."""
    for module in _MODULES:
        require(module, feature="reading scanned pages", extra=EXTRA)
    return require("rapidocr", feature="reading scanned pages", extra=EXTRA).RapidOCR(params={"Global.log_level": "error"})
