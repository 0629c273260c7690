"""How predictions move with one column, all others staying as they are (partial dependence)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from studio.evals.predictors.explanations.values import Values
from studio.schema.columns import Column

_STEPS = 15
_MOST_KINDS = 12


@dataclass(frozen=True)
class Dependence:
    """Mean prediction at values of a column, and what a tenth and nine tenths of the rows lie below.

    numbers: the values where the column is one of numbers, else None. kinds: the values as text.
    """

    column: Column
    kinds: list[str]
    numbers: list[float] | None
    means: list[float]
    lows: list[float]
    highs: list[float]


def partial_dependence(values: Values, background: pd.DataFrame, column: Column, label: str | None) -> Dependence | None:
    """Of one column of numbers (between its 2nd and 98th hundredth) or of categories (the commonest); None of another kind, or
    where all rows have the same.

    Source: Friedman 2001, https://doi.org/10.1214/aos/1013203451, section 8.2; the spread over rows: Goldstein et al. 2015,
    https://doi.org/10.1080/10618600.2014.907095.
    """
    known = background[column.name].dropna()
    numbers: list[float] | None = None
    if known.nunique() < 2 or column.type not in {"number", "category"}:
        return None
    if column.type == "number":
        low, high = np.quantile(known.to_numpy(np.float64), [0.02, 0.98])
        few = known.nunique() <= _STEPS
        numbers = sorted(known.unique().tolist()) if few else np.linspace(low, high, _STEPS).tolist()
    asked: list[Any] = list(numbers) if numbers is not None else known.value_counts().index.tolist()[:_MOST_KINDS]
    frames = []
    for value in asked:
        frames.append(background.copy())
        frames[-1][column.name] = value
    said = values(pd.concat(frames, ignore_index=True), label).reshape(len(asked), len(background))
    lows, highs = np.quantile(said, [0.1, 0.9], axis=1)
    kinds = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in asked]
    return Dependence(column, kinds, numbers, said.mean(axis=1).tolist(), lows.tolist(), highs.tolist())
