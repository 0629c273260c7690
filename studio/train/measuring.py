"""How good a finished Run is on rows of its Dataset: figures that are means over rows, so that Runs can be compared row by row.

Searches choose by them, and comparisons of presets rest on them. Suites measure more, and say how sure it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from studio.core.errors import UserError
from studio.core.records import RunRecord


@dataclass(frozen=True)
class Measure:
    """One figure.

    name, title, unit: as a metric of a suite has them. value: mean over the rows. values: of each row, in their order; None where
    the Run tells the mean alone. right_or_wrong: each row has 0 or 1.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    value: float
    values: tuple[float, ...] | None = None
    right_or_wrong: bool = False


@dataclass(frozen=True)
class Measured:
    """All figures of a Run on one split; the first is what is gone by when none is named.

    ids: of the rows, empty where the Run tells means alone. groups: what each row belongs to, where rows are not independent.
    """

    measures: tuple[Measure, ...]
    ids: tuple[str, ...] = ()
    groups: tuple[str | None, ...] | None = None


def mean_of(
    name: str,
    title: str,
    unit: str,
    better: Literal["higher", "lower"],
    values: Sequence[float],
    *,
    right_or_wrong: bool = False,
) -> Measure:
    """A figure from its values per row."""
    row = tuple(float(value) for value in values)
    return Measure(name, title, unit, better, sum(row) / len(row), row, right_or_wrong)


def recorded(record: RunRecord, split: str) -> Measured:
    """What a training wrote down of its validation rows: the loss that it kept the best weights by.

    Raises:
        UserError: another split is asked for, or the training had no validation rows.
    """
    loss = record.result.get("validation_loss")
    if split != "validation" or loss is None:
        what = "row by row" if split != "validation" else "on validation rows"
        raise UserError(
            f"runs of kind {record.kind} say nothing of how good they are {what}"
            + ("." if split != "validation" else ", and this one had none. Build the Dataset with split.validation.")
        )
    return Measured((Measure("validation_loss", "Validation loss", "", "lower", float(loss)),))
