"""Rectangles on pictures: what lies where, as rows keep it and as other forms write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from studio.core.errors import DataError


@dataclass(frozen=True)
class Box:
    """A rectangle on a picture. x, y: its upper left corner; all in pixels of the stored picture."""

    label: str
    x: float
    y: float
    width: float
    height: float

    def within(self, size: tuple[int, int]) -> bool:
        """True where it has an area and lies on a picture of that width and height (half a pixel of rounding is allowed)."""
        right, lower = self.x + self.width, self.y + self.height
        inside = self.x >= -0.5 and self.y >= -0.5 and right <= size[0] + 0.5 and lower <= size[1] + 0.5
        return self.width > 0 and self.height > 0 and inside


def boxes_of(meta: Mapping[str, Any]) -> tuple[Box, ...]:
    """The boxes that a row of pictures keeps; what is no box of the studio's own is left where it is."""
    boxes = meta.get("boxes")
    names = Box.__dataclass_fields__.keys()
    if not isinstance(boxes, list) or not all(isinstance(box, dict) and box.keys() == names for box in boxes):
        return ()
    return tuple(Box(**box) for box in boxes)


def boxes_json(boxes: tuple[Box, ...] | None) -> str | None:
    """Boxes as JSON text, None for none."""
    return None if boxes is None else json.dumps([asdict(box) for box in boxes], ensure_ascii=False)


def read_boxes(text: str, place: str) -> tuple[Box, ...]:
    """The reverse of :func:`boxes_json`.

    Raises:
        DataError: it is no list of boxes.
    """
    try:
        return tuple(
            Box(str(box["label"]), *(float(box[side]) for side in ("x", "y", "width", "height"))) for box in json.loads(text)
        )
    except (ValueError, KeyError, TypeError) as error:
        wanted = '[{"label": "door", "x": 1, "y": 2, "width": 30, "height": 40}]'
        raise DataError(f"{place}: {text[:60]!r} is no list of boxes ({error}). Write {wanted}, in pixels.") from error
