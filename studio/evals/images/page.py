"""The picture parts of the report: marks, samples, before and after per prompt, nearest training pictures; nothing is fetched."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

from studio.core.records import Score
from studio.evals.numbers import figure, number

# On the page a picture is a thumbnail; the made ones lie beside it in full.
THUMBNAIL = 192
_GRID_SIDE = 64
_GRID_COLUMNS = 10


@dataclass(frozen=True)
class Pair:
    """One prompt before and after. base: None when the model was measured alone. note: for example the seed."""

    prompt: str
    note: str
    base: Image.Image | None
    tuned: Image.Image


@dataclass(frozen=True)
class Neighbour:
    """A made picture beside the training pictures nearest to it, by features and by pixels.

    distance, pixel_distance: to those two. copied: nearer than 95% of held-out pictures are. caption: of the training picture.
    """

    prompt: str
    made: Image.Image
    by_features: Image.Image | None
    by_pixels: Image.Image
    distance: float | None
    pixel_distance: float
    copied: bool
    caption: str


@dataclass(frozen=True)
class Grid:
    """Many small pictures under one heading."""

    title: str
    pictures: Sequence[Image.Image]


def marks_panel(names: Sequence[tuple[str, str]], scores: Mapping[str, Mapping[str, Score]], counts: Mapping[str, str]) -> Markup:
    """Every measure between its lower mark (noise) and its upper mark (held-out real pictures).

    Args:
        names: metric keys and titles, in order. scores: label (``noise``, ``base``, ``tuned``, ``real``) to metric to Score.
        counts: pictures behind each label.
    """
    labels = [label for label in ("noise", "base", "tuned", "real") if label in scores]
    rows = [
        {"title": title, "better": next(iter(scores.values()))[key].better, "cells": [scores[label].get(key) for label in labels]}
        for key, title in names
    ]
    return Markup(_macros().marks(rows=rows, labels=labels, counts=counts))


def pairs_panel(pairs: Sequence[Pair]) -> Markup:
    """Before and after, prompt by prompt."""
    return Markup(_macros().pairs(pairs=pairs))


def grids_panel(grids: Sequence[Grid]) -> Markup:
    """Sample grids, one inline picture each."""
    shown = [
        {"title": grid.title, "picture": montage(grid.pictures), "count": len(grid.pictures)} for grid in grids if grid.pictures
    ]
    return Markup(_macros().grids(grids=shown))


def neighbours_panel(
    neighbours: Sequence[Neighbour], *, copied: int, count: int, threshold: float | None, pixel_threshold: float
) -> Markup:
    """The made pictures that lie nearest to a training picture, each beside it."""
    return Markup(_macros().neighbours(neighbours, copied, count, threshold, pixel_threshold))


def montage(pictures: Sequence[Image.Image], *, side: int = _GRID_SIDE, columns: int = _GRID_COLUMNS) -> Image.Image:
    """Pictures in rows on a neutral ground, each at most ``side`` pixels."""
    columns = min(columns, len(pictures))
    gap = 2
    sheet = Image.new("RGB", (columns * (side + gap) + gap, math.ceil(len(pictures) / columns) * (side + gap) + gap), "#8a929c")
    for index, picture in enumerate(pictures):
        small = thumbnail(picture, side)
        left, top = gap + index % columns * (side + gap), gap + index // columns * (side + gap)
        sheet.paste(small, (left + (side - small.width) // 2, top + (side - small.height) // 2))
    return sheet


def thumbnail(picture: Image.Image, side: int = THUMBNAIL) -> Image.Image:
    """A picture of at most ``side`` pixels; a small one is enlarged by whole pixels, so that it shows what it is."""
    largest = max(picture.size)
    if largest <= side:
        times = side // largest
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    scale = side / largest
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def inline(picture: Image.Image, label: str, side: int | None = THUMBNAIL) -> Markup:
    """An ``img`` whose bytes are part of the page."""
    shown = thumbnail(picture, side) if side else picture
    buffer = io.BytesIO()
    shown.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img src="data:image/png;base64,{}" width="{}" height="{}" alt="{}">').format(
        Markup(data), shown.width, shown.height, label
    )


@cache
def _macros() -> Any:
    """The macros of ``panels.html.j2``; what models and data wrote is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "figure": figure}
    environment.filters["inline"] = inline
    return environment.from_string((Path(__file__).parent / "panels.html.j2").read_text(encoding="utf-8")).module
