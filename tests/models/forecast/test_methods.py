"""Methods that learn each series by itself give the printed numbers, and nothing of them sees the future."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from studio.core.errors import UserError
from studio.core.extras import available
from studio.models.forecast.arima import Orders, _ahead, _model
from studio.models.forecast.base import whiteness
from studio.models.forecast.errors import scale_of
from studio.models.forecast.forecaster import ForecasterInfo, LocalForecaster, baseline
from studio.models.forecast.local import Learnt, Way, go_on, learn_all
from studio.models.forecast.panel import Panel, Series
from tests.models.forecast.known_series import MONTHS, airline, seasonal, shocked, sunspots

LEVELS = (80, 95)
AIRLINE: dict[str, Any] = {"type": "arima", "order": [0, 1, 1], "seasonal_order": [0, 1, 1], "transform": "log"}
LOCAL = ["naive", "seasonal-naive", "arima", "ets", "theta", "prophet"]


def learnt(estimator: dict[str, Any], series: Series, season: int = 12, frequency: str = "MS") -> tuple[Way, Learnt]:
    way = Way.of(estimator, season, frequency, 0)
    return way, learn_all(way, [series])[series.name]


def estimator_of(kind: str) -> dict[str, Any]:
    """Quick settings of a method, which is skipped where its package is not here."""
    if kind == "prophet" and not available("prophet"):
        pytest.skip("prophet is not installed")
    quick: dict[str, dict[str, Any]] = {
        "arima": {"order": [0, 1, 1], "seasonal_order": [0, 1, 1]},
        "ets": {"error": "add", "trend": "add", "seasonal": "add"},
        "prophet": {"paths": 200},
    }
    return {"type": kind, **quick.get(kind, {})}


def test_the_airline_model_has_the_coefficients_that_r_gives() -> None:
    """R 4, arima(log(AirPassengers), c(0,1,1), c(0,1,1)): ma1 -0.4018, sma1 -0.5569, log-likelihood 244.70, AIC -483.40."""
    _, found = learnt(AIRLINE, airline())
    ma1, sma1, _ = found.state["params"]
    assert found.state["names"][:2] == ["ma.L1", "ma.S.L12"] and found.logged
    assert ma1 == pytest.approx(-0.402, abs=1e-3) and sma1 == pytest.approx(-0.557, abs=1e-3)
    assert found.state["loglikelihood"] == pytest.approx(244.70, abs=5e-3)


def test_the_search_finds_the_airline_model() -> None:
    _, found = learnt({"type": "arima", "transform": "log"}, airline())
    assert found.state["aicc"] == pytest.approx(-483.2, abs=0.05) and found.state["orders"] == [0, 1, 1, 0, 1, 1]
    assert 10 <= found.state["fits"] <= 16, "step by step, not all of them"


def test_ar3_on_sunspots_is_the_one_of_the_statsmodels_example() -> None:
    """statsmodels' notebook on ARMA: 1.301, -0.508, -0.130."""
    series = Series.of("sunspots", pd.Timestamp("1700-01-01"), sunspots())
    estimator = {"type": "arima", "order": [3, 0, 0], "seasonal_order": [0, 0, 0]}
    _, found = learnt(estimator, series, season=1, frequency="YS-JAN")
    numbers = dict(zip(found.state["names"], found.state["params"], strict=True))
    assert [round(numbers[f"ar.L{lag}"], 2) for lag in (1, 2, 3)] == [1.30, -0.51, -0.13]


@pytest.mark.parametrize(("horizon", "airline_mase", "naive_mase"), [(12, 0.435, 1.571), (24, 1.381, 2.494)])
def test_the_last_months_of_the_airline_series(horizon: int, airline_mase: float, naive_mase: float) -> None:
    series = airline()
    past, truth = series.before(144 - horizon), series.values[-horizon:]
    scale = scale_of(series, 144 - horizon, 12).absolute
    assert scale is not None
    for estimator, expected in ((AIRLINE, airline_mase), ({"type": "seasonal-naive"}, naive_mase)):
        way, found = learnt(estimator, past)
        made = go_on(way, found, past, horizon, LEVELS)
        # The optimizer stops elsewhere on another processor.
        assert np.abs(made.point - truth).mean() / scale == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("orders", [Orders(0, 1, 1, 0, 1, 1), Orders(2, 0, 1, constant=True), Orders(1, 1, 1, 1, 0, 1, True)])
