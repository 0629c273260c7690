"""Boxes of a COCO file (object detection), as annotations of pictures.

Source of the form: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.core.errors import DataError
from studio.data.annotations.base import Annotation, Found, Item, read_json
from studio.data.annotations.matching import Names
from studio.data.boxes import Box

_PARTS = ("images", "annotations", "categories")
# A picture that was made smaller may be off by a pixel on each side.
_ROUNDING = 1.0


def is_coco(value: Any) -> bool:
    """True for a COCO file of boxes."""
    return isinstance(value, dict) and all(isinstance(value.get(part), list) for part in _PARTS)


def read_coco(path: Path, items: Mapping[str, Item], by: str) -> Found:
    """All boxes of each picture as one annotation of ``by``; a picture without a box in the file has none.

    Boxes are scaled with their picture where it was made smaller or larger as a whole; where it was cut they are left out.

    Raises:
        DataError: it is no such file, or a box names a picture or category that is not in it.
    """
    value = read_json(path)
    if not is_coco(value):
        raise DataError(f"{path} is no COCO file: it needs lists of {', '.join(_PARTS)}.")
    names, left_out = Names(items), Counter[str]()
    try:
        categories = {part["id"]: str(part["name"]) for part in value["categories"]}
        of_picture: dict[Any, list[dict[str, Any]]] = {picture["id"]: [] for picture in value["images"]}
        for part in value["annotations"]:
            of_picture[part["image_id"]].append(part)
        annotations = []
        for picture in value["images"]:
            item = names.find(str(picture["file_name"]))
            parts = of_picture[picture["id"]]
            if item is None or item.size is None:
                left_out["boxes on pictures that the dataset does not have"] += len(parts)
                continue
            boxes = _boxes(parts, categories, _scale(picture, item.size), item.size, left_out)
            if boxes is not None:
                annotations.append(Annotation(item.id, by, boxes=boxes))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(f"{path}: a picture, box or category is not whole ({error!r}). Export it again.") from error
    return Found(annotations, left_out)


def _boxes(
    parts: list[dict[str, Any]],
    categories: Mapping[Any, str],
    scale: tuple[float, float] | None,
    size: tuple[int, int],
    left_out: Counter[str],
) -> tuple[Box, ...] | None:
    """The boxes of one picture; None where it was cut, so that nobody knows where they lie."""
    if scale is None:
        left_out["boxes on pictures that were cut or padded"] += len(parts)
        return None
    boxes = []
    for part in parts:
        x, y, width, height = (float(side) for side in part["bbox"])
        sides = x * scale[0], y * scale[1], width * scale[0], height * scale[1]
        box = Box(categories[part["category_id"]], *(round(side, 2) for side in sides))
        if box.within(size):
            boxes.append(box)
        else:
            left_out["boxes outside their picture"] += 1
    return tuple(boxes)


def _scale(picture: Mapping[str, Any], size: tuple[int, int]) -> tuple[float, float] | None:
    """How much the picture was scaled, across and down; None where its shape is another one."""
    width, height = float(picture.get("width") or size[0]), float(picture.get("height") or size[1])
    across, down = size[0] / width, size[1] / height
    if abs(width * down - size[0]) > _ROUNDING and abs(height * across - size[1]) > _ROUNDING:
        return None
    return across, down
