"""Seasonal ARIMA by maximum likelihood, and the search of its orders.

Legend: t stamps, h stamps ahead, m stamps in a season, k known covariates.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.stattools import kpss

from studio.models.forecast.base import Fit, Method
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.panel import Floats, Series, carried, without_gaps
from studio.models.forecast.season import has_strong_season

# A difference is taken while stationarity is refused at this level, at most twice: ndiffs of R.
_KPSS_LEVEL = 0.05
# Roots nearer to the unit circle than this are as good as a difference too few or too many: auto.arima of R.
_NEAR_UNIT = 1.01
_MOST_ITERATIONS = 100
_OUT_OF_ITERATIONS = 1  # scipy's L-BFGS-B
_LARGEST = {"p": 5, "q": 5, "P": 2, "Q": 2}


@dataclass(frozen=True)
class Orders:
    """p, d, q and P, D, Q of a model, and whether it has a constant."""

    p: int
    d: int
    q: int
    P: int = 0
    D: int = 0
    Q: int = 0
    constant: bool = False

    @staticmethod
    def of(numbers: Sequence[int], constant: bool) -> Orders:
        """From all six in a row."""
        p, d, q, P, D, Q = numbers  # noqa: N806 - the usual names
        return Orders(p, d, q, P, D, Q, constant)

    def neighbours(self) -> Iterator[Orders]:
        """One of them, or both of a pair, one up or down; the constant the other way."""
        for names in (("p",), ("q",), ("P",), ("Q",), ("p", "q"), ("P", "Q")):
            for signs in itertools.product((-1, 1), repeat=len(names)):
                yield replace(self, **{name: getattr(self, name) + sign for name, sign in zip(names, signs, strict=True)})
        yield replace(self, constant=not self.constant)


class _Filtered(SARIMAX):  # type: ignore[misc]
    """The model without the pass backwards that statsmodels makes after a fit, which forecasts do not need."""

    def smooth(self, params: Any, **settings: Any) -> Any:
        """Filter alone."""
        return self.filter(params, **settings)


class Arima(Method):
    """Seasonal ARIMA; known covariates are regressors."""

    uses_known = True

    def __init__(
        self,
        *,
        season: int,
        frequency: str,
        seed: int,
        order: Any = "auto",
        seasonal_order: Any = "auto",
        constant: Any = "auto",
        most: int = 5,
        longest_season: int = 60,
    ) -> None:
        super().__init__(season=season if season <= longest_season else 1, frequency=frequency, seed=seed)
        self.left_out = season if season > longest_season else None
        self.order, self.seasonal_order, self.constant, self.most = order, seasonal_order, constant, most

    def fit(self, series: Series) -> Fit:
        """Choose the orders that are left open, then maximise the likelihood."""
        values, regressors = series.values, _regressors(series, len(series))
        notes = [f"a season of {self.left_out} stamps is too long for ARIMA and was left out"] if self.left_out else []
        if series.constant:
            return Fit({"constant_value": _only_value(values)}, [*notes, "the series is constant, and so is its forecast"])
        chosen, fits, start = self._orders(values, regressors)
        result, warned = _fitted(values, regressors, chosen, self.season, start=start)
        if result is None:
            raise ValueError(f"no ARIMA{_name(chosen, self.season)} can be fitted to it ({warned})")
        notes += [f"ARIMA{_name(chosen, self.season)}: {warned}"] if warned else []
        state = {
            "orders": [chosen.p, chosen.d, chosen.q, chosen.P, chosen.D, chosen.Q],
            "season": self.season,
            "constant": chosen.constant,
            "params": [float(value) for value in result.params],
            "names": list(result.model.param_names),
            "loglikelihood": float(result.llf),
            "aicc": float(result.aicc),
            "fits": fits,
        }
        return Fit(state, notes, np.asarray(result.resid)[chosen.d + chosen.D * self.season :])

    def forecast(self, state: dict[str, Any], series: Series, horizon: int, levels: Sequence[int]) -> Forecast:
        """Move the fitted model over the whole series, and on from its end."""
        if "constant_value" in state:
            last = series.values[np.isfinite(series.values)]
            point = np.full(horizon, last[-1] if len(last) else state["constant_value"])
            return Forecast.normal(point, np.zeros(horizon), levels)
        orders = Orders.of(state["orders"], state["constant"])
        count = len(series)
        regressors = _regressors(series, count + horizon)
        model = _model(series.values, None if regressors is None else regressors[:count], orders, int(state["season"]))
        params = np.array(state["params"])
        point, errors = _ahead(model, params, horizon)
        if regressors is not None:
            weights = params[int(orders.constant) : int(orders.constant) + regressors.shape[1]]
            point = point + regressors[count:] @ weights
        return Forecast.normal(point, errors, levels)

    def _orders(self, values: Floats, regressors: Floats | None) -> tuple[Orders, int, Floats | None]:
        """The orders that are given, the others found; how many models were fitted for that, and what the best one's was."""
        given = None if self.order == "auto" else tuple(self.order)
        seasonal = (0, 0, 0) if self.season == 1 else None if self.seasonal_order == "auto" else tuple(self.seasonal_order)
        if given is not None and seasonal is not None:
            constant = given[1] + seasonal[1] == 0 if self.constant == "auto" else bool(self.constant)
            return Orders.of((*given, *seasonal), constant), 0, None
        constant = None if self.constant == "auto" else bool(self.constant)
        return search(values, self.season, regressors, order=given, seasonal=seasonal, constant=constant, most=self.most)


