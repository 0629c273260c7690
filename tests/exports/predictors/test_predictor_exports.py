"""Runs that give labels or numbers, in the forms of other programs: written, read back, asked, refused where they do not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import UserError
from studio.core.extras import available
from studio.core.workspace import Workspace
from studio.exports.forms import Wishes, forms
from studio.exports.predictors import proof
from studio.exports.predictors.form import held_out, open_on_cpu
from studio.models.exported import read_export, read_exports
from studio.models.predictors.exported import open_exported
from studio.models.runtimes.environments import LITERT, TENSORFLOW
from tests.cli.test_predict import RECIPE, orders
from tests.conftest import Result, call_studio

pytestmark = pytest.mark.export
ONNX = pytest.mark.skipif(not available("onnxscript"), reason="the extra onnx is not installed")
FEATURES = "features=[ordered, weight, weight missing, carrier, code, said]"
RUNS = {
    "logistic": ["classify/logistic", FEATURES],
    "boosting": ["classify/boosting", FEATURES, "estimator.rounds=10"],
    "days": ["regress/boosting", "target=days", "features=[weight, carrier]", "log_target=true", "estimator.rounds=10"],
    "net": ["classify/mlp", FEATURES, "estimator.epochs=2"],
    "numbers": ["regress/mlp", "target=days", "features=[ordered, weight, carrier]", "estimator.epochs=2"],
    "lstm": ["classify/lstm", "features=[said]", "estimator.epochs=1", "estimator.depth=2", "estimator.max_length=12"],
    "gru": ["classify/gru", "features=[said]", "estimator.epochs=1", "estimator.max_length=12"],
    "nearest": ["classify/logistic", "features=[weight, carrier]", "preparation.missing=nearest"],
}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("exports")
    orders().to_csv(folder / "orders.csv", index=False, sep=";")
    (folder / "orders.yaml").write_text(RECIPE, encoding="utf-8")
    assert call_studio("data", "build", folder / "orders.yaml", "--workspace", folder / "workspace") == 0
    return Workspace(folder / "workspace")


@pytest.fixture
def run(space: Workspace) -> Callable[[str], Path]:
    """A run of ``RUNS``, trained when it is first asked for."""

    def trained(name: str) -> Path:
        if not list((space.runs / name).glob("*")):
            preset, *settings = RUNS[name]
            told = [part for setting in settings for part in ("--set", setting)]
            assert call_studio("train", preset, "--data", "orders", "--name", name, *told, "--workspace", space.root) == 0
        return space.find_run(name)

    return trained


@pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param("logistic", "onnx", marks=ONNX),
        pytest.param("boosting", "onnx", marks=ONNX),
        pytest.param("days", "onnx", marks=ONNX),
        pytest.param("net", "onnx", marks=ONNX),
        pytest.param("lstm", "onnx", marks=ONNX),
        pytest.param("gru", "onnx", marks=ONNX),
        ("numbers", "pt2"),
        ("gru", "pt2"),
        ("lstm", "torchscript"),
    ],
)
def test_an_export_says_what_the_run_says(
    name: str, form: str, run: Callable[[str], Path], space: Workspace, tmp_path: Path, studio: Callable[..., Result]
) -> None:
    folder = run(name)
    done = studio("export", name, "--to", form, "--out", tmp_path / "out", "--workspace", space.root)
    assert done.code == 0, done.err
    record = read_export(tmp_path / "out")
    assert record.proof["difference"] <= 1e-3 and record.proof["split"] == "test" and record.proof["program"] == 4
    assert [line.form for line in read_exports(folder) if line.path == str(tmp_path / "out")] == [form]
    predictor = open_on_cpu(folder)
    rows, _ = held_out(folder, predictor)
    np.testing.assert_allclose(
        open_exported(tmp_path / "out").scores(rows.features), predictor.scores(rows.features), atol=1e-4, rtol=1e-4
    )
    if record.inputs.get("input_ids", {}).get("shape", [0, 0])[1] == "length":
        assert len({shape[1] for shape in record.proof["shapes"]}) > 1, "two lengths were asked"


@ONNX
def test_the_command_line_takes_an_export_for_the_run(
    run: Callable[[str], Path], space: Workspace, tmp_path: Path, studio: Callable[..., Result]
) -> None:
    run("logistic")
    out = tmp_path / "out"
    assert studio("export", "logistic", "--to", "onnx", "--out", out, "--workspace", space.root).code == 0
    orders().tail(9).drop(columns="late").to_csv(tmp_path / "new.csv", index=False, sep=";")
    asked = ("predict", "--probabilities", "--workspace", space.root)
    answers = []
    for model in (out, "logistic"):
        done = studio(*asked, model, tmp_path / "new.csv")
        assert done.code == 0, done.err
        answers.append(pd.read_csv(__import__("io").StringIO(done.out)))
    pd.testing.assert_frame_equal(*answers, atol=1e-5)
    measured = studio("eval", "classification", "--model", out, "--data", "orders", "--workspace", space.root)
    assert measured.code == 0 and "onnx" in measured.out + measured.err
    assert list((out / "evals" / "classification").iterdir()) and not (space.find_run("logistic") / "evals").exists()
    # Without the studio: its own csv, with points and ISO times.
    rows = orders().tail(2)
    plain = pd.DataFrame({"ordered": pd.to_datetime(rows["ordered"], format="%d.%m.%Y").dt.strftime("%Y-%m-%d")})
    plain["weight"] = pd.to_numeric(rows["weight"].str.replace(",", "."), errors="coerce")
    plain["weight missing"] = np.where(plain["weight"].isna(), "yes", "no")
    plain = pd.concat([plain, rows[["carrier", "code", "said"]]], axis=1)
    plain.to_csv(tmp_path / "plain.csv", index=False)
    told = subprocess.run(
        [sys.executable, out / "predict.py", tmp_path / "plain.csv"], capture_output=True, text=True, check=True
    )
    assert [json.loads(line)["label"] for line in told.stdout.splitlines()] == answers[1]["prediction"].tail(2).tolist()
    beside = studio("export", "logistic", "--compare", "--json", "--workspace", space.root)
    assert beside.code == 0, beside.err
    lines = {line["form"]: line for line in json.loads(beside.out)["exports"] if line["rate"] is not None}
    assert lines["the run itself"]["agreement"] == 1 and lines["onnx"]["agreement"] == 1
    assert all(line["rate"] > 1 and line["alone"] < 5 and line["peak"] > 30e6 for line in lines.values())
    assert lines["onnx"]["peak"] < lines["the run itself"]["peak"], "no pandas, no scikit-learn"
    (out / "model.onnx").write_bytes(b"another")
    refused = studio(*asked, out, tmp_path / "new.csv")
    assert refused.code == 2 and "model.onnx is not the file that was proven. Export anew" in refused.err
    beside = studio("export", "logistic", "--compare", "--workspace", space.root)
    assert beside.code == 0 and "model.onnx is not the file that was proven. Export anew" in beside.out


@ONNX
@pytest.mark.parametrize("name", ["lstm", "net"])
def test_small_numbers_are_measured(
    name: str, run: Callable[[str], Path], space: Workspace, tmp_path: Path, studio: Callable[..., Result]
) -> None:
    run(name)
    sizes = []
    for quant in ("float32", "int8"):
        done = studio("export", name, "--to", "onnx", "--quant", quant, "--out", tmp_path / quant, "--workspace", space.root)
        assert done.code == 0, done.err
        sizes.append((tmp_path / quant / "model.onnx").stat().st_size)
    record = read_export(tmp_path / "int8")
    assert record.quant == "int8" and record.limits == {"agreement": 0.95} and record.proof["agreement"] >= 0.95
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize(
    ("name", "form", "wishes", "said"),
    [
        ("logistic", "pt2", Wishes(), r"an estimator of scikit-learn \(logistic\), and pt2 holds networks only. Allowed"),
        ("logistic", "onnx", Wishes(quant="int8"), "--quant int8 is for networks. Leave it out.$"),
        pytest.param("nearest", "onnx", Wishes(), r"Train it with --set preparation.missing=median$", marks=ONNX),
        ("lstm", "savedmodel", Wishes(), "does not get masks of texts right. Allowed for it: --to executorch, --to onnx"),
    ],
)  # fmt: skip
def test_what_a_form_cannot_hold_is_said_before_any_work(
    name: str, form: str, wishes: Wishes, said: str, run: Callable[[str], Path]
) -> None:
    [exported] = [one for one in forms()[form] if "classifier" in one.kinds]
    with pytest.raises(UserError, match=said):
        exported.check(run(name), wishes)


def test_a_run_that_is_not_finished_and_a_missing_environment(
    run: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = run("numbers")
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path))
    monkeypatch.delenv("STUDIO_LITERT", raising=False)
    [form] = [one for one in forms()["tflite"] if "regressor" in one.kinds]
    with pytest.raises(
        UserError, match=r"needs an environment of its own, which is not installed yet .*export --install litert$"
    ):
        form.check(folder, Wishes())
    half = tmp_path / "runs" / "half" / "1"
    half.mkdir(parents=True)
    record = json.loads((folder / "run.json").read_text()) | {"status": "interrupted"}
    (half / "run.json").write_text(json.dumps(record))
    with pytest.raises(
        UserError, match=r"^the run half/1 is interrupted and has no model yet. Finish it: studio train --resume half/1$"
    ):
        form.check(half, Wishes())


def test_another_model_is_not_written(
    run: Callable[[str], Path], space: Workspace, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run("gru")
    before = read_exports(folder)
    real = proof.answers_of
    monkeypatch.setattr(proof, "answers_of", lambda info, found: np.roll(real(info, found), 1, axis=1))
    done = studio("export", "gru", "--to", "torchscript", "--workspace", space.root)
    assert done.code == 1 and "the torchscript export is not the model that was trained" in done.err
    assert not [path for path in folder.iterdir() if "torchscript" in path.name] and read_exports(folder) == before


@pytest.mark.long
@pytest.mark.parametrize(("form", "environment"), [("tflite", LITERT), ("savedmodel", TENSORFLOW)])
def test_a_network_in_an_environment_of_its_own(
    form: str, environment: object, run: Callable[[str], Path], space: Workspace, tmp_path: Path, studio: Callable[..., Result]
) -> None:
    from studio.core.environments import find_python

    try:
        find_python(environment)  # type: ignore[arg-type]
    except UserError as error:
        pytest.skip(str(error))
    run("net")
    done = studio("export", "net", "--to", form, "--out", tmp_path / "out", "--workspace", space.root)
    assert done.code == 0, done.err
    assert read_export(tmp_path / "out").proof["difference"] <= 1e-3
