"""Errors of forecasts and of their intervals, as statistics over cells.

Legend: c cells (one stamp of one window of one series).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic, ratio
from studio.evals.pieces import Floats
from studio.evals.statistics import POSITIVE, SHARE, Scale, Statistic
from studio.models.forecast.errors import Scale as ErrorScale
from studio.models.forecast.forecasts import Window

_SCALED = "times the seasonal naive error of the past"
_SMAPE = Scale(0.0, 200.0, form="log")


@dataclass(frozen=True)
class Cells:
    """What one model said and what came, cell by cell.

    truth, point: [c]. quantiles: share of the future below to numbers [c]. lower, upper: by level, [c]. absolute, squared:
    scales of the cell's series, nan where it has none, [c].
    """

    truth: Floats
    point: Floats
    quantiles: Mapping[float, Floats]
    lower: Mapping[int, Floats]
    upper: Mapping[int, Floats]
    absolute: Floats
    squared: Floats

    @staticmethod
    def of(windows: Sequence[Window], scales: Mapping[str, ErrorScale]) -> Cells:
        """All cells of some windows, in their order."""
        absolute = [scales[window.series].absolute for window in windows]
        squared = [scales[window.series].squared for window in windows]

        def joined(part: Callable[[Window], Floats]) -> Floats:
            return np.concatenate([part(window) for window in windows])

        def spread(values: Sequence[float | None]) -> Floats:
            pairs = zip(windows, values, strict=True)
            return np.concatenate([np.full(len(window.truth), np.nan if value is None else value) for window, value in pairs])

        first = windows[0].forecast
        return Cells(
            joined(lambda window: window.truth),
            joined(lambda window: window.forecast.point),
            {share: joined(lambda window, s=share: window.forecast.quantiles()[s]) for share in first.quantiles()},  # type: ignore[misc]
            {level: joined(lambda window, at=level: window.forecast.lower[at]) for level in first.lower},  # type: ignore[misc]
            {level: joined(lambda window, at=level: window.forecast.upper[at]) for level in first.upper},  # type: ignore[misc]
            spread(absolute),
            spread(squared),
        )


@dataclass(frozen=True)
class Measure:
    """A metric of forecasts. each: cells -> [c] of what is averaged, nan where a cell has none. root: of the mean at the end."""

    metric: Metric
    each: Callable[[Cells], Floats]
    root: bool = False

    def statistic(self, cells: Cells, places: NDArray[np.bool_] | None = None) -> Statistic:
        """Over all cells, or some of them; those without a value are not scored."""
        values = self.each(cells)
        values = values if places is None else np.where(places, values, np.nan)
        known = np.isfinite(values)
        if not self.root:
            return mean_statistic([float(value) if ok else None for value, ok in zip(values, known, strict=True)])
        filled = np.where(known, values, 0.0)
        each = [float(np.sqrt(value)) if ok else None for value, ok in zip(values, known, strict=True)]
        return SumStatistic(np.stack([filled, np.ones_like(filled)], axis=1), known, each, _root)


def _root(sums: Floats) -> Floats:
    """Root of the mean: [r, 2] -> [r]."""
    return np.sqrt(ratio(sums))


def _pinball(cells: Cells) -> Floats:
    """Mean over the quantiles of the pinball loss, in units of the series' scale; [c]."""
    losses = []
    for share, bound in cells.quantiles.items():
        away = cells.truth - bound
        losses.append(np.maximum(share * away, (share - 1) * away))
    found: Floats = np.mean(losses, axis=0) / cells.absolute
    return found


def _smape(cells: Cells) -> Floats:
    """200 |y - f| / (|y| + |f|), 0 where both are 0; [c]."""
    size = np.abs(cells.truth) + np.abs(cells.point)
    error = np.abs(cells.truth - cells.point)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = 200 * error / size
    return np.where(np.isfinite(cells.truth) & (size == 0), 0.0, found)


def measures_of(names: Sequence[str], unit: str | None) -> dict[str, Measure]:
    """Metrics by name: ``mase``, ``coverage_95``.

    Args:
        unit: of the series, for people.
    """
    return {name: _measure(name, unit or "units of the series") for name in names}