def search(
    values: Floats,
    season: int,
    regressors: Floats | None = None,
    *,
    order: tuple[int, ...] | None = None,
    seasonal: tuple[int, ...] | None = None,
    constant: bool | None = None,
    most: int = 5,
) -> tuple[Orders, int, Floats | None]:
    """Orders of the smallest corrected Akaike criterion, step by step; how many models were fitted, and the best one's numbers.

    Source: Hyndman and Khandakar 2008, https://doi.org/10.18637/jss.v027.i03, section 3.2. Differences come first: the season's
    by its strength, then ordinary ones by KPSS tests.
    Args:
        order, seasonal, constant: what is given and not searched.
    """
    whole = without_gaps(values)
    seasonal_difference = seasonal[1] if seasonal is not None else int(has_strong_season(whole, season))
    lagged = whole[season:] - whole[:-season] if seasonal_difference else whole
    difference = order[1] if order is not None else _differences(lagged)
    both = difference + seasonal_difference
    known: dict[Orders, tuple[float, Floats | None]] = {}

    def criterion(orders: Orders) -> float:
        if orders not in known:
            known[orders] = _criterion(values, regressors, orders, season)
        return known[orders][0]

    def allowed(one: Orders) -> bool:
        within = all(0 <= getattr(one, name) <= largest for name, largest in _LARGEST.items())
        fixed = (order is None or (one.p, one.d, one.q) == order) and (seasonal is None or seasonal == (one.P, one.D, one.Q))
        given = one.constant == constant if constant is not None else not (one.constant and both > 1)
        return within and fixed and given and one.p + one.q + one.P + one.Q <= most

    def start(p: int, q: int, P: int, Q: int) -> Orders:  # noqa: N803 - the usual names
        (p, q), (P, Q) = (p, q) if order is None else order[::2], (P, Q) if seasonal is None else seasonal[::2]  # noqa: N806
        if season == 1:
            P = Q = 0  # noqa: N806
        return Orders(p, difference, q, P, seasonal_difference, Q, both <= 1 if constant is None else constant)

    starts = [start(2, 2, 1, 1), start(0, 0, 0, 0), start(1, 0, 1, 0), start(0, 1, 0, 1)]
    best = min(dict.fromkeys(starts), key=criterion)
    while True:
        better = next((one for one in best.neighbours() if allowed(one) and criterion(one) < criterion(best)), None)
        if better is None:
            return best, len(known), known[best][1]
        best = better


def _criterion(values: Floats, regressors: Floats | None, orders: Orders, season: int) -> tuple[float, Floats | None]:
    """Corrected Akaike criterion and the model's numbers; infinite where there is no such model, or its roots are as good as 1.

    Whole series are differenced beforehand: the likelihood is the same, and the state has d + D m numbers fewer.
    """
    result, _ = _fitted(values, regressors, orders, season, differenced=bool(np.isfinite(values).all()))
    if result is None or not np.isfinite(result.aicc):
        return np.inf, None
    roots = np.concatenate([np.abs(result.arroots), np.abs(result.maroots)])
    near = len(roots) > 0 and roots.min() < _NEAR_UNIT
    return np.inf if near else float(result.aicc), np.asarray(result.params)


