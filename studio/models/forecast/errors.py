"""What errors of forecasts are measured in: how far the seasonal naive forecast is off inside the past of each series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.models.forecast.panel import Series


@dataclass(frozen=True)
class Scale:
    """absolute: mean of the absolute errors; squared: mean of the squared ones; None where nothing changed or nothing was seen.

    Source: Hyndman and Koehler 2006, https://doi.org/10.1016/j.ijforecast.2006.03.001.
    """

    absolute: float | None
    squared: float | None


def scale_of(series: Series, before: int, season: int) -> Scale:
    """The scale of a series from its first stamps alone.

    Args:
        before: stamps that are the past. season: stamps in a season; 1, or a series shorter than one, takes the naive forecast.
    """
    values = np.where(series.seen[:before], series.values[:before], np.nan)
    lag = season if len(values) > season else 1
    changes = values[lag:] - values[:-lag]
    changes = changes[np.isfinite(changes)]
    if not len(changes) or not changes.any():
        return Scale(None, None)
    return Scale(float(np.abs(changes).mean()), float((changes**2).mean()))
