"""What a method is that learns each series by itself: a fit that JSON can hold, and a forecast from it.

Legend: t stamps of a series, h stamps ahead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from studio.core.registry import Registry
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.panel import Floats, Series

METHODS = Registry(
    "method",
    {
        "naive": "studio.models.forecast.naive:Naive",
        "seasonal-naive": "studio.models.forecast.naive:SeasonalNaive",
        "arima": "studio.models.forecast.arima:Arima",
        "ets": "studio.models.forecast.ets:Ets",
        "theta": "studio.models.forecast.theta:Theta",
        "prophet": "studio.models.forecast.prophet:Prophet",
    },
)
"""Methods that learn each series by itself, by the ``type`` of a preset's estimator."""


@dataclass
class Fit:
    """What was learnt of one series: plain JSON values. notes: what people have to know of it.

    residuals: one-step errors inside the training, [t] or fewer, of which only a summary is kept.
    """

    state: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    residuals: Floats | None = None


class Method(ABC):
    """One way to continue a series. season: stamps in a season, 1 is none. frequency: of its grid."""

    uses_known = False
    """Whether covariates known ahead are used."""

    def __init__(self, *, season: int, frequency: str, seed: int) -> None:
        self.season, self.frequency, self.seed = season, frequency, seed

    @abstractmethod
    def fit(self, series: Series) -> Fit:
        """Learn a series.

        Raises:
            ValueError: it cannot be learnt this way, in one clause.
        """

    @abstractmethod
    def forecast(self, state: dict[str, Any], series: Series, horizon: int, levels: Sequence[int]) -> Forecast:
        """Continue a series that may have grown since it was learnt.

        Args:
            state: of its fit. series: from the first stamp of the fit on, or of a forecast method that needs no fit, any.
        """


def whiteness(residuals: Floats, season: int) -> dict[str, Any] | None:
    """Whether one-step errors still hold something to be learnt: their autocorrelations and the Ljung-Box test.

    Source: Ljung and Box 1978; lags: two seasons, 10 without one, at most a fifth of the errors (Hyndman and Athanasopoulos,
    Forecasting: Principles and Practice, 3rd edition, section 5.4).
    """
    from scipy.stats import chi2

    errors = residuals[np.isfinite(residuals)]
    count = len(errors)
    lags = min(2 * season if season > 1 else 10, count // 5)
    spread = float(((errors - errors.mean()) ** 2).sum()) if count else 0.0
    if lags < 1 or spread == 0:
        return None
    away = errors - errors.mean()
    correlations = np.array([float((away[lag:] * away[:-lag]).sum()) / spread for lag in range(1, lags + 1)])
    statistic = count * (count + 2) * float((correlations**2 / (count - np.arange(1, lags + 1))).sum())
    shown = {"1": float(correlations[0])} | ({str(season): float(correlations[season - 1])} if 1 < season <= lags else {})
    return {"errors": count, "lags": lags, "autocorrelation": shown, "ljung_box_p": float(chi2.sf(statistic, lags))}
