"""How rows of several sources are mixed once they are clean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from studio.schema.loading import Settings


class Drawn(Settings):
    """How much of a source is used."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    """Use so many times the rows that the steps left: 0.5 draws half of them; above 1 they repeat (``mix.repeat``)."""
    cap: Annotated[int, Field(gt=0)] | None = None
    """Use at most so many rows of what the steps left, drawn by ``mix.seed``."""


class DatasetSource(Drawn):
    """The training rows of another Dataset of the workspace; those that it holds out stay out."""

    type: Literal["dataset"]
    """Kind of source."""
    dataset: Annotated[str, Field(min_length=1)]
    """Name of the Dataset; ``NAME/FINGERPRINT`` for one build of it."""
    name: str | None = None
    """Short name for reports and row ids; None takes that of the Dataset."""
    licence: str | None = None
    """Licence of the rows; None takes what the sources of the Dataset state."""
    attribution: str | None = None
    """Who has to be named, and how, when the licence asks for it."""
    system: str | None = None
    """A system turn put before every conversation that has none."""


def _percent(value: object) -> object:
    """``10%`` as 0.1."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            return value
    return value


class Replay(Settings):
    """General rows that train beside those of a field, so that less of what a model can is forgotten (rehearsal; Scialom et al.
    2022, https://arxiv.org/abs/2205.12393). They train and are never held out: validation and test stay those of the field.
    """

    source: Annotated[str, Field(min_length=1)]
    """Name of the source whose rows are replayed."""
    share: Annotated[float, BeforeValidator(_percent), Field(gt=0, lt=1)]
    """So much of ``train`` is replayed rows: 0.1, or ``10%``."""
    of: Literal["rows", "characters"] = "rows"
    """What the share counts. Characters, where the rows of the field are whole documents and the replayed ones are short."""


class MixSettings(Settings):
    """How many rows of each source are used, after the steps and before the split. ``weight`` and ``cap`` stand at a source."""

    temperature: Annotated[float, Field(ge=1)] | None = None
    """Bring the shares of sources nearer to each other: each is its rows to the power of 1 over this (Arivazhagan et al. 2019
    took 5). 1 leaves the shares as they are; None too."""
    repeat: bool = False
    """Rows may stand in ``train`` more than once, where a weight or the temperature asks for more than there are. Validation and
    test never repeat a row."""
    replay: Replay | None = None
    """Rows of one source that are replayed beside the others."""
    seed: int = 0
    """Seed of the choice of rows."""