def test_predictions_are_those_of_statsmodels(orders: Orders) -> None:
    values = np.log(airline().values)
    values[[3, 50, 143]] = np.nan
    model = _model(values, None, orders, 12)
    result = model.fit(disp=0)
    expected = result.get_forecast(24)
    point, errors = _ahead(_model(values, None, orders, 12), result.params, 24)
    np.testing.assert_allclose(point, expected.predicted_mean, rtol=1e-12)
    np.testing.assert_allclose(errors, expected.se_mean, rtol=1e-10)


def test_ets_and_theta_are_those_of_the_library() -> None:
    """ETS(M,Ad,M), whose optimum depends on the processor, beside statsmodels' own; the MAE of Theta is 63.2."""
    past, truth = airline().before(120), airline().values[120:]
    form = {"error": "mul", "trend": "add", "damped_trend": True, "seasonal": "mul", "seasonal_periods": 12}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = ETSModel(past.values, **form).fit(disp=0, maxiter=500).forecast(24)
    way, found = learnt({"type": "ets", "error": "mul", "trend": "damped", "seasonal": "mul"}, past)
    np.testing.assert_allclose(go_on(way, found, past, 24, LEVELS).point, library, rtol=1e-6)
    assert np.abs(library - truth).mean() < 80
    way, found = learnt({"type": "theta"}, past)
    assert np.abs(go_on(way, found, past, 24, LEVELS).point - truth).mean() == pytest.approx(63.2, abs=0.6)


@pytest.mark.parametrize("kind", LOCAL)
def test_changing_the_future_changes_no_forecast(kind: str) -> None:
    panel = seasonal(2)
    made = []
    for some in (panel, shocked(panel, 60)):
        info = ForecasterInfo(estimator_of(kind), "MS", 12, 6, LEVELS)
        before = some.cut([60, 60])
        way = Way.of(info.estimator, 12, "MS", 0)
        forecaster = LocalForecaster(info, before, learn_all(way, before.series))
        made.append(forecaster.forecast(some.cut([72, 72]) if some is panel else some.cut([60, 60]), 6))
        made.append(forecaster.forecast(before, 6))
    # Forecasts from place 60 are the same; those from 72, which saw twelve values more, are not.
    for first, second in zip(made[1], made[2], strict=True):
        np.testing.assert_array_equal(first.point, second.point)
        for level in LEVELS:
            np.testing.assert_array_equal(first.lower[level], second.lower[level])
    assert not np.allclose(made[0][0].point, made[1][0].point)


@pytest.mark.parametrize("kind", LOCAL)
def test_gaps_constants_and_short_series_have_a_forecast(kind: str) -> None:
    one = seasonal(1).series[0]
    holes = one.values.copy()
    holes[[3, 20, 21, 22, 83]] = np.nan
    cases = {
        "gaps": replace(one, values=holes, seen=np.isfinite(holes)),
        "constant": Series.of("constant", one.start, np.full(60, 7.0)),
        "shorter than a season": Series.of("short", one.start, one.values[:10]),
    }
    for name, series in cases.items():
        estimator = estimator_of(kind)
        if name.startswith("shorter") and kind in {"arima", "ets"}:
            estimator = {"type": kind}
        way, found = learnt(estimator, series)
        made = go_on(way, found, series, 6, LEVELS)
        assert np.isfinite(made.point).all(), (kind, name)
        assert (made.lower[95] <= made.lower[80]).all() and (made.upper[80] <= made.upper[95]).all()
        if name == "constant":
            np.testing.assert_array_equal(made.point, np.full(6, 7.0))


@pytest.mark.parametrize("kind", LOCAL)
def test_intervals_grow_and_hold_the_point(kind: str) -> None:
    one = seasonal(1).series[0]
    way, found = learnt(estimator_of(kind), one)
    made = go_on(way, found, one, 12, LEVELS)
    assert list(made.quantiles()) == [0.025, 0.1, 0.5, 0.9, 0.975]
    wide = made.upper[95] - made.lower[95]
    assert (wide > 0).all() and wide[-1] >= 0.95 * wide[0]
    again = go_on(way, found, one, 12, LEVELS)
    np.testing.assert_array_equal(made.lower[80], again.lower[80])


