"""Windows for networks hold nothing of the future; quantiles are ordered; what is saved is what is opened, without a pickle."""

from __future__ import annotations

import json
import pickletools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.core.errors import StudioError, UserError
from studio.models.forecast.forecaster import Forecaster, ForecasterInfo, LocalForecaster
from studio.models.forecast.forecasts import FEWEST_CELLS, Forecast, Window, conformal_factors, roll, share_held
from studio.models.forecast.layers import build_network, quantile_loss
from studio.models.forecast.local import Way, learn_all
from studio.models.forecast.network import NetworkForecaster, as_info, context_of, count_weights, quantiles_of, shape_of
from studio.models.forecast.opening import HISTORY, INFO, open_forecaster, save_forecaster
from studio.models.forecast.panel import Panel, continued
from studio.models.forecast.windows import Inputs, cut, prepare
from tests.models.forecast.known_series import seasonal, shocked

NETWORKS: dict[str, dict[str, Any]] = {
    "lstm": {"type": "lstm", "context": None, "width": 8, "depth": 2, "dropout": 0.1},
    "transformer": {"type": "transformer", "context": None, "width": 8, "depth": 1, "dropout": 0.1, "heads": 2, "patch": 5},
}


def network(kind: str, panel: Panel) -> NetworkForecaster:
    """A network with random weights."""
    settings = NETWORKS[kind]
    inputs = Inputs.learnt(panel, [60] * len(panel), context_of(settings, 12, 6), 6)
    shape = shape_of(settings, 12, (80, 95), inputs)
    torch.manual_seed(0)
    info = ForecasterInfo(settings, "MS", 12, 6, (80, 95), network=as_info(shape, inputs))
    made = build_network(shape)
    torch.nn.init.normal_(made.head.layers[-1].weight, std=0.5)
    return NetworkForecaster(info, panel, made.eval(), inputs)


