"""What a column of a table is: said by people in recipes and presets, kept in Datasets and beside trained models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.schema.loading import Settings

ColumnType = Literal["number", "category", "text", "time", "picture"]
"""``number``: measured or counted. ``category``: one of some values without an order. ``text``: free words. ``time``: a date or
moment. ``picture``: the path of a picture file."""


class Column(Settings):
    """A column of a table: its name, what it holds, and what people should know about it."""

    name: Annotated[str, Field(min_length=1)]
    """As in the first line of the table."""
    type: ColumnType
    """What it holds."""
    unit: str | None = None
    """Unit of its numbers, for people (``EUR``, ``kg``)."""
    about: str | None = None
    """What it means, for people."""
