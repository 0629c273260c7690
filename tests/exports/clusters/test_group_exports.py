"""Groups as ONNX: every row in the group of the run, asked by the studio and by the program beside it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from studio.core.extras import available
from studio.core.workspace import Workspace
from studio.models.exported import read_export, read_exports
from tests.conftest import Result, call_studio

pytestmark = [
    pytest.mark.export,
    pytest.mark.skipif(not available("onnxscript"), reason="the extra onnx is not installed"),
]
QUICK = ("--set", "choosing.references=8", "--set", "choosing.refits=4")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with runs on irises."""
    place = tmp_path_factory.mktemp("groups") / "workspace"
    assert call_studio("data", "build", "table/iris", "--workspace", place) == 0
    reduced = ("--set", "reduce={type: pca, dimensions: 2}", "--set", "distance=cosine")
    for name, preset, more in (("flowers", "kmeans", ()), ("turned", "kmeans", reduced), ("bells", "gaussian", ())):
        assert (
            call_studio("train", f"cluster/{preset}", "--data", "iris", "--name", name, *QUICK, *more, "--workspace", place) == 0
        )
    return place


@pytest.mark.parametrize("name", ["flowers", "turned"])
def test_rows_are_placed_where_the_run_places_them(space: Path, tmp_path: Path, name: str, studio: Callable[..., Result]) -> None:
    done = studio("export", name, "--to", "onnx", "--workspace", space)
    assert done.code == 0, done.err
    run = Workspace(space).find_run(name)
    record = read_export(run / "onnx")
    assert record.proof["agreement"] == 1 and record.proof["rows"] > 50 and [line.form for line in read_exports(run)] == ["onnx"]
    columns = [column["name"] for column in json.loads((run / "onnx" / "clusters.json").read_text())["columns"]]
    rows = pd.DataFrame({column: [1.0 + place, 5.1, 0.3] for place, column in enumerate(columns)})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    tables = []
    for model in (run / "onnx", name):
        asked = studio("predict", model, tmp_path / "rows.csv", "--workspace", space)
        assert asked.code == 0, asked.err
        tables.append(pd.read_csv(io.StringIO(asked.out)))
    pd.testing.assert_frame_equal(*tables)
    command = [sys.executable, run / "onnx" / "predict.py", tmp_path / "rows.csv"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [json.loads(line)["group"] for line in told.stdout.splitlines()] == tables[0]["group"].tolist()


def test_groups_without_centres_are_refused(space: Path, studio: Callable[..., Result]) -> None:
    done = studio("export", "bells", "--to", "onnx", "--workspace", space)
    assert done.code == 2 and "of form mixture, and --to onnx holds those around centres" in done.err