def test_logarithms_are_refused_where_there_are_none_and_skipped_by_auto() -> None:
    values = seasonal(1).series[0].values.copy()
    values[7] = 0.0
    series = Series.of("shop", pd.Timestamp("2015-01-01"), values)
    with pytest.raises(UserError, match="the series shop holds 0, which has no logarithm"):
        learnt({"type": "theta", "transform": "log"}, series)
    assert not learnt({"type": "theta", "transform": "auto"}, series)[1].logged
    way, found = learnt({"type": "theta", "transform": "auto"}, replace(series, values=np.abs(values) + 1))
    with pytest.raises(UserError, match="was learnt on logarithms and now holds 0"):
        go_on(way, found, series, 3, LEVELS)


def test_known_covariates_move_the_forecast() -> None:
    draws = np.random.default_rng(1)
    price = draws.normal(size=(90, 1))
    values = 50 + 8 * price[:80, 0] + draws.normal(0, 0.1, 80)
    series = replace(Series.of("shop", pd.Timestamp("2015-01-01"), values), known=price)
    way, found = learnt({"type": "arima", "order": [0, 0, 0], "seasonal_order": [0, 0, 0]}, series)
    np.testing.assert_allclose(go_on(way, found, series, 10, LEVELS).point, 50 + 8 * price[80:, 0], atol=0.2)


def test_a_series_that_was_not_trained_on_is_fitted_when_it_is_met() -> None:
    panel = seasonal(2)
    known = replace(panel, series=panel.series[:1])
    info = ForecasterInfo({"type": "theta"}, "MS", 12, 6, LEVELS)
    forecaster = LocalForecaster(info, known, learn_all(Way.of(info.estimator, 12, "MS", 0), known.series))
    assert len(forecaster.forecast(panel, 6)) == 2 and "s1 was not in the training" in forecaster.notes[0]


def test_the_naive_forecasts_are_what_they_say() -> None:
    panel = Panel(MONTHS, [seasonal(1).series[0]])
    values = panel.series[0].values
    plain, yearly = (baseline(kind, panel, 12, LEVELS).forecast(panel, 24)[0] for kind in ("naive", "seasonal-naive"))
    assert (plain.point == values[-1]).all()
    np.testing.assert_array_equal(yearly.point, np.tile(values[-12:], 2))
    sigma = np.sqrt(((values[12:] - values[:-12]) ** 2).mean())
    np.testing.assert_allclose(yearly.upper[95] - yearly.point, 1.959964 * sigma * np.repeat([1, np.sqrt(2)], 12), rtol=1e-5)


def test_whiteness_is_the_ljung_box_test_of_statsmodels() -> None:
    from statsmodels.stats.diagnostic import acorr_ljungbox

    errors = np.random.default_rng(0).normal(size=120)
    errors[1:] += 0.6 * errors[:-1]
    found = whiteness(errors, 12)
    assert found is not None and found["lags"] == 24
    table = acorr_ljungbox(errors, lags=[24])
    assert found["ljung_box_p"] == pytest.approx(float(table["lb_pvalue"].iloc[0]), rel=1e-6)
    assert whiteness(np.zeros(50), 12) is None and whiteness(np.array([1.0, 2.0]), 1) is None


def test_a_season_that_cannot_be_divided_by_is_refused_with_the_series() -> None:
    values = seasonal(1).series[0].values - 130
    with pytest.raises(UserError, match=r"the series shop cannot be learnt with theta: its season is to be divided by"):
        learnt({"type": "theta", "deseasonalize": "mul"}, Series.of("shop", pd.Timestamp("2015-01-01"), values))
    with pytest.raises(UserError, match="no form of ETS can be fitted to it: what is asked for multiplies"):
        learnt({"type": "ets", "error": "mul", "seasonal": "mul"}, Series.of("shop", pd.Timestamp("2015-01-01"), values))