def _differences(values: Floats) -> int:
    """How often a series is differenced until KPSS no longer refuses that it is stationary."""
    for taken in range(2):
        if len(values) < 8 or bool((values == values[0]).all()):
            return taken
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kpss(values, regression="c", nlags=int(3 * np.sqrt(len(values)) / 13))[1] >= _KPSS_LEVEL:
                return taken
        values = np.diff(values)
    return 2


def _model(values: Floats, regressors: Floats | None, orders: Orders, season: int, differenced: bool = False) -> Any:
    """The state-space model, not yet fitted. differenced: of the differences alone."""
    seasonal = (orders.P, orders.D, orders.Q, season) if season > 1 and orders.P + orders.D + orders.Q else (0, 0, 0, 0)
    trend = "c" if orders.constant else "n"
    return _Filtered(
        values,
        exog=regressors,
        order=(orders.p, orders.d, orders.q),
        seasonal_order=seasonal,
        trend=trend,
        simple_differencing=differenced,
    )


def _ahead(model: Any, params: Floats, horizon: int) -> tuple[Floats, Floats]:
    """Means and standard errors of the stamps after the end, [h] each, without regressors: the Kalman filter's predictions.

    Source: Durbin and Koopman 2012, Time Series Analysis by State Space Methods, section 4.11. statsmodels' own
    ``get_forecast`` gives the same numbers and takes three times as long, most of it for objects around them.
    """
    model.update(params)
    system, filtered = model.ssm, model.ssm.filter()
    state, spread = filtered.predicted_state[:, -1], filtered.predicted_state_cov[:, :, -1]
    # None of them changes over time: a constant stands in every place of the intercept, if it has places.
    design, move, shift = system["design"], system["transition"], system["state_intercept"].reshape(len(state), -1)[:, -1]
    noise = system["selection"] @ system["state_cov"] @ system["selection"].T
    means, variances = np.empty(horizon), np.empty(horizon)
    for step in range(horizon):
        means[step], variances[step] = (design @ state)[0], (design @ spread @ design.T)[0, 0]
        state, spread = move @ state + shift, move @ spread @ move.T + noise
    return means, np.sqrt(variances)


def _fitted(
    values: Floats,
    regressors: Floats | None,
    orders: Orders,
    season: int,
    *,
    differenced: bool = False,
    start: Floats | None = None,
) -> tuple[Any, str]:
    """The model at its largest likelihood and what is to be said of it; None and why where there is none.

    Args:
        start: numbers to begin with; None takes those of statsmodels.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = _model(values, regressors, orders, season, differenced)
            result = model.fit(start, disp=0, maxiter=_MOST_ITERATIONS, cov_type="none")
        except (ValueError, np.linalg.LinAlgError, IndexError) as error:
            return None, str(error).splitlines()[0]
    # A search that begins at the best place may end with a line search that finds nothing better; that is no flaw.
    unfinished = bool((result.mle_retvals or {}).get("warnflag") == _OUT_OF_ITERATIONS)
    return result, f"the likelihood had not stopped rising after {_MOST_ITERATIONS} iterations" if unfinished else ""


def _regressors(series: Series, count: int) -> Floats | None:
    """Known covariates [count, k] without gaps; None where there are none."""
    if not series.known.shape[1]:
        return None
    missing = np.full((max(0, count - len(series.known)), series.known.shape[1]), np.nan)
    return carried(np.concatenate([series.known, missing])[:count])


def _only_value(values: Floats) -> float:
    """The value of a constant series; 0 where nothing was seen."""
    known = values[np.isfinite(values)]
    return float(known[0]) if len(known) else 0.0


def _name(orders: Orders, season: int) -> str:
    """``(0,1,1)(0,1,1)[12]``, as R writes it."""
    seasonal = f"({orders.P},{orders.D},{orders.Q})[{season}]" if season > 1 else ""
    return f"({orders.p},{orders.d},{orders.q}){seasonal}{' with a constant' if orders.constant else ''}"
