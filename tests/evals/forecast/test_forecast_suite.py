"""The suite on Runs of forecasts: figures as they are computed by hand, naive forecasts always beside, clustered by series."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from studio.core.content import find_content
from studio.core.errors import StudioError
from studio.core.records import ReportRecord, read_record
from studio.core.workspace import Workspace
from studio.data.kinds import load_recipe
from studio.evals.forecast.measures import Cells, measures_of
from studio.evals.statistics import point
from studio.models.forecast.errors import Scale
from studio.models.forecast.forecasts import Forecast, Window
from tests.conftest import call_studio
from tests.train.forecast.made_runs import make_space, train

if TYPE_CHECKING:
    from tests.conftest import Result

SUITE = ("--set", "resamples=200")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve series, so that there are intervals over series; two Runs and a Report of one of them."""
    space = make_space(tmp_path_factory.mktemp("measured"), count=12)
    assert train(space, "theta") == 0
    assert train(space, "naive") == 0
    assert call_studio("eval", "forecast", "--model", "theta", *SUITE, "--workspace", space) == 0
    return space


@pytest.fixture(scope="module")
def report(space: Path) -> Path:
    return next(space.rglob("evals/forecast/*/scores.json")).parent


def test_every_figure_is_that_of_the_table_of_cells(report: Path, space: Path) -> None:
    record = read_record(report / "scores.json", ReportRecord)
    cells = pd.read_parquet(report / "examples" / "forecast.parquet")
    assert len(cells) == 12 * 2 * 6 == record.tasks[0].rows
    folder = Workspace(space).find_dataset("sales")
    past = pd.concat([pd.read_parquet(folder / f"{split}.parquet") for split in ("train", "validation")])
    changes = past.groupby("series").value.transform(lambda values: values.diff(12))
    absolute = changes.abs().groupby(past.series).mean()
    squared = (changes**2).groupby(past.series).mean()
    for label in ("tuned", "seasonal_naive"):
        error = (cells.truth - cells[f"{label}_forecast"]).abs()
        size = cells.truth.abs() + cells[f"{label}_forecast"].abs()
        losses = []
        for share, bound in ((0.025, "lower_95"), (0.1, "lower_80"), (0.5, "forecast"), (0.9, "upper_80"), (0.975, "upper_95")):
            away = cells.truth - cells[f"{label}_{bound}"]
            losses.append(np.maximum(share * away, (share - 1) * away))
        scale = cells.series.map(absolute)
        expected = {
            "mae": error.mean(),
            "rmse": np.sqrt((error**2).mean()),
            "mase": (error / scale).mean(),
            "rmsse": np.sqrt((error**2 / cells.series.map(squared)).mean()),
            "smape": (200 * error / size).mean(),
            "pinball": (sum(losses) / 5 / scale).mean(),
            "coverage_80": ((cells.truth >= cells[f"{label}_lower_80"]) & (cells.truth <= cells[f"{label}_upper_80"])).mean(),
            "width_95": ((cells[f"{label}_upper_95"] - cells[f"{label}_lower_95"]) / scale).mean(),
        }
        scores = record.scores["tuned"] if label == "tuned" else record.tasks[0].marks["seasonal naive"]
        told = {score.metric.rpartition(".")[2]: score for score in scores}
        for name, value in expected.items():
            assert told[name].value == pytest.approx(value, rel=1e-9), (label, name)
        assert told["mase"].clusters == 12 and told["mase"].n == 144 and told["mase"].low is not None


