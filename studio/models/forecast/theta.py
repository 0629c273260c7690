"""The theta method: the trend halved, what is left smoothed. Quick enough to be fitted anew for each forecast."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.tools.sm_exceptions import ConvergenceWarning
from statsmodels.tsa.forecasting.theta import ThetaModel

from studio.models.forecast.base import Fit, Method
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.panel import Floats, Series, without_gaps

_METHODS = {"auto": "auto", "add": "additive", "mul": "multiplicative", "none": "auto"}


class Theta(Method):
    """The theta method of statsmodels; a line stands in gaps."""

    def __init__(self, *, season: int, frequency: str, seed: int, theta: float = 2.0, deseasonalize: str = "auto") -> None:
        super().__init__(season=season, frequency=frequency, seed=seed)
        self.theta, self.deseasonalize = theta, deseasonalize

    def fit(self, series: Series) -> Fit:
        """The trend and how fast the rest is smoothed; told, for a forecast finds them anew."""
        if series.constant:
            return Fit({}, ["the series is constant, and so is its forecast"])
        result, notes = self._result(without_gaps(series.values))
        return Fit({name: float(value) for name, value in result.params.items()}, notes)

    def forecast(self, state: dict[str, Any], series: Series, horizon: int, levels: Sequence[int]) -> Forecast:  # noqa: ARG002
        """Fit the whole series, and go on from its end."""
        if series.constant:
            known = series.values[np.isfinite(series.values)]
            return Forecast.normal(np.full(horizon, known[-1] if len(known) else 0.0), np.zeros(horizon), levels)
        result, _ = self._result(without_gaps(series.values))
        point = np.asarray(result.forecast(horizon, theta=self.theta))
        bounds = {level: result.prediction_intervals(horizon, theta=self.theta, alpha=1 - level / 100) for level in levels}
        return Forecast(
            point,
            {level: bound["lower"].to_numpy() for level, bound in bounds.items()},
            {level: bound["upper"].to_numpy() for level, bound in bounds.items()},
        )

    def _result(self, values: Floats) -> tuple[Any, list[str]]:
        """The fitted model, and what is to be said of it. It wants stamps, of which it uses nothing."""
        seasonal = self.deseasonalize != "none" and self.season > 1 and len(values) >= 2 * self.season
        dated = pd.Series(values, index=pd.date_range("2000-01-01", periods=len(values), freq="D"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = ThetaModel(
                dated,
                period=self.season if seasonal else 1,
                deseasonalize=seasonal,
                use_test=self.deseasonalize == "auto",
                method=self._method(values),
            )
            result = model.fit()
            assert result.sigma2 is not None  # found when it is first asked for, so that what it warns of is caught here
        unfinished = any(issubclass(one.category, ConvergenceWarning) for one in caught)
        return result, ["the likelihood of its intervals had not stopped rising"] if unfinished else []

    def _method(self, values: Floats) -> str:
        """How the season is taken out.

        Raises:
            ValueError: it is to be divided by, and some values are not above 0.
        """
        above = bool((values > 0).all())
        if self.deseasonalize == "mul" and not above:
            raise ValueError(
                "its season is to be divided by (estimator.deseasonalize: mul), and some of its values are not above 0"
            )
        return _METHODS[self.deseasonalize] if above else "additive"
