"""A forecast: a number for each stamp, intervals around it, and how often past ones held.

Legend: h stamps ahead, c cells (a stamp of a window of a series).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from studio.models.forecast.panel import Floats, Panel

# Fewer cells of a back-test give no factor for intervals.
FEWEST_CELLS = 20


@dataclass(frozen=True)
class Forecast:
    """point: the median, [h]. lower, upper: bounds by level in percent, [h] each."""

    point: Floats
    lower: dict[int, Floats]
    upper: dict[int, Floats]

    @staticmethod
    def normal(point: Floats, errors: Floats, levels: Sequence[int]) -> Forecast:
        """Normal intervals. errors: standard errors, [h]."""
        from scipy.stats import norm

        reach = {level: float(norm.ppf(0.5 + level / 200)) * errors for level in levels}
        return Forecast(
            point, {level: point - away for level, away in reach.items()}, {level: point + away for level, away in reach.items()}
        )

    def mapped(self, change: Callable[[Floats], Floats]) -> Forecast:
        """Every number through a function that keeps their order."""
        return Forecast(
            change(self.point),
            {level: change(bound) for level, bound in self.lower.items()},
            {level: change(bound) for level, bound in self.upper.items()},
        )

    def widened(self, factors: Mapping[int, float]) -> Forecast:
        """Bounds as many times as far from the point as the factor of their level says."""
        return Forecast(
            self.point,
            {level: self.point - factors.get(level, 1.0) * (self.point - bound) for level, bound in self.lower.items()},
            {level: self.point + factors.get(level, 1.0) * (bound - self.point) for level, bound in self.upper.items()},
        )

    def quantiles(self) -> dict[float, Floats]:
        """Every bound and the point by the share of the future below it."""
        low = {(100 - level) / 200: bound for level, bound in self.lower.items()}
        high = {(100 + level) / 200: bound for level, bound in self.upper.items()}
        return dict(sorted({**low, 0.5: self.point, **high}.items()))


@dataclass(frozen=True)
class Window:
    """A forecast beside what came. series: its name. number: from 1. origin: place of its first stamp. truth: [h], nan where
    nothing was seen.
    """

    series: str
    number: int
    origin: int
    truth: Floats
    forecast: Forecast


def roll(
    forecast: Callable[[Panel, int], list[Forecast]], panel: Panel, horizon: int, windows: int, *, first: int = 1
) -> list[Window]:
    """Forecasts of the last windows of every series, each made from nothing but what lies before it.

    Args:
        forecast: takes series that end at an origin, and the stamps ahead; known covariates reach that far, nothing else does.
        first: window to begin with; those before are left out.
    """
    found = []
    for number in range(first, windows + 1):
        origins = [len(one) - (windows - number + 1) * horizon for one in panel.series]
        told = forecast(panel.cut(origins, horizon), horizon)
        for one, origin, made in zip(panel.series, origins, told, strict=True):
            place = slice(origin, origin + horizon)
            truth = np.where(one.seen[place], one.values[place], np.nan)
            found.append(Window(one.name, number, origin, truth, made))
    return found


def held(window: Window, level: int) -> Floats:
    """Per stamp 1 where the truth lay within the interval and 0 where it did not, nan where nothing was seen; [h]."""
    inside = (window.truth >= window.forecast.lower[level]) & (window.truth <= window.forecast.upper[level])
    return np.where(np.isfinite(window.truth), inside.astype(np.float64), np.nan)


def share_held(windows: Sequence[Window], level: int) -> float | None:
    """Share of the seen values of some windows that lay within the interval; None where nothing was seen."""
    cells = np.concatenate([held(window, level) for window in windows]) if windows else np.empty(0)
    return float(np.nanmean(cells)) if np.isfinite(cells).any() else None


def conformal_factors(windows: Sequence[Window], levels: Sequence[int]) -> dict[int, float]:
    """How many times as wide intervals would have had to be to hold their share of a back-test; none from too few cells.

    Source: split conformal with the model's own half-width as the scale, Lei et al. 2018, https://arxiv.org/abs/1604.04173,
    section 5.2; the quantile is that of n + 1.
    """
    factors = {}
    for level in levels:
        scores = np.concatenate([_strangeness(window, level) for window in windows]) if windows else np.empty(0)
        scores = np.sort(scores[np.isfinite(scores)])
        rank = math.ceil((len(scores) + 1) * level / 100)
        if len(scores) >= FEWEST_CELLS and rank <= len(scores):
            factors[level] = float(scores[rank - 1])
    return factors


def _strangeness(window: Window, level: int) -> Floats:
    """How far each truth lay from the forecast, in half-widths of the interval on its side; [h]."""
    error = window.truth - window.forecast.point
    above, below = window.forecast.upper[level] - window.forecast.point, window.forecast.point - window.forecast.lower[level]
    with np.errstate(divide="ignore", invalid="ignore"):
        scores: Floats = np.abs(error) / np.where(error > 0, above, below)
    return np.where(error == 0, 0.0, scores)