def test_the_base_is_the_seasonal_naive_forecast_and_the_naive_one_stands_beside(report: Path) -> None:
    record = read_record(report / "scores.json", ReportRecord)
    [task] = record.tasks
    assert set(task.marks) == {"naive", "seasonal naive"} and record.models["base"]["name"] == "seasonal naive"
    assert [score.value for score in record.scores["base"]] == [score.value for score in task.marks["seasonal naive"]]
    mase = next(item for item in record.differences if item.metric == "forecast.mase")
    assert mase.verdict == "better" and mase.high is not None and mase.high < 0
    titles = [group.title for group in record.groups]
    assert titles == [
        "MASE by window",
        "MASE by stamps ahead",
        "MASE by series",
        "Coverage of the 95% interval by window",
        "Coverage of the 95% interval by stamps ahead",
    ]
    windows = record.groups[3].scores["tuned"]
    assert [score.metric for score in windows] == ["window 1, from 2021-01-01", "window 2, from 2021-07-01"]
    whole = next(score for score in record.scores["tuned"] if score.metric == "forecast.coverage_95")
    assert np.mean([score.value for score in windows]) == pytest.approx(whole.value)
    assert [score.low for score in record.groups[2].scores["tuned"]] == [None] * 12, "a series alone has no interval"
    assert any("short stretch of time" in limit for limit in task.limits)


def test_the_page_shows_windows_with_their_intervals(report: Path) -> None:
    page = (report / "report.html").read_text()
    for said in ("Beside naive forecasts", "Window by window", "Seasonal naive", 'class="band wide"', "6 of 12 series"):
        assert said in page, said
    assert "NaN" not in page and "nan" not in page.split("Window by window")[1].split("How each number")[0]


def test_another_run_is_a_base_and_gates_hold(space: Path, studio: Callable[..., Result]) -> None:
    done = studio("eval", "forecast", "--model", "theta", "--baseline", "naive", "--gate", *SUITE, "--workspace", space, "--json")
    document = done.json
    assert document["models"]["base"]["method"] == "naive" and set(document["tasks"][0]["marks"]) == {"naive", "seasonal naive"}
    base = {score["metric"]: score["value"] for score in document["scores"]["base"]}
    naive = {score["metric"]: score["value"] for score in document["tasks"][0]["marks"]["naive"]}
    assert base["forecast.mase"] == pytest.approx(naive["mase"])
    assert document["gate"]["thresholds"] == 2 and done.code in (0, 3)


def test_what_cannot_be_measured_is_told(space: Path, studio: Callable[..., Result]) -> None:
    def told(*more: object) -> str:
        done = studio("eval", "forecast", "--model", "theta", *SUITE, "--workspace", space, *more)
        return done.err + done.out

    assert "do not fit into the test split of 12 stamps" in told("--set", "tasks.0.windows=3")
    assert "has intervals of 80%, 95%, and the suite asks for 90%" in told(
        "--set", "tasks.0.levels=[90]", "--set", "thresholds=[]"
    )
    assert "'tasks.0.metrics.0' is 'mape'" in told("--set", "tasks.0.metrics=[mape]", "--set", "thresholds=[]")
    assert "unknown field 'window'" in told("--set", "tasks.0.window=1")


def test_what_was_trained_on_is_refused(space: Path, tmp_path: Path, studio: Callable[..., Result]) -> None:
    """The same series with another split: what was validation there is test here."""
    recipe = (space.parent / "sales.yaml").read_text().replace("windows: 2, validation: 2", "windows: 4, validation: 0")
    (space.parent / "other.yaml").write_text(recipe)
    assert studio("data", "build", space.parent / "other.yaml", "--workspace", space).code == 0
    done = studio("eval", "forecast", "--model", "theta", "--data", "other", *SUITE, "--workspace", space)
    assert done.code == 2 and "it would be tested on what it knows" in done.err


def test_fewer_windows_are_the_newest_and_limits_draw_series(space: Path, studio: Callable[..., Result]) -> None:
    told = ("--workspace", space, "--json", *SUITE)
    one = studio("eval", "forecast", "--model", "naive", "--set", "tasks.0.windows=1", *told).json
    cells = pd.read_parquet(Path(one["report"]) / "examples" / "forecast.parquet")
    assert sorted(cells.time.astype(str).unique()) == [f"2021-{month:02d}-01" for month in range(7, 13)]
    some = studio("eval", "forecast", "--model", "naive", "--limit", "3", *told).json
    assert some["tasks"][0]["rows"] == 3 * 12


