"""Exponential smoothing as a state-space model: which errors, trend and season, and their numbers.

Legend: t stamps, h stamps ahead, r simulated paths.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from studio.models.forecast.base import Fit, Method
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.panel import Floats, Series, without_gaps

# Error, trend, season: what ``auto`` chooses among. Additive errors with a multiplicative season may divide by 0 (Hyndman and
# Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 8.6), so that error and season go together.
_TRENDS = ("none", "add", "damped")
_SHORT = {"none": "N", "add": "A", "mul": "M", "damped": "Ad"}
Form = tuple[str, str, str]


class Ets(Method):
    """Exponential smoothing; a line stands in gaps."""

    def __init__(
        self,
        *,
        season: int,
        frequency: str,
        seed: int,
        error: str = "auto",
        trend: str = "auto",
        seasonal: str = "auto",
        longest_season: int = 24,
        paths: int = 2000,
    ) -> None:
        super().__init__(season=season if season <= longest_season else 1, frequency=frequency, seed=seed)
        self.left_out = season if season > longest_season else None
        self.error, self.trend, self.seasonal, self.paths = error, trend, seasonal, paths

    def fit(self, series: Series) -> Fit:
        """Fit every form that is left open and keep that of the smallest corrected Akaike criterion."""
        notes = [f"a season of {self.left_out} stamps is too long for ETS and was left out"] if self.left_out else []
        if series.constant:
            return Fit({"constant": True}, [*notes, "the series is constant, and so is its forecast"])
        values = without_gaps(series.values)
        forms = self._forms(values)
        found = [(form, result) for form in forms if (result := _fitted(values, form, self.season)) is not None]
        if not found:
            tried = ", ".join(map(_name, forms)) or "what is asked for multiplies, and not all of its values are above 0"
            raise ValueError(f"no form of ETS can be fitted to it: {tried}")
        form, best = min(found, key=lambda pair: float(pair[1].aicc))
        state = {
            "form": list(form),
            "season": self.season,
            "params": [float(value) for value in best.params],
            "names": list(best.model.param_names),
            "aicc": float(best.aicc),
            "name": _name(form),
            "fits": len(forms),
        }
        return Fit(state, notes, np.asarray(best.resid))

    def forecast(self, state: dict[str, Any], series: Series, horizon: int, levels: Sequence[int]) -> Forecast:
        """Smooth the whole series with the fitted numbers, and go on from its end."""
        values = without_gaps(series.values)
        if "constant" in state:
            return Forecast.normal(np.full(horizon, values[-1]), np.zeros(horizon), levels)
        form = tuple(state["form"])
        # Its predictions want a Series, of whose index nothing is used.
        result = _model(pd.Series(values), form, int(state["season"])).smooth(np.array(state["params"]))
        point = np.asarray(result.forecast(horizon))
        if "mul" not in form:
            ahead = result.get_prediction(start=len(values), end=len(values) + horizon - 1)
            return Forecast.normal(point, np.sqrt(np.asarray(ahead.forecast_variance)), levels)
        draws = np.random.default_rng(self.seed)
        paths = np.asarray(result.simulate(horizon, anchor="end", repetitions=self.paths, rng=draws)).reshape(horizon, -1)
        shares = {level: ((100 - level) / 200, (100 + level) / 200) for level in levels}
        return Forecast(
            point,
            {level: np.minimum(np.quantile(paths, low, axis=1), point) for level, (low, _) in shares.items()},
            {level: np.maximum(np.quantile(paths, high, axis=1), point) for level, (_, high) in shares.items()},
        )

    def _forms(self, values: Floats) -> list[Form]:
        """Forms that fit what is asked for, and the values: what multiplies needs values above 0."""
        seasonal = self.season > 1 and len(values) >= 2 * self.season + 2
        forms = [("add", trend, "none") for trend in _TRENDS]
        forms += [(how, trend, how) for how in ("add", "mul") for trend in _TRENDS] if seasonal else []
        given = (self.error, self.trend, self.seasonal if seasonal else "none")
        asked = [form for form in forms if all(want in ("auto", have) for want, have in zip(given, form, strict=True))]
        if not asked:
            every = (("add", "mul"), _TRENDS, ("none", "add", "mul"))
            errors, trends, seasons = ((one,) if one != "auto" else some for one, some in zip(given, every, strict=True))
            asked = list(itertools.product(errors, trends, seasons))
        return [form for form in asked if "mul" not in (form[0], form[2]) or bool((values > 0).all())]


def _model(values: Any, form: Any, season: int) -> Any:
    """The state-space model, not yet fitted."""
    error, trend, seasonal = form
    return ETSModel(
        values,
        error=error,
        trend=None if trend == "none" else "add",
        damped_trend=trend == "damped",
        seasonal=None if seasonal == "none" else seasonal,
        seasonal_periods=season if seasonal != "none" else None,
    )


def _fitted(values: Floats, form: Form, season: int) -> Any:
    """The model at its largest likelihood; None where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = _model(values, form, season).fit(disp=0, maxiter=500)
        except (ValueError, np.linalg.LinAlgError, ZeroDivisionError):
            return None
    return result if np.isfinite(result.aicc) else None


def _name(form: Form) -> str:
    """``ETS(M,Ad,M)``."""
    return f"ETS({','.join(_SHORT[part] for part in form)})"
