"""Numbers that look wrong: told, never changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from studio.core.telling import counted
from studio.data.tables.steps.base import Outcome, TableStep
from studio.data.tables.table import DataTable

# Factors between units that people mix up; pounds and kilograms are too near to tell.
_FACTORS = {
    60.0: "hours and minutes, or minutes and seconds",
    100.0: "m and cm, or shares and percent",
    1000.0: "kg and g, or km and m",
    1e6: "millions and single ones",
}
# How near to a factor the medians of two groups have to lie, as a ratio, and how empty it has to be between the groups.
_NEAR, _EMPTY = 1.6, 5.0
_LEAST_ROWS, _LEAST_SHARE = 5, 0.01
_STAND_INS = (-1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0, 99999.0, 1e9)
# A stand-in lies so many times the spread of the others beyond them.
_APART = 1.0


class SuspiciousNumbers(TableStep):
    """See :class:`studio.schema.table_steps.SuspiciousNumbersStep`."""

    def __init__(self, columns: list[str], skewness: float) -> None:
        self._columns, self._skewness = columns, skewness

    def run(self, table: DataTable) -> Outcome:
        """Notes on training rows."""
        columns = [column.name for column in table.chosen(self._columns, "suspicious_numbers", types=("number",))]
        target = table.of_role("target")
        if not self._columns and target is not None and target.type == "number":
            columns.append(target.name)
        notes: list[str] = []
        skewed: dict[str, float] = {}
        for name in columns:
            values = table.frame[name].to_numpy()[table.train]
            values = values[~np.isnan(values)]
            if len(values) < 2 * _LEAST_ROWS:
                continue
            notes += [f"{name}: {note}" for note in (stand_in(values), two_units(values)) if note]
            skewness = skewness_of(values)
            if abs(skewness) >= self._skewness:
                skewed[name] = skewness
        notes += _skewed(skewed)
        return Outcome(table, notes=notes, facts={"notes": notes})


def skewness_of(values: np.ndarray) -> float:
    """Fisher's skewness, corrected for the size of the sample; NaN of fewer than three values."""
    found: Any = pd.Series(values).skew()
    return float(found)


def _skewed(found: dict[str, float]) -> list[str]:
    """A line on columns of which few values lie far to one side."""
    if not found:
        return []
    ordered = sorted(found.items(), key=lambda item: -abs(item[1]))
    shown = ", ".join(f"{name} ({skewness:.1f})" for name, skewness in ordered[:6]) + (", …" if len(ordered) > 6 else "")
    return [
        f"skewed, so that few values lie far to one side: {shown}; linear models may do better with logarithms of such columns"
    ]


def two_units(values: np.ndarray) -> str | None:
    """Whether positive numbers fall into two groups about 60, 100, 1,000 or a million times apart, as two units would."""
    positive = np.sort(values[values > 0])
    least = max(_LEAST_ROWS, int(_LEAST_SHARE * len(values)))
    if len(positive) < 2 * least:
        return None
    ratios = positive[1:] / positive[:-1]
    place = int(ratios[least - 1 : len(ratios) - least + 1].argmax()) + least
    if ratios[place - 1] < _EMPTY:
        return None
    low, high = positive[:place], positive[place:]
    factor = float(np.median(high) / np.median(low))
    near = min(_FACTORS, key=lambda known: abs(np.log(factor / known)))
    if max(factor / near, near / factor) > _NEAR:
        return None
    return (
        f"two groups about {near:,.0f} times apart ({counted(len(low), 'value')} around {np.median(low):.4g}, {len(high):,} "
        f"around {np.median(high):.4g}), as of two units ({_FACTORS[near]})"
    )


def stand_in(values: np.ndarray) -> str | None:
    """Whether a number such as 999 or -1 stands for a missing value: often there, and apart from all others."""
    for value in _STAND_INS:
        here = values == value
        count, others = int(here.sum()), values[~here]
        if count < max(_LEAST_ROWS, int(_LEAST_SHARE * len(values))) or not len(others):
            continue
        spread = float(others.max() - others.min())
        apart = (value < others.min() and others.min() >= 0) or value > others.max() + _APART * spread
        if apart or value < others.min() - _APART * spread:
            return (
                f"{value:g} stands in {counted(count)} and nowhere near another value; if it means missing, say so "
                f"(values.missing: ['', 'NA', '{value:g}'])"
            )
    return None