def _measure(name: str, unit: str) -> Measure:
    """One metric."""
    kind, _, level = name.partition("_")
    if kind == "coverage":
        return _coverage(int(level))
    if kind == "width":
        return _width(int(level))
    plain: dict[str, tuple[str, str, str, Scale, Callable[[Cells], Floats], bool]] = {
        "mae": (
            "Mean absolute error", unit, "Mean of how far forecasts are off. Large series weigh most.", POSITIVE, _absolute,
            False,
        ),
        "rmse": (
            "Root mean squared error", unit, "As the mean error, but large errors weigh more. Large series weigh most.", POSITIVE,
            lambda cells: (cells.truth - cells.point) ** 2, True,
        ),
        "mase": (
            "MASE", _SCALED,
            "Absolute error divided by the mean absolute error of the seasonal naive forecast inside the past of the series "
            "(Hyndman and Koehler 2006); every series weighs alike. Below 1 is better than that.", POSITIVE,
            lambda cells: _absolute(cells) / cells.absolute, False,
        ),
        "rmsse": (
            "RMSSE", _SCALED,
            "Root of the mean over all cells of squared errors divided by the mean squared error of the seasonal naive forecast "
            "inside the past of the series; large errors weigh more.", POSITIVE,
            lambda cells: (cells.truth - cells.point) ** 2 / cells.squared, True,
        ),
        "smape": (
            "sMAPE", "percent, 0 to 200",
            "200 |y − f| / (|y| + |f|), as the M4 competition has it (Makridakis et al. 2020); unstable near 0.", _SMAPE, _smape,
            False,
        ),
        "pinball": (
            "Pinball loss", _SCALED,
            "Mean loss of the quantiles that bound the intervals, and of the median, scaled as MASE; twice its mean over ever "
            "more quantiles is the CRPS (Gneiting and Raftery 2007). It rewards intervals that are narrow and right.", POSITIVE,
            _pinball, False,
        ),
    }  # fmt: skip
    title, shown, explains, scale, each, root = plain[name]
    return Measure(_metric(name, title, shown, "lower", explains, scale), each, root)


def _absolute(cells: Cells) -> Floats:
    """|y - f|; [c]."""
    found: Floats = np.abs(cells.truth - cells.point)
    return found


def _coverage(level: int) -> Measure:
    """Share of the truth inside the interval."""

    def inside(cells: Cells) -> Floats:
        held = (cells.truth >= cells.lower[level]) & (cells.truth <= cells.upper[level])
        return np.where(np.isfinite(cells.truth), held.astype(np.float64), np.nan)

    explains = (
        f"Share of the values that came to lie within the {level}% interval; too narrow intervals hold less, too wide ones more."
    )
    metric = _metric(
        f"coverage_{level}",
        f"Coverage of the {level}% interval",
        "share of values",
        "neither",
        explains,
        SHARE,
        ideal=level / 100,
    )
    return Measure(metric, inside)


def _width(level: int) -> Measure:
    """Width of the interval."""

    def wide(cells: Cells) -> Floats:
        return np.where(np.isfinite(cells.truth), (cells.upper[level] - cells.lower[level]) / cells.absolute, np.nan)

    explains = f"Mean width of the {level}% interval, scaled as MASE; narrower is better where the coverage is the same."
    title = f"Width of the {level}% interval"
    return Measure(
        _metric(f"width_{level}", title, "times the seasonal naive error of the past", "lower", explains, POSITIVE), wide
    )


def _metric(key: str, title: str, unit: str, better: Any, explains: str, scale: Scale, ideal: float | None = None) -> Metric:
    """A metric that reads cells and no text."""
    return Metric(
        key=key,
        title=title,
        unit=unit,
        better=better,
        needs="answers",
        explains=explains,
        measure=_no_evidence,
        made_with=lambda: f"numpy {np.__version__}",
        scale=scale,
        ideal=ideal,
    )


def _no_evidence(_: object) -> Statistic:
    """Forecasts are measured from cells."""
    raise NotImplementedError("forecasts are measured from numbers")
