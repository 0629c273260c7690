"""What a search of settings tries: files of people, and the studio's own table. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from studio.schema.loading import Settings

Positive = Annotated[int, Field(gt=0)]
Way = Literal["tpe", "random", "grid"]


class RangeSettings(Settings):
    """All values from one number to another. Two whole numbers for a setting that takes whole numbers alone are whole."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    log: bool = False
    """Draw evenly on the scale of logarithms, for settings that matter by their order of size (learning rate, penalties)."""
    step: Annotated[float, Field(gt=0)] | None = None
    """Distance of the values that are tried; None tries all."""
    points: Annotated[int, Field(ge=2)] | None = None
    """With ``by: grid``: values that are tried, evenly spread; None takes 5."""


Space = Annotated[dict[str, str | list[Any] | RangeSettings], Field(min_length=1)]


class SearchFile(Settings):
    """``studio search PRESET --space FILE``: what is tried, how, and for how long. Options of the command line win."""

    space: Space
    """Setting of the preset (``estimator.C``) to what is tried: ``0.01..100:log``, a list of values, or a group with ``low`` and
    ``high``."""
    by: Way = "tpe"
    """``grid`` tries every combination, ``random`` draws, ``tpe`` draws where it went well so far
    (https://papers.nips.cc/paper/4443)."""
    trials: Positive | None = None
    """Trials beside the preset's own settings; None takes 20, or as many as the minutes allow."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """No trial is started after so many minutes. What is tried then depends on the machine's speed."""
    metric: str | None = None
    """What trials are judged by on the validation rows; None takes the kind's own (log loss, mean absolute error, loss)."""
    prune: bool = True
    """Stop a training early whose validation loss is worse than the median of the others' at the same place."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of what is drawn; the same seed tries the same settings."""


class KnownSpace(Settings):
    """What is worth trying of one kind of preset."""

    matches: Annotated[dict[str, Any], Field(min_length=1)]
    """Settings and their values that a preset has to have (``kind: classifier``, ``estimator.type: logistic``)."""
    why: str
    """What the settings do, and why these ranges."""
    space: Space
    """As in a file of a person."""


class KnownSpaces(Settings):
    """The studio's own table of spaces, for a search that names none; the first that matches is taken."""

    spaces: list[KnownSpace]
    """One entry for each way of learning."""