def local(panel: Panel) -> LocalForecaster:
    """A method that learns each series by itself."""
    info = ForecasterInfo(
        {"type": "ets", "error": "add", "trend": "none", "seasonal": "add"}, "MS", 12, 6, (80, 95), factors={80: 1.5}
    )
    return LocalForecaster(info, panel, learn_all(Way.of(info.estimator, 12, "MS", 0), panel.series))


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_nothing_after_an_origin_reaches_a_network(kind: str) -> None:
    panel = seasonal(2)
    forecaster = network(kind, panel)
    other = shocked(panel, 60)
    ready = [[prepare(one, forecaster.inputs, some.calendar) for one in some.series] for some in (panel, other)]
    first, second = (cut(series, [60, 60], forecaster.inputs) for series in ready)
    for name in ("past", "future", "middle", "spread"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    assert not np.allclose(first.truth, second.truth)
    # Cut at an origin, a series gives the window that the whole series has there.
    made = [forecaster.forecast(some.cut([60, 60]), 6) for some in (panel, other)]
    for one, again in zip(*made, strict=True):
        np.testing.assert_array_equal(one.point, again.point)


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_quantiles_are_ordered_and_scale_with_the_series(kind: str) -> None:
    panel = seasonal(2)
    forecaster = network(kind, panel)
    made = forecaster.forecast(panel, 6)
    for one in made:
        told = np.stack(list(one.quantiles().values()))
        assert (np.diff(told, axis=0) >= 0).all()
    larger = replace(panel, series=[replace(one, values=1000 * one.values) for one in panel.series])
    np.testing.assert_allclose(forecaster.forecast(larger, 6)[0].point, 1000 * made[0].point, rtol=1e-5)
    with pytest.raises(UserError, match="7 stamps ahead are asked"):
        forecaster.forecast(panel, 7)
    assert len(forecaster.forecast(panel, 2)[0].point) == 2


def test_the_plan_counts_the_weights_that_are_there() -> None:
    for kind, settings in NETWORKS.items():
        made = network(kind, seasonal(2)).network
        assert count_weights(settings, 12, 6, (80, 95), (0, 0))[0] == sum(weights.numel() for weights in made.parameters())


def test_quantile_loss_is_the_pinball_loss_over_what_was_seen() -> None:
    said = torch.tensor([[[1.0, 2.0], [5.0, 5.0]]])
    truth, seen, shares = torch.tensor([[3.0, 99.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([0.1, 0.5])
    assert float(quantile_loss(said, truth, seen, shares)) == pytest.approx((0.1 * 2 + 0.5 * 1) / 2)
    assert quantiles_of([95, 80]) == [0.025, 0.1, 0.5, 0.9, 0.975]


@pytest.mark.parametrize("kind", ["local", *NETWORKS])
def test_what_is_saved_is_what_is_opened(kind: str, tmp_path: Path) -> None:
    panel = seasonal(2)
    panel.series[0].values[[4, 5]] = np.nan
    made: Forecaster = local(panel) if kind == "local" else network(kind, panel)
    save_forecaster(made, tmp_path)
    opened = open_forecaster(tmp_path)
    assert opened.info == made.info and opened.histories.names == panel.names
    for one, other in zip(made.forecast(panel, 6), opened.forecast(opened.histories, 6), strict=True):
        np.testing.assert_array_equal(one.point, other.point)
        np.testing.assert_array_equal(one.upper[80], other.upper[80])
    for file in tmp_path.iterdir():
        with pytest.raises(ValueError):
            list(pickletools.genops(file.read_bytes()))


def test_damaged_and_newer_folders_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no finished forecaster"):
        open_forecaster(tmp_path / "model")
    save_forecaster(local(seasonal(1)), tmp_path)
    told = json.loads((tmp_path / INFO).read_text())
    (tmp_path / INFO).write_text(json.dumps(told | {"format": 99}))
    with pytest.raises(StudioError, match="written in format 99"):
        open_forecaster(tmp_path)
    (tmp_path / INFO).write_text(json.dumps(told))
    (tmp_path / HISTORY).write_bytes(b"PK nothing")
    with pytest.raises(StudioError, match="is damaged"):
        open_forecaster(tmp_path)


def test_newer_rows_go_on_where_the_training_ended() -> None:
    panel = seasonal(1)
    whole = panel.series[0]
    old, new = whole.before(70), replace(whole.before(84), start=panel.stamps(whole, 68, 1)[0], values=whole.values[68:] + 1)
    new = replace(new, seen=np.ones(16, dtype=bool), known=np.zeros((16, 0)), past=np.zeros((16, 0)))
    joined = continued(old, new, panel.calendar)
    np.testing.assert_array_equal(joined.values, np.append(whole.values[:68], whole.values[68:] + 1))
    assert joined.start == whole.start and joined.seen.all()


def test_conformal_factors_give_the_share_that_was_asked_for() -> None:
    draws = np.random.default_rng(0)
    point = np.zeros(2000)
    told = Forecast(point, {80: point - 1, 95: point - 1}, {80: point + 1, 95: point + 1})
    windows = [Window("s", 1, 0, draws.normal(0, 3, 2000), told)]
    assert share_held(windows, 80) == pytest.approx(0.26, abs=0.03)
    factors = conformal_factors(windows, (80, 95))
    widened = [replace(windows[0], forecast=told.widened(factors))]
    assert share_held(widened, 80) == pytest.approx(0.80, abs=1e-3) and share_held(widened, 95) == pytest.approx(0.95, abs=1e-3)
    few = [replace(windows[0], truth=np.append(windows[0].truth[: FEWEST_CELLS - 1], np.full(2000 - FEWEST_CELLS + 1, np.nan)))]
    assert conformal_factors(few, (80, 95)) == {}


def test_rolling_windows_are_made_from_what_lies_before_them() -> None:
    panel = seasonal(2)
    asked: list[list[int]] = []

    def forecast(some: Panel, horizon: int) -> list[Forecast]:
        asked.append([len(one) for one in some.series])
        assert all(len(one.values) == len(one.seen) for one in some.series)
        return [Forecast(np.full(horizon, one.values[-1]), {}, {}) for one in some.series]

    windows = roll(forecast, panel, 6, 3)
    assert asked == [[66, 66], [72, 72], [78, 78]] and [window.origin for window in windows[::2]] == [66, 72, 78]
    np.testing.assert_array_equal(windows[-1].truth, panel.series[1].values[78:])


def test_covariates_reach_a_network_only_as_far_as_they_are_known() -> None:
    draws = np.random.default_rng(0)
    panel = seasonal(1)
    one = replace(panel.series[0], known=draws.normal(size=(90, 1)), past=draws.normal(size=(84, 1)))
    inputs = Inputs.learnt(replace(panel, series=[one], known=("price",), past=("rain",)), [60], 24, 6)
    np.testing.assert_allclose(inputs.means, [one.known[:60].mean(), one.past[:60].mean()])
    late = np.where(np.arange(84)[:, None] >= 60, 99.0, one.past)
    later = np.where(np.arange(90)[:, None] >= 66, 99.0, one.known)
    soon = np.where(np.arange(90)[:, None] >= 60, 99.0, one.known)
    plain, rain, price, ahead = (
        cut([prepare(some, inputs, panel.calendar)], [60], inputs)
        for some in (one, replace(one, past=late), replace(one, known=later), replace(one, known=soon))
    )
    for other in (rain, price):
        np.testing.assert_array_equal(plain.past, other.past)
        np.testing.assert_array_equal(plain.future, other.future)
    np.testing.assert_array_equal(plain.past, ahead.past)
    assert not np.allclose(plain.future[..., 0], ahead.future[..., 0]), "what is known ahead is told"
    short = cut([prepare(replace(one, known=one.known[:60]).before(60), inputs, panel.calendar)], [60], inputs)
    np.testing.assert_allclose(short.future[0, :, 0], plain.past[0, -1, 2]), "beyond its end the last one counts"
