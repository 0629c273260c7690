"""The last value, and the value of one season ago: what every other method has to beat.

Intervals: Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 5.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from studio.models.forecast.base import Fit, Method
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.panel import Floats, Series


class SeasonalNaive(Method):
    """The value of one season ago."""

    def fit(self, series: Series) -> Fit:
        """The spread of what a season changed."""
        lag = self._lag(series)
        errors = series.values[lag:] - series.values[:-lag]
        return Fit({"lag": lag, "sigma": spread_of(errors)}, residuals=errors)

    def forecast(self, state: dict[str, Any], series: Series, horizon: int, levels: Sequence[int]) -> Forecast:
        """The last season again and again; errors add up season by season."""
        lag = int(state["lag"])
        point = last_season(series.values, lag)[np.arange(horizon) % lag]
        errors = float(state["sigma"]) * np.sqrt(np.arange(horizon) // lag + 1)
        return Forecast.normal(point, errors, levels)

    def _lag(self, series: Series) -> int:
        """A season, where the series is longer than one."""
        return self.season if len(series) > self.season else 1


class Naive(SeasonalNaive):
    """The last value."""

    def _lag(self, series: Series) -> int:  # noqa: ARG002 - the same for all
        return 1


def last_season(values: Floats, lag: int) -> Floats:
    """The newest value of each place of a season, [lag], in order of time; in gaps that of the season before."""
    padded = np.concatenate([np.full(-len(values) % lag, np.nan), values]).reshape(-1, lag)
    there = np.isfinite(padded)
    rows = len(padded) - 1 - np.argmax(there[::-1], axis=0)
    newest = padded[rows, np.arange(lag)]
    known = values[np.isfinite(values)]
    return np.where(there.any(axis=0), newest, known[-1] if len(known) else 0.0)


def spread_of(errors: Floats) -> float:
    """Root of the mean of squared errors; 0 where there are none."""
    known = errors[np.isfinite(errors)]
    return float(np.sqrt((known**2).mean())) if len(known) else 0.0
