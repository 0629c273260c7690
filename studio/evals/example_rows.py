"""Rows of a Dataset that is learned from, as people see them: values of columns in words, pictures as thumbnails."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

from studio.data.examples import Examples
from studio.models.pictures import open_picture
from studio.schema.columns import Column

SIDE = 160
"""Side of a thumbnail in pixels."""


def row_texts(rows: Examples) -> list[str]:
    """The values of each row, a line for each column; a single text as it is."""
    if len(rows.columns) == 1 and rows.columns[0].type == "text":
        return ["" if value is None else str(value) for value in rows.features[rows.columns[0].name]]
    lines = [
        [f"{column.name}: {value_text(value, column)}" for value in rows.features[column.name].tolist()]
        for column in rows.columns
        if column.type != "picture"
    ]
    return ["\n".join(values) for values in zip(*lines, strict=True)] if lines else [""] * len(rows)


def value_text(value: Any, column: Column) -> str:
    """One value for people, with its unit."""
    if value is None or value != value:
        return "missing"
    if column.type == "number":
        return f"{float(value):.6g}{' ' + column.unit if column.unit else ''}"
    if column.type == "time":
        return str(value).removesuffix(" 00:00:00")
    return str(value)


def picture_of(rows: Examples) -> Callable[[int], str] | None:
    """What gives the thumbnail of a row by its place; None where rows have no picture."""
    named = [column.name for column in rows.columns if column.type == "picture"]
    if not named:
        return None
    return lambda place: thumbnail(str(rows.features[named[0]].iloc[place]))


def thumbnail(path: str) -> str:
    """A picture file, made small, as an URI that holds it."""
    picture = open_picture(path)
    picture.thumbnail((SIDE, SIDE))
    return as_uri(picture)


def as_uri(picture: Any) -> str:
    """A picture of Pillow as an URI that holds it."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def overlaid(path: str, heat: Any) -> str:
    """A picture with heat [rows, columns] from 0 to 1 laid over it, as an URI that holds it.

    It is grey where it is cold, and has its own colours and red where it is warm.
    """
    import numpy as np
    from PIL import Image

    picture = open_picture(path)
    picture.thumbnail((SIDE, SIDE))
    small = min(picture.size)
    if small < SIDE // 2:
        picture = picture.resize((picture.width * (SIDE // small), picture.height * (SIDE // small)), Image.Resampling.NEAREST)
    warm = Image.fromarray(np.asarray(heat, dtype=np.float32)).resize(picture.size, Image.Resampling.BILINEAR)
    shares = np.clip(np.asarray(warm), 0, 1)[:, :, None]
    pixels = np.asarray(picture, dtype=np.float32)
    grey = pixels.mean(axis=2, keepdims=True) * 0.6 + 90
    red = np.array([220.0, 40.0, 30.0], dtype=np.float32)
    mixed = (1 - shares) * grey + shares * (0.6 * pixels + 0.4 * red)
    return as_uri(Image.fromarray(mixed.astype(np.uint8)))
