"""Prophet: trend with bends, seasons of the calendar, covariates known ahead. An optional package, seeded here.

Legend: t stamps, h stamps ahead, k known covariates, r simulated paths.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from studio.core.extras import require
from studio.models.forecast.base import Fit, Method
from studio.models.forecast.calendar import Calendar, season_of
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.panel import Series, carried

_MOST_TERMS = 10
_DAY = pd.Timedelta(days=1)


class Prophet(Method):
    """Prophet; gaps are left out. A series that has grown is fitted anew, for it cannot move a fitted model on."""

    uses_known = True

    def __init__(
        self,
        *,
        season: int,
        frequency: str,
        seed: int,
        seasonality: str = "multiplicative",
        changepoint_scale: float = 0.05,
        seasonality_scale: float = 10.0,
        paths: int = 1000,
    ) -> None:
        super().__init__(season=season, frequency=frequency, seed=seed)
        self.calendar = Calendar(frequency, season)
        self.settings = {
            "seasonality_mode": seasonality,
            "changepoint_prior_scale": changepoint_scale,
            "seasonality_prior_scale": seasonality_scale,
            "uncertainty_samples": paths,
        }

    def fit(self, series: Series) -> Fit:
        """Fit, and keep the model as the JSON that Prophet itself writes."""
        if series.constant:
            return Fit({}, ["the series is constant, and so is its forecast"])
        model, table = self._fitted(series)
        with _quiet():
            from prophet.serialize import model_to_json

            said = np.asarray(model.predict(table)["yhat"])
            state = {"model": model_to_json(model), "stamps": len(series)}
        return Fit(state, residuals=series.values - said)

    def forecast(self, state: dict[str, Any], series: Series, horizon: int, levels: Sequence[int]) -> Forecast:
        """Draw futures from the model that was kept, or from one that is fitted anew where the series has grown."""
        if series.constant:
            known = series.values[np.isfinite(series.values)]
            return Forecast.normal(np.full(horizon, known[-1] if len(known) else 0.0), np.zeros(horizon), levels)
        with _quiet():
            if state.get("stamps") == len(series):
                from prophet.serialize import model_from_json

                model = model_from_json(state["model"])
            else:
                model, _ = self._fitted(series)
            future = self._table(series, len(series) + horizon).iloc[len(series) :]
            with _seeded(self.seed):
                paths = np.asarray(model.predictive_samples(future)["yhat"])
            point = np.asarray(model.predict(future)["yhat"])
        low = {level: np.quantile(paths, (100 - level) / 200, axis=1) for level in levels}
        high = {level: np.quantile(paths, (100 + level) / 200, axis=1) for level in levels}
        return Forecast(
            point,
            {level: np.minimum(bound, point) for level, bound in low.items()},
            {level: np.maximum(bound, point) for level, bound in high.items()},
        )

    def _fitted(self, series: Series) -> tuple[Any, pd.DataFrame]:
        """A model fitted to the whole series, and the table that it was fitted to."""
        with _quiet(), _seeded(self.seed):
            from prophet import Prophet as Model

            model = Model(**self.settings)
            table = self._table(series, len(series)).assign(y=series.values)
            if self.season not in (1, season_of(self.frequency)):
                span = (table["ds"].iloc[-1] - table["ds"].iloc[0]) / max(1, len(table) - 1)
                terms = max(1, min(_MOST_TERMS, self.season // 2))
                model.add_seasonality("season", period=self.season * span / _DAY, fourier_order=terms)
            for name in table.columns.drop(["ds", "y"]):
                model.add_regressor(name)
            model.fit(table, seed=self.seed)
        return model, table

    def _table(self, series: Series, count: int) -> pd.DataFrame:
        """Stamps and known covariates, which keep their last value beyond their end."""
        table = pd.DataFrame({"ds": self.calendar.stamps(series.start, count)})
        width = series.known.shape[1]
        missing = np.full((max(0, count - len(series.known)), width), np.nan)
        known = carried(np.concatenate([series.known, missing])[:count]) if width else np.zeros((count, 0))
        return table.assign(**{f"known_{place}": known[:, place] for place in range(width)})


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the lines that Prophet and Stan write about themselves; both set their own levels when they are imported."""
    logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)
    for package in ("prophet", "cmdstanpy"):
        require(package, feature="the preset forecast/prophet", extra="prophet")
    before = {name: logging.getLogger(name).level for name in ("prophet", "cmdstanpy")}
    for name in before:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """With numpy's global draws, which Prophet takes its intervals from, begun anew; afterwards they go on where they were."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
