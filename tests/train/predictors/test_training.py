"""Trainings of predictors as Runs: what is recorded, bit-equal repeats, what happens when one is stopped, and slips of people."""

from __future__ import annotations

import io
import os
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run
from studio.models.predictors.opening import open_predictor, read_info
from tests.conftest import Result, call_studio

RECIPE = """kind: table
sources:
  - {type: local, path: parcels.csv, licence: own data}
target: late
columns:
  - {name: said, type: text}
  - {name: one, type: category}
split: {validation: 40, test: 40, stratify: false}
"""


def parcels(count: int = 280) -> pd.DataFrame:
    """A table with a target for every mistake."""
    generator = np.random.default_rng(1)
    frame = pd.DataFrame({"weight": generator.uniform(1, 20, count), "carrier": generator.choice(["road", "rail"], count)})
    words = np.array(["late", "soon", "box", "broken", "thanks", "where", "when", "parcel", "driver", "door", "gone", "back"])
    frame["said"] = [" ".join(generator.choice(words, 8)) for _ in range(count)]
    frame["late"] = np.where(frame["weight"] + generator.normal(0, 3, count) > 15, "yes", "no")
    frame["state"] = generator.choice(["new", "sent", "back"], count, p=[0.6, 0.35, 0.05])
    frame["days"] = (frame["weight"] / 3 - 2 + generator.normal(0, 0.5, count)).round(3)
    frame["same"], frame["one"] = 7.5, "yes"
    frame["number"] = [f"parcel {place}" for place in range(count)]
    return frame


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the table."""
    folder = tmp_path_factory.mktemp("parcels")
    parcels().to_csv(folder / "parcels.csv", index=False)
    (folder / "parcels.yaml").write_text(RECIPE, encoding="utf-8")
    assert call_studio("data", "build", folder / "parcels.yaml", "--workspace", folder / "workspace") == 0
    return folder / "workspace"


@pytest.fixture
def train(space: Path, studio: Callable[..., Result]) -> Callable[..., Result]:
    """Train on the parcels."""

    def call(preset: str, *settings: str, **more: Any) -> Result:
        changed = [part for setting in settings for part in ("--set", setting)]
        options = [part for name, value in more.items() for part in (f"--{name}", value)]
        return studio("train", preset, "--data", "parcels", *changed, *options, "--workspace", space)

    return call


def run_of(space: Path, name: str) -> tuple[Path, RunRecord]:
    folder = Workspace.open(space).find_run(name)
    return folder, read_run(folder)


FEATURES = "features=[weight, carrier]"


def test_a_run_says_what_it_learned_from_and_how_well_it_does(space: Path, train: Callable[..., Result]) -> None:
    told = train("classify/logistic", FEATURES, "imbalance=oversample", "threshold=tuned", name="first")
    assert told.code == 0, told.err
    folder, record = run_of(space, "first")
    assert record.status == "finished" and record.method == "logistic" and record.base["name"] == "scratch"
    result = record.result
    assert result["rows"] == 200 and result["columns"] == 2 and result["training_seconds"] > 0
    before, after = result["imbalance"]["before"], result["imbalance"]["after"]
    assert before["no"] > before["yes"] and after == {"no": before["no"], "yes": before["no"]}
    assert "imbalance oversample: training rows of each label: no " in told.err
    assert set(record.files) == {"config.yaml", "model/pipeline.skops", "model/predictor.json"}
    info = read_info(folder / "model")
    assert info.positive == "yes" and 0 < info.threshold < 1
    assert f"yes from a probability of {info.threshold:.3f} on (F1 " in result["validation"]["threshold"]
    assert result["validation"]["validation"] in told.out and "by always saying the commonest label" in told.out
    assert info.fillings["carrier"].values and info.fillings["carrier"].distinct == 2


def test_two_trainings_with_a_seed_give_equal_arrays(space: Path, train: Callable[..., Result]) -> None:
    def arrays(name: str, seed: int) -> dict[str, np.ndarray]:
        settings = ("estimator.trees=8", "imbalance=smote", f"seed={seed}", FEATURES)
        assert train("classify/forest", *settings, name=name).code == 0
        folder, _ = run_of(space, name)
        with zipfile.ZipFile(folder / "model" / "pipeline.skops") as state:
            found = [np.load(io.BytesIO(state.read(one))) for one in state.namelist() if one.endswith(".npy")]
        return {str(place): array for place, array in enumerate(sorted(found, key=lambda one: (one.shape, one.tobytes())))}

    first, second, other = arrays("a", 1), arrays("b", 1), arrays("c", 2)
    assert len(first) > 8 and all(np.array_equal(first[key], second[key]) for key in first)
    assert first.keys() != other.keys() or not all(np.array_equal(first[key], other[key]) for key in first)


def test_a_training_that_is_stopped_says_so_and_starts_again_from_the_rows(
    space: Path, train: Callable[..., Result], studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        raise AssertionError("it went on")

    with monkeypatch.context() as patch:
        patch.setattr("studio.train.predictors.pipelines.fit_estimator", slow)
        stopped = train("classify/logistic", FEATURES, name="stopped")
    assert stopped.code == 130
    assert "stopped: logistic keeps nothing on the way; resumed, it starts again from the rows" in stopped.err
    folder, record = run_of(space, "stopped")
    assert record.status == "interrupted" and not (folder / "model").exists()
    again = studio("train", "--resume", "stopped", "--workspace", space)
    assert (
        again.code == 0
        and "logistic is fitted in one go and keeps nothing on the way: it starts again from the rows" in again.err
    )
    assert run_of(space, "stopped")[1].status == "finished"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_model_that_a_killed_training_left_is_written_anew(
    space: Path, train: Callable[..., Result], studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("studio.train.predictors.run.close_well", killed)
        assert train("classify/logistic", FEATURES, name="killed").code == 1
    folder, record = run_of(space, "killed")
    assert record.status == "failed" and (folder / "model").is_dir()
    assert studio("train", "--resume", "killed", "--workspace", space).code == 0
    assert open_predictor(folder / "model").info.labels == ["no", "yes"]


def test_a_number_has_an_interval_that_holds_what_it_says(space: Path, train: Callable[..., Result]) -> None:
    from studio.data.examples import Wanted, read_examples

    told = train("regress/ridge", "target=days", FEATURES, "interval=0.8", name="days")
    assert told.code == 0 and "at 80%, from the errors on validation rows" in told.out
    folder, _ = run_of(space, "days")
    dataset = Workspace.open(space).find_dataset("parcels")
    rows = read_examples(dataset, "test", Wanted("days", "number", ("weight", "carrier")))
    said = open_predictor(folder / "model").predict(rows.features)
    inside = np.mean((said.low <= rows.target) & (rows.target <= said.high))
    assert 0.6 < inside < 0.97


@pytest.mark.parametrize(
    ("preset", "settings", "sentence"),
    [
        ("classify/logistic", ["target=one"], "training row of parcels has one = 'yes': there is nothing to tell apart."),
        ("regress/ridge", ["target=same"], "every row of parcels has same = 7.5: there is nothing to predict."),
        ("classify/logistic", ["target=number"], "number has 200 different values in 200 training rows, too many for labels."),
        ("regress/ridge", ["target=carrier"], "numbers are wanted. Predict labels instead"),
        ("classify/logistic", ["target=lat"], "has no column 'lat'. Did you mean 'late'?"),
        ("classify/logistic", ["features=[wieght]"], "has no column 'wieght'. Did you mean 'weight'?"),
        ("classify/logistic", ["estimator.max_iters=2"], "'max_iters' in 'estimator'. Did you mean 'max_iter'?"),
        ("classify/logistic", ["estimator.C=-1"], "'estimator.C' is -1, but"),
        ("classify/logistic", ["estimator.type=logistics"], "is 'logistics'. Did you mean 'logistic'?"),
        ("classify/logistic", ["imbalance=smot"], "'imbalance' is 'smot'. Did you mean 'smote'?"),
        ("classify/logistic", ["preparation.missing=medain"], "is 'medain'. Did you mean 'median'?"),
        ("classify/logistic", ["threshold=tune"], "'threshold' is 'tune'. Did you mean 'tuned'?"),
        ("classify/logistic", ["target=state", "threshold=tuned"], "chooses between two labels, and state of parcels has 3."),
        ("classify/logistic", ["imbalance=smote"], "said (text) has neither. Set imbalance: weights, or oversample."),
        (
            "classify/logistic",
            ["target=state", FEATURES, "imbalance=smote", "smote_neighbours=30"],
            "training rows. Set smote_neighbours: ",
        ),
        ("classify/naive-bayes", ["features=[weight, carrier]"], "naive-bayes takes either numbers (weight) or texts"),
        ("regress/ridge", ["target=days", "log_target=true"], "log_target needs targets above 0, and days goes down to -"),
        ("regress/ridge", ["target=days", "interval=90"], "'interval' is 90, but"),
        ("regress/ridge", ["target=days", "estimator.type=logistic"], "is 'logistic'. Allowed: ridge, forest, boosting"),
    ],
)
def test_what_people_mistype_is_one_sentence(
    preset: str, settings: list[str], sentence: str, train: Callable[..., Result]
) -> None:
    result = train(preset, *settings)
    assert result.code == 2 and sentence in result.err and result.err.count("error:") == 1, result.err
    assert "Traceback" not in result.err and not result.out


def test_one_row_of_a_class_stops_no_estimator(tmp_path: Path, studio: Callable[..., Result]) -> None:
    frame = parcels(120).assign(late=["once", *["yes", "no"] * 59, "no"])
    frame.to_csv(tmp_path / "few.csv", index=False)
    recipe = RECIPE.replace("parcels.csv", str(tmp_path / "few.csv")).replace(
        "validation: 40, test: 40", "validation: 0, test: 0"
    )
    (tmp_path / "few.yaml").write_text(recipe, encoding="utf-8")
    space = ["--workspace", tmp_path / "workspace"]
    built = studio("data", "build", tmp_path / "few.yaml", *space)
    assert built.code == 0, built.err
    for name in ("logistic", "svm", "forest", "boosting"):
        small = {"forest": ["--set", "estimator.trees=5"], "boosting": ["--set", "estimator.rounds=5"]}.get(name, [])
        told = studio("train", f"classify/{name}", "--data", "few", "--set", FEATURES, *small, "--name", name, *space)
        assert told.code == 0, told.err
        predictor = open_predictor(Workspace.open(tmp_path / "workspace").find_run(name) / "model")
        assert predictor.info.labels == ["no", "once", "yes"]
        assert np.isfinite(predictor.predict(frame[["weight", "carrier"]]).probabilities).all()
    one = studio("train", "classify/logistic", "--data", "few", "--set", FEATURES, "--set", "imbalance=smote", *space)
    assert one.code == 2 and "'once' has 1 training row. Leave that label out, or set imbalance: weights" in one.err
