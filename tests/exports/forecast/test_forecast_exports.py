"""Networks that forecast in the forms of other programs say what the run says, asked by the program beside them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studio.core.extras import available
from studio.core.workspace import Workspace
from studio.models.exported import read_export, read_exports
from studio.models.forecast.opening import open_forecaster
from tests.conftest import Result
from tests.train.forecast.made_runs import SMALL, make_space, train

pytestmark = pytest.mark.export
ONNX = pytest.mark.skipif(not available("onnxscript"), reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = make_space(tmp_path_factory.mktemp("forecasts"))
    for preset in ("lstm", "transformer"):
        assert train(place, preset, *SMALL, name=preset) == 0
    return place


@pytest.mark.parametrize(
    ("preset", "form"),
    [
        pytest.param("lstm", "onnx", marks=ONNX),
        pytest.param("transformer", "onnx", marks=ONNX),
        ("lstm", "pt2"),
        ("transformer", "pt2"),
        ("lstm", "torchscript"),
    ],
)
def test_an_export_forecasts_as_the_run(space: Path, preset: str, form: str, studio: Callable[..., Result]) -> None:
    done = studio("export", preset, "--to", form, "--workspace", space)
    assert done.code == 0, done.err
    run = Workspace(space).find_run(preset)
    folder = run / form
    record = read_export(folder)
    assert record.proof["difference"] <= 1e-3 and record.proof["windows"] > 1
    assert [line.form for line in read_exports(run) if line.path == str(folder)] == [form]
    forecaster = open_forecaster(run / "model")
    one = forecaster.histories.series[0]
    [truth] = forecaster.forecast(forecaster.histories.cut([len(one)] * len(forecaster.histories)), forecaster.longest)[:1]
    item = {"values": [None if value != value else value for value in one.values], "seen": one.seen.tolist(), "first": 0}
    item |= {"known": one.known.tolist(), "past": one.past.tolist()} if one.known.size or one.past.size else {}
    asked = folder.parent / f"{preset}-{form}.json"
    asked.write_text(json.dumps(item).replace("NaN", "null"))
    told = subprocess.run([sys.executable, folder / "predict.py", asked], capture_output=True, text=True, check=True)
    answer = json.loads(told.stdout)
    level = forecaster.info.levels[0]
    np.testing.assert_allclose(answer["median"], truth.point, rtol=1e-4)
    np.testing.assert_allclose(answer["lower"][str(level)], truth.lower[level], rtol=1e-3)


def test_the_command_line_takes_an_export_for_the_run(space: Path, tmp_path: Path, studio: Callable[..., Result]) -> None:
    run = Workspace(space).find_run("lstm")
    if not (run / "torchscript").exists():
        assert studio("export", "lstm", "--to", "torchscript", "--workspace", space).code == 0
    rows = space.parent / "sales.csv"
    asked = [studio("predict", model, rows, "--workspace", space) for model in (run / "torchscript", "lstm")]
    assert [done.code for done in asked] == [0, 0], asked[0].err
    tables = [pd.read_csv(io.StringIO(done.out)) for done in asked]
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)
    few = pd.read_csv(rows).groupby("series", sort=False).tail(2)
    few.to_csv(tmp_path / "few.csv", index=False)
    short = studio("predict", run / "torchscript", tmp_path / "few.csv", "--workspace", space)
    assert short.code == 0 and "series have fewer in the file" in short.err
    nothing = studio("predict", run / "torchscript", "--workspace", space)
    assert nothing.code == 2 and "holds no series, so it has nothing to continue. Give a file with their past" in nothing.err
    for model in (run / "torchscript", "lstm"):
        done = studio("eval", "forecast", "--model", model, "--data", "sales", "--workspace", space)
        assert done.code == 0, done.err
    mase = [_mase(folder) for folder in (run / "torchscript", run)]
    assert mase[0] == pytest.approx(mase[1], rel=1e-4)


def _mase(folder: Path) -> float:
    """Of the newest report."""
    [report] = (folder / "evals" / "forecast").glob("*/scores.json")
    told = json.loads(report.read_text())
    return next(score["value"] for score in told["scores"]["tuned"] if score["metric"] == "forecast.mase")


def test_what_is_no_network_is_refused_before_any_work(space: Path, studio: Callable[..., Result]) -> None:
    assert train(space, "naive", name="plain") == 0
    done = studio("export", "plain", "--to", "pt2", "--workspace", space)
    assert done.code == 2 and "learned each series by itself (naive)" in done.err
    assert not (Workspace(space).find_run("plain") / "pt2").exists()


def test_what_was_exported_stands_beside_the_run(space: Path, studio: Callable[..., Result]) -> None:
    run = Workspace(space).find_run("lstm")
    if not (run / "torchscript").exists():
        assert studio("export", "lstm", "--to", "torchscript", "--workspace", space).code == 0
    done = studio("export", "lstm", "--compare", "--json", "--workspace", space)
    assert done.code == 0, done.err
    lines = {line["form"]: line for line in json.loads(done.out)["exports"]}
    assert lines["the run itself"]["difference"] == 0 and lines["torchscript"]["difference"] <= 1e-3
    for line in (lines["the run itself"], lines["torchscript"]):
        assert line["rate"] > 0 and 0 < line["alone"] < 5 and line["peak"] > 50e6 and line["bytes"] > 1000, line
