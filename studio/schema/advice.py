"""The table of rules behind ``studio advise``. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.schema.loading import Settings
from studio.schema.project import Input, TaskKind

Count = Annotated[int, Field(ge=0)]


class Condition(Settings):
    """When a rule speaks. What is not known of a project meets every condition, and is then named as an assumption."""

    tasks: Annotated[list[TaskKind], Field(min_length=1)]
    """Kinds of task."""
    inputs: list[Input] = []
    """What rows are made of; empty for all."""
    rows_from: Count | None = None
    """Rows to learn from at least."""
    rows_to: Count | None = None
    """Rows to learn from at most."""
    per_label_from: Count | None = None
    """Rows of the rarest label at least."""
    per_label_to: Count | None = None
    """Rows of the rarest label at most."""
    columns_to: Count | None = None
    """Columns to predict from at most."""
    series_from: Count | None = None
    """Series at least."""
    series_to: Count | None = None
    """Series at most."""
    gpu: bool | None = None
    """Whether the machine has a GPU."""
    memory_from: str | None = None
    """Free memory at least, for example 8GiB."""
    minutes_from: float | None = None
    """Minutes that a training may take, at least."""


class PresetRule(Settings):
    """When a preset is worth trying."""

    preset: str
    """Registry name of the preset."""
    when: Condition
    """When it speaks."""
    order: int
    """Of several, the smaller number comes first."""
    why: str
    """The reason, as it is told."""
    needs: str = ""
    """What has to be there before it can be trained, for example weights that are fetched once."""


class DataRule(Settings):
    """What of the data is still missing."""

    when: Condition
    """When it speaks; here what is not known meets no condition."""
    missing: str
    """What is told."""


class Rules(Settings):
    """``studio/search/rules.yaml``."""

    presets: Annotated[list[PresetRule], Field(min_length=1)]
    """Which presets are worth trying."""
    data: list[DataRule]
    """What of the data is still missing."""
    most: Literal[2, 3] = 3
    """Presets that are named at most."""
