"""How rows of several sources are mixed once they are clean."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from studio.schema.loading import Settings


class Drawn(Settings):
    """How much of a source is used."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    """Use so many times the rows that the steps left: 0.5 draws half of them; above 1 they repeat (``mix.repeat``)."""
    cap: Annotated[int, Field(gt=0)] | None = None
    """Use at most so many rows of what the steps left, drawn by ``mix.seed``."""


class MixSettings(Settings):
    """How many rows of each source are used, after the steps and before the split. ``weight`` and ``cap`` stand at a source."""

    temperature: Annotated[float, Field(ge=1)] | None = None
    """Bring the shares of sources nearer to each other: each is its rows to the power of 1 over this (Arivazhagan et al. 2019
    took 5). 1 leaves the shares as they are; None too."""
    repeat: bool = False
    """Rows may stand in ``train`` more than once, where a weight or the temperature asks for more than there are. Validation and
    test never repeat a row."""
    seed: int = 0
    """Seed of the choice of rows."""