def test_gaps_and_constant_series_are_left_out_and_named(tmp_path: Path, studio: Callable[..., Result]) -> None:
    from tests.data.series.made_series import made_frame, written
    from tests.train.forecast.made_runs import RECIPE

    frame = made_frame(3, 84)
    frame.loc[frame.series == "s1", "value"] = 5.0
    written(tmp_path, frame.drop([75, 80]))
    (tmp_path / "sales.yaml").write_text(RECIPE + "fill: previous\n")
    space = ("--workspace", tmp_path / "space")
    assert studio("data", "build", tmp_path / "sales.yaml", *space).code == 0
    assert studio("train", "forecast/theta", "--data", "sales", "--name", "theta", *space).code == 0
    document = studio("eval", "forecast", "--model", "theta", *SUITE, "--json", *space).json
    notes = " ".join(document["tasks"][0]["notes"])
    assert "2 stamps of the windows have no value, or one that was filled in" in notes and "s1 never changed" in notes
    scores = {score["metric"]: score for score in document["scores"]["tuned"]}
    assert scores["forecast.mae"]["n"] == 34 and scores["forecast.mase"]["n"] == 22
    assert scores["forecast.mae"]["low"] is None and "3 independent examples" in scores["forecast.mae"]["interval"]


def test_the_measures_of_one_cell_by_hand() -> None:
    told = Forecast(np.array([10.0, 10.0]), {80: np.array([8.0, 8.0])}, {80: np.array([11.0, 11.0])})
    cells = Cells.of([Window("s", 1, 0, np.array([12.0, np.nan]), told)], {"s": Scale(2.0, 5.0)})
    expected: dict[str, Any] = {
        "mae": 2.0, "rmse": 2.0, "mase": 1.0, "rmsse": np.sqrt(4 / 5), "smape": 200 * 2 / 22, "coverage_80": 0.0, "width_80": 1.5,
        "pinball": (0.1 * 4 + 0.5 * 2 + 0.9 * 1) / 3 / 2,
    }  # fmt: skip
    for name, measure in measures_of(list(expected), "EUR").items():
        statistic = measure.statistic(cells)
        assert statistic.scored.tolist() == [True, False]
        assert point(statistic, statistic.scored) == pytest.approx(expected[name]), name
    assert measures_of(["mae"], "EUR")["mae"].metric.unit == "EUR"


@pytest.mark.parametrize(("horizon", "model", "naive"), [(12, 0.435, 1.571), (24, 1.381, 2.494)])
def test_the_airline_series_gives_the_printed_figures(horizon: int, model: float, naive: float, tmp_path: Path) -> None:
    """The airline model on logarithms, learnt up to the last 12 or 24 months, through every command."""
    space = tmp_path / "space"
    split = f"split={{horizon: {horizon}, windows: 1, validation: 0}}"
    kind, recipe = load_recipe(find_content("data_recipes", "series/airline"), [split])
    try:
        kind.build(recipe, Workspace(space), name="airline", beside=tmp_path, tell=lambda _: None)
    except StudioError as error:
        pytest.skip(f"the wheel is not in the cache and the network is off; run make test once with it on ({error})")
    orders = ("order=[0,1,1]", "seasonal_order=[0,1,1]", "transform=log")
    settings = [part for order in orders for part in ("--set", f"estimator.{order}")]
    told = ("--workspace", space)
    assert (
        call_studio(
            "train", "forecast/arima", "--data", "airline", "--name", "air", "--set", "backtest.windows=0", *settings, *told
        )
        == 0
    )
    assert call_studio("eval", "forecast", "--model", "air", *SUITE, *told) == 0
    document = json.loads(next(space.rglob("evals/forecast/*/scores.json")).read_text())
    for label, expected in (("tuned", model), ("base", naive)):
        score = next(score for score in document["scores"][label] if score["metric"] == "forecast.mase")
        assert score["value"] == pytest.approx(expected, abs=2e-3)
    assert any("Ljung-Box" in note for note in document["tasks"][0]["notes"])
    assert any("One series is one example" in limit for limit in document["tasks"][0]["limits"])
