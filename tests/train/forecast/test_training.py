"""Every preset trains on made series through the command line, is rehearsed, planned and asked; mistakes are one sentence."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from studio.core.content import list_content
from studio.core.errors import UserError
from studio.core.extras import available
from studio.core.workspace import Workspace, read_run
from studio.models.forecast.opening import open_forecaster
from studio.train.forecast.kind import FORECAST
from tests.conftest import call_studio
from tests.data.series.made_series import made_frame, written
from tests.train.forecast.made_runs import RECIPE, SMALL, make_space, train

if TYPE_CHECKING:
    from tests.conftest import Result

QUICK = {
    "arima": ["estimator.order=[0,1,1]", "estimator.seasonal_order=[0,1,1]"],
    "ets": ["estimator.error=add", "estimator.seasonal=add", "estimator.trend=add"],
    "lstm": SMALL,
    "transformer": SMALL,
    "prophet": ["estimator.paths=100", "backtest.windows=1"],
}
PRESETS = [name.partition("/")[2] for name in list_content("adapters") if name.startswith("forecast/")]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_space(tmp_path_factory.mktemp("forecasts"))


def test_all_eight_presets_are_there() -> None:
    assert PRESETS == ["arima", "ets", "lstm", "naive", "prophet", "seasonal-naive", "theta", "transformer"]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_is_rehearsed_and_forecasts(preset: str, space: Path) -> None:
    if preset == "prophet" and not available("prophet"):
        pytest.skip("prophet is not installed")
    assert train(space, preset, *QUICK.get(preset, [])) == 0
    run = Workspace(space).find_run(preset)
    record = read_run(run)
    backtest = record.result["backtest"]
    assert record.status == "finished" and record.method == preset and record.result["series"] == 3
    assert backtest["horizon"] == 6 and set(backtest["coverage"]) == {"80", "95"}
    assert len(backtest["coverage_per_window"]["95"]) == backtest["windows"] and backtest["mase"] > 0
    cells = pd.read_parquet(run / "backtest.parquet")
    np.testing.assert_allclose(cells.error.mean(), backtest["mase"], rtol=1e-9)
    inside = (cells.truth >= cells.lower_95) & (cells.truth <= cells.upper_95)
    np.testing.assert_allclose(inside.mean(), backtest["coverage"]["95"])
    answers = FORECAST.predict(run, None, options={}, say=lambda _: None)
    assert list(answers.table.columns) == ["series", "time", "forecast", "lower_80", "upper_80", "lower_95", "upper_95"]
    # The training ends before the test split: 84 months from 2015 on, the last twelve held out.
    assert answers.table.time.tolist()[:6] == [f"2021-{month:02d}-01" for month in range(1, 7)]
    assert len(answers.table) == 18 and np.isfinite(answers.table.forecast).all()
    assert "Back-test" in (run / "README.md").read_text() and not list(run.rglob("*.pkl"))


def test_two_trainings_give_the_same_bits(space: Path) -> None:
    runs = []
    for name in ("first", "second"):
        assert train(space, "transformer", *SMALL, name=name) == 0
        runs.append(Workspace(space).find_run(name))
    weights = [(run / "model" / "network.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]


@pytest.mark.long
def test_several_processes_give_what_one_gives(space: Path) -> None:
    assert train(space, "theta", name="one") == 0
    told = ["train", "forecast/theta", "--data", "sales", "--name", "two", "--processes", "2", "--workspace", space]
    assert call_studio(*told) == 0
    made = [open_forecaster(Workspace(space).find_run(name) / "model") for name in ("one", "two")]
    for first, second in zip(*(one.forecast(one.histories, 6) for one in made), strict=True):
        np.testing.assert_array_equal(first.point, second.point)


def test_the_rehearsal_sees_nothing_of_its_windows(tmp_path: Path) -> None:
    """Changing every value from the first window on changes no forecast of that window, and none of the naive ones beside it."""
    found = []
    for times in (1, 50):
        folder = tmp_path / str(times)
        folder.mkdir()
        frame = made_frame(2, 84)
        late = frame.groupby("series").cumcount() >= 60
        written(folder, frame.assign(value=frame.value.where(~late, frame.value * times)))
        (folder / "sales.yaml").write_text(RECIPE)
        assert call_studio("data", "build", folder / "sales.yaml", "--workspace", folder / "space") == 0
        for preset, settings in (("theta", []), ("lstm", SMALL)):
            assert train(folder / "space", preset, "backtest.windows=2", "intervals.method=model", *settings) == 0
            cells = pd.read_parquet(Workspace(folder / "space").find_run(preset) / "backtest.parquet")
            found.append(cells[cells.window == 1])
    for first, second in ((found[0], found[2]), (found[1], found[3])):
        assert not np.allclose(first.truth, second.truth)
    np.testing.assert_array_equal(found[0].forecast, found[2].forecast)
    np.testing.assert_array_equal(found[0].upper_95, found[2].upper_95)
    # What a network forecasts depends on when it stopped, which these windows decide; that they decide nothing else is tested
    # where windows are cut (tests/models/forecast/test_network.py).


def test_conformal_intervals_are_measured_on_other_windows_than_they_were_made_from(space: Path) -> None:
    assert train(space, "naive", "intervals.method=conformal", name="conformal") == 0
    run = Workspace(space).find_run("conformal")
    info = open_forecaster(run / "model").info
    assert set(info.factors) == {80, 95} and info.backtest == read_run(run).result["backtest"]
    assert train(space, "naive", "intervals.method=model", name="plain") == 0
    plain = open_forecaster(Workspace(space).find_run("plain") / "model")
    widened, as_it_is = open_forecaster(run / "model"), plain
    one, other = widened.forecast(widened.histories, 6)[0], as_it_is.forecast(as_it_is.histories, 6)[0]
    np.testing.assert_allclose(one.upper[95] - one.point, info.factors[95] * (other.upper[95] - other.point))


def test_a_refit_learns_before_each_window(space: Path) -> None:
    assert train(space, "ets", *QUICK["ets"], "backtest.refit=true", name="refit") == 0
    assert train(space, "ets", *QUICK["ets"], name="kept") == 0
    cells = [pd.read_parquet(Workspace(space).find_run(name) / "backtest.parquet") for name in ("refit", "kept")]
    first, later = (cells[0].window == 1).to_numpy(), (cells[0].window == 3).to_numpy()
    np.testing.assert_allclose(cells[0].forecast[first], cells[1].forecast[first])
    assert not np.allclose(cells[0].forecast[later], cells[1].forecast[later])


def test_plans_and_mistakes_are_told(space: Path, studio: Callable[..., Result]) -> None:
    told = ("--data", "sales", "--workspace", space)
    planned = studio("plan", "forecast/arima", *told)
    assert planned.code == 0 and "6 (2 per series)" in planned.out
    network = studio("plan", "forecast/transformer", *told, "--json").json
    assert network["trained_parameters"] > 1000 and network["memory_bytes"] > 0
    assert studio("plan", "forecast/lstm", *told, "--memory", "1MB").code == 3
    cases = {
        ("forecast/theta", "horizon=30"): "the test split of sales holds 12 of each series",
        ("forecast/theta", "estimator.tetha=2"): "unknown field 'tetha' in 'estimator'. Did you mean 'theta'?",
        (
            "forecast/theta",
            "estimator.type=tbats",
        ): "Allowed: naive, seasonal-naive, arima, ets, theta, prophet, lstm",
        ("forecast/theta", "intervals.levels=[0]"): "'intervals.levels.0' is 0",
        ("forecast/theta", "backtest.windows=0"): "conformal intervals are made from the back-test",
        ("forecast/arima", "estimator.order=[1,1]"): "'estimator.order",
        ("forecast/transformer", "estimator.heads=3"): "3 heads do not divide a width of 64",
    }
    for (preset, setting), said in cases.items():
        done = studio("train", preset, "--set", setting, *told)
        assert done.code == 2 and said in done.err, (setting, done.err)
        assert len(done.err.strip().splitlines()) == 1
    done = studio("train", "forecast/theta", "--model", "smollm2", *told)
    assert done.code == 2 and "has no base" in done.err
    done = studio("train", "forecast/lstm", "--processes", "2", *told)
    assert done.code == 2 and "trains in one process" in done.err
    if not available("prophet"):
        done = studio("train", "forecast/prophet", *told)
        assert done.code == 2 and "pip install 'finetuning-studio[prophet]'" in done.err


def test_short_series_leave_fewer_windows_for_the_rehearsal(tmp_path: Path, studio: Callable[..., Result]) -> None:
    space = make_space(tmp_path, count=1, length=54)
    done = studio("train", "forecast/theta", "--data", "sales", "--name", "short", "--workspace", space)
    assert done.code == 0 and "back-test: 3 of 3 windows" not in done.err
    done = studio("train", "forecast/theta", "--data", "sales", "--set", "backtest.windows=5", "--workspace", space)
    assert done.code == 0 and "back-test: 3 of 5 windows" in done.err


def test_predictions_go_on_from_newer_rows(space: Path, tmp_path: Path, studio: Callable[..., Result]) -> None:
    if not (space / "runs" / "theta").is_dir():
        assert train(space, "theta") == 0
    frame = made_frame(3, 84)
    newer = written(tmp_path, frame[frame.groupby("series").cumcount() >= 72], "newer.csv")
    done = studio("predict", "theta", newer, "--set", "horizon=2", "--workspace", space)
    assert done.code == 0, done.err
    table = pd.read_csv(io.StringIO(done.out))
    assert table.time.tolist()[:2] == ["2022-01-01", "2022-02-01"] and len(table) == 6
    whole = studio("predict", "theta", written(tmp_path, frame, "whole.csv"), "--set", "horizon=2", "--workspace", space)
    np.testing.assert_allclose(table.forecast, pd.read_csv(io.StringIO(whole.out)).forecast)
    one = studio("predict", "theta", "--set", "series=s1", "--set", "horizon=1", "--workspace", space)
    assert len(pd.read_csv(io.StringIO(one.out))) == 1
    for told, said in (
        (("--set", "horzon=3"), "no option 'horzon'. Did you mean 'horizon'?"),
        (("--set", "horizon=0"), "a whole number above 0"),
        (("--set", "series=s9"), "there is no series 's9'. Known: s0, s1, s2."),
        ((written(tmp_path, frame.rename(columns={"value": "sold"}), "other.csv"),), "no column 'value'"),
        ((tmp_path / "missing.csv",), "does not exist"),
    ):
        done = studio("predict", "theta", *told, "--workspace", space)
        assert done.code == 2 and said in done.err, done.err


def test_unknown_series_and_odd_rows_of_a_file_are_told(space: Path, tmp_path: Path) -> None:
    if not (space / "runs" / "theta").is_dir():
        assert train(space, "theta") == 0
    run = Workspace(space).find_run("theta")
    frame = made_frame(1, 80).assign(series="new")
    frame.loc[3, "value"] = None
    odd = pd.concat([frame, frame.iloc[[5]], frame.iloc[[6]].assign(time=pd.Timestamp("2015-07-15"))])
    notes: list[str] = []
    answers = FORECAST.predict(run, str(written(tmp_path, odd)), options={"horizon": "3"}, say=notes.append)
    assert answers.table.series.unique().tolist() == ["new"] and len(answers.table) == 3
    told = " | ".join(notes)
    for said in (
        "1 row was left out: no value",
        "1 row was left out: a copy of a row",
        "new: 1 row was left out, beside the grid MS",
        "3 series of the training are not in the file and were not forecast: s0, s1, s2",
        "the series new was not in the training",
    ):
        assert said in told
    with pytest.raises(UserError, match="holds no row that can be forecast from"):
        FORECAST.predict(run, str(written(tmp_path, frame.assign(value="none"))), options={}, say=notes.append)


def test_known_covariates_of_the_future_come_from_rows_without_a_value(tmp_path: Path, studio: Callable[..., Result]) -> None:
    frame = made_frame(1, 84)
    draws = np.random.default_rng(0)
    price = draws.normal(size=90)
    frame = frame.assign(value=50 + 8 * price[:84], price=price[:84])
    written(tmp_path, frame)
    (tmp_path / "sales.yaml").write_text(RECIPE + "columns: {known: [price]}\n")
    space = ("--workspace", tmp_path / "space")
    assert studio("data", "build", tmp_path / "sales.yaml", *space).code == 0
    settings = (
        "--set",
        "estimator.order=[0,0,0]",
        "--set",
        "estimator.seasonal_order=[0,0,0]",
        "--set",
        "estimator.transform=none",
    )
    assert studio("train", "forecast/arima", "--data", "sales", "--name", "priced", *settings, *space).code == 0
    future = made_frame(1, 90).iloc[84:].assign(value=None, price=price[84:])
    file = written(tmp_path, pd.concat([frame, future]), "newer.csv")
    table = pd.read_csv(io.StringIO(studio("predict", "priced", file, *space).out))
    np.testing.assert_allclose(table.forecast, 50 + 8 * price[84:], atol=0.01)
    done = studio("predict", "priced", *space)
    assert "have no price for all of the 6 stamps ahead" in done.err
    ignored = studio("train", "forecast/theta", "--data", "sales", *space)
    assert ignored.code == 0 and "theta does not use the covariates price" in ignored.err


def test_searches_and_comparisons_can_measure_a_run(space: Path) -> None:
    if not (space / "runs" / "theta").is_dir():
        assert train(space, "theta") == 0
    run = Workspace(space).find_run("theta")
    record = read_run(run)
    rehearsed, tested = (FORECAST.measure(run, record, split) for split in ("validation", "test"))
    assert rehearsed.measures[0].value == pytest.approx(record.result["backtest"]["mase"])
    assert len(tested.ids) == 3 * 12 and set(tested.groups or ()) == {"s0", "s1", "s2"} and len(set(tested.ids)) == 36


def test_what_is_on_disk_is_plain(space: Path) -> None:
    if not (space / "runs" / "theta").is_dir():
        assert train(space, "theta") == 0
    model = Workspace(space).find_run("theta") / "model"
    assert sorted(file.name for file in model.iterdir()) == ["forecaster.json", "history.npz"]
    told = json.loads((model / "forecaster.json").read_text())
    assert told["estimator"]["type"] == "theta" and told["series"][0]["state"]["alpha"] > 0
    with np.load(model / "history.npz", allow_pickle=False) as arrays:
        assert len(arrays["values_0"]) == 72
