"""What an explanation is, and what gives one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Part:
    """One column, word or part of a picture.

    feature: its name, or the word. value: what it is in this row, for people. contribution: by how much it moves the explained
    value, in the explanation's unit. error: standard error of that where it was sampled. place: number of the column, of the
    word in the text, or of the part in the picture.
    """

    feature: str
    value: str
    contribution: float
    error: float | None = None
    place: int = 0


@dataclass(frozen=True)
class Explanation:
    """How a model comes to what it says of one row.

    kind: ``linear``, ``shapley``, ``words``, ``gradients``, ``heat`` or ``occlusion``. of: the label or the target that is
    explained. unit: of value, base and contributions. value: of this row; base: where nothing is known of it. parts: the largest
    contribution first. rest: what base and parts lack of the value, 0 where they add up exactly. how: in a sentence. says: what
    people read below it, with what it does not say. faithful: whether deleting what it names hurts more than deleting something
    else, None where that was not looked at. heat: [rows, columns] from 0 to 1 over a picture. picture: the picture with the heat
    laid over it, as an URI that holds it.
    """

    kind: str
    of: str
    unit: str
    value: float
    base: float
    parts: tuple[Part, ...]
    rest: float
    how: str
    says: str
    faithful: str | None = None
    heat: np.ndarray | None = field(default=None, compare=False)
    picture: str | None = None

    @property
    def missed(self) -> float | None:
        """The rest as a share of what was to be explained; None where there was nothing."""
        span = abs(self.value - self.base)
        return abs(self.rest) / span if span > 1e-12 else None


class Explainer(Protocol):
    """One way to explain one predictor."""

    nouns: tuple[str, str]
    """What its parts are, one and several: ``column`` and ``columns``."""
    reads: str
    """What its rows are: ``table``, ``text`` or ``picture``."""
    most: int
    """Rows that are explained for a report at most: more would take minutes."""
    labels: list[str]
    """That the predictor can give; none of numbers."""

    def explain(self, row: pd.DataFrame, label: str | None = None) -> Explanation:
        """One row [1, columns] explained; ``label`` None explains the one that is given."""
        ...

    def without(self, row: pd.DataFrame, label: str | None, deleted: Sequence[Sequence[int]]) -> np.ndarray:
        """The explained value once some parts are deleted, for each list of their places: float64 [lists]."""
        ...

    def places(self, row: pd.DataFrame) -> list[int]:
        """Places of all parts of a row that can be deleted."""
        ...


def ranked(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts with the largest contribution first, whatever its sign."""
    return tuple(sorted(parts, key=lambda part: (-abs(part.contribution), part.place)))
