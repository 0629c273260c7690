"""Pipelines on disk: the same answers when they are opened, in a form that runs no code."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import StudioError
from studio.data.examples import Examples
from studio.models.predictors.base import PredictorInfo, turned_back
from studio.models.predictors.opening import open_predictor, read_info, save_predictor
from studio.models.predictors.pipeline import STATE
from studio.schema.columns import Column
from tests.train.predictors.made import examples, fitted, preset

COLUMNS = [
    Column(name="weight", type="number"),
    Column(name="carrier", type="category"),
    Column(name="sent", type="time"),
    Column(name="said", type="text"),
]


def rows(numbers: bool = False) -> Examples:
    """All types of columns, with gaps."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"weight": np.where(np.arange(90) % 9, generator.normal(size=90), np.nan)})
    frame["carrier"] = [None if place == 3 else name for place, name in enumerate(generator.choice(["road", "rail", "ship"], 90))]
    frame["sent"] = pd.to_datetime("2024-01-01") + pd.to_timedelta(generator.integers(0, 300, 90), unit="D")
    frame["said"] = [" ".join(generator.choice(["late", "soon", "broken", "parcel", "thanks"], 4)) for _ in range(90)]
    score = frame["weight"].fillna(0) + (frame["carrier"] == "ship") + generator.normal(0, 0.3, 90)
    return examples(frame, score.to_numpy() if numbers else np.digitize(score, [-0.3, 0.8]).astype(str), COLUMNS)


LABELS = [
    ("logistic", {"preparation": {"missing": "nearest"}}),
    ({"type": "logistic", "penalty": "l1", "max_iter": 20}, {"preparation": {"missing": "mode"}}),
    ("svm", {}),
    ({"type": "svm", "kernel": "rbf"}, {}),
    ({"type": "forest", "trees": 5}, {"preparation": {"missing": "constant"}}),
    ({"type": "boosting", "rounds": 5}, {}),
]
NUMBERS = [("ridge", {}), ({"type": "forest", "trees": 5}, {"log_target": True}), ({"type": "boosting", "rounds": 5}, {})]


@pytest.mark.parametrize(("estimator", "settings"), LABELS, ids=str)
def test_labels_are_the_same_after_opening(estimator: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    train = rows()
    predictor, _ = fitted(train, preset(estimator, **settings), train.part(range(40)))
    save_predictor(predictor, tmp_path)
    again = open_predictor(tmp_path)
    assert again.info == predictor.info
    assert np.array_equal(again.predict(train.features).probabilities, predictor.predict(train.features).probabilities)


@pytest.mark.parametrize(("estimator", "settings"), NUMBERS, ids=str)
def test_numbers_are_the_same_after_opening(estimator: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    train = rows(numbers=True)
    train.target = np.exp(train.target)
    predictor, _ = fitted(train, preset(estimator, kind="regressor", **settings), train.part(range(40)))
    save_predictor(predictor, tmp_path)
    said, again = predictor.predict(train.features), open_predictor(tmp_path).predict(train.features)
    assert np.array_equal(said.values, again.values) and np.array_equal(said.low, again.low) and (said.high > said.values).all()


@pytest.mark.parametrize("columns", [[0], [3]], ids=["numbers", "texts"])
def test_naive_bayes_is_the_same_after_opening(columns: list[int], tmp_path: Path) -> None:
    whole = rows()
    train = examples(whole.features, whole.target, [COLUMNS[place] for place in columns])
    predictor, _ = fitted(train, preset("naive-bayes"))
    save_predictor(predictor, tmp_path)
    again = open_predictor(tmp_path)
    assert np.array_equal(again.predict(train.features).probabilities, predictor.predict(train.features).probabilities)


def test_a_fresh_process_gives_the_same_bits(tmp_path: Path) -> None:
    train = rows()
    predictor, _ = fitted(train, preset({"type": "boosting", "rounds": 5}))
    save_predictor(predictor, tmp_path)
    train.features.to_parquet(tmp_path / "rows.parquet")
    code = (
        "import sys, pandas as pd; from studio.models.predictors.opening import open_predictor; "
        "found = open_predictor(__import__('pathlib').Path(sys.argv[1])); "
        "rows = pd.read_parquet(sys.argv[1] + '/rows.parquet'); print(found.predict(rows).probabilities.tolist()); "
        "print('transformers' in sys.modules or 'studio.train' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    given, heavy = done.stdout.splitlines()
    assert json.loads(given) == predictor.predict(train.features).probabilities.tolist() and heavy == "False"


def test_no_file_of_a_model_holds_a_pickle(tmp_path: Path) -> None:
    for place, (estimator, settings) in enumerate(LABELS):
        folder = tmp_path / str(place)
        folder.mkdir()
        save_predictor(fitted(rows(), preset(estimator, **settings))[0], folder)
        assert sorted(path.name for path in folder.iterdir()) == [STATE, "predictor.json"]
        with zipfile.ZipFile(folder / STATE) as state:
            for name in state.namelist():
                if name.endswith(".json"):
                    json.loads(state.read(name))
                elif name.endswith(".npy"):
                    np.load(io.BytesIO(state.read(name)), allow_pickle=False)
                else:
                    assert name.endswith(".npz") and zipfile.is_zipfile(io.BytesIO(state.read(name)))


class Stranger:
    """A type that no predictor is made of."""


@pytest.mark.parametrize(
    ("thing", "named"),
    [(Stranger(), "Stranger"), (functools.partial(os.system, "true"), "posix.system"), (os.system, "posix.system")],
)
def test_a_file_that_names_other_code_is_not_opened(thing: Any, named: str, tmp_path: Path) -> None:
    import skops.io
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    save_predictor(fitted(rows(), preset("logistic"))[0], tmp_path)
    skops.io.dump(make_pipeline(FunctionTransformer(thing, check_inverse=False)), tmp_path / STATE)
    with pytest.raises(StudioError, match=rf"pipeline.skops names code that no predictor needs .*{named}.* it was not opened"):
        open_predictor(tmp_path)


def test_damaged_and_missing_files_are_one_sentence(tmp_path: Path) -> None:
    save_predictor(fitted(rows(), preset("logistic"))[0], tmp_path)
    whole = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StudioError, match=r"pipeline.skops cannot be opened"):
        open_predictor(tmp_path)
    (tmp_path / STATE).unlink()
    with pytest.raises(StudioError, match=r"pipeline.skops cannot be opened"):
        open_predictor(tmp_path)
    (tmp_path / "predictor.json").write_text('{"form": "pipeline"}')
    with pytest.raises(StudioError, match=r"predictor.json is not a PredictorInfo: 'task' field required. Make"):
        read_info(tmp_path)
    (tmp_path / "predictor.json").unlink()
    with pytest.raises(StudioError, match=r"is not whole: it has no predictor.json. Make the artefact again"):
        read_info(tmp_path)


def test_a_form_that_is_not_known_says_so(tmp_path: Path) -> None:
    (tmp_path / "predictor.json").write_text(
        json.dumps({"form": "oracle", "task": "labels", "estimator": "oracle", "columns": [], "target": "late"})
    )
    with pytest.raises(StudioError, match=r"a predictor of form 'oracle', and this studio knows column-network, .* Update it."):
        open_predictor(tmp_path)


def test_logarithms_are_turned_back_only_where_they_were_learned() -> None:
    info = PredictorInfo(form="pipeline", task="numbers", estimator="ridge", columns=[], target="price")
    assert turned_back(np.array([0.0, 1.0]), info).tolist() == [0.0, 1.0]
    logs = info.model_copy(update={"extra": {"log_target": True}})
    assert np.allclose(turned_back(np.array([0.0, 1.0, 1e9]), logs), [1.0, np.e, np.exp(709.0)])


def test_opening_a_pipeline_brings_no_torch(tmp_path: Path) -> None:
    """A second process, because this one has torch from other tests; scikit-learn's own use of torch still works afterwards."""
    save_predictor(fitted(rows(), preset("logistic"))[0], tmp_path)
    program = (
        "import sys; from pathlib import Path; from studio.models.predictors.opening import open_predictor\n"
        f"open_predictor(Path({str(tmp_path)!r})); assert 'torch' not in sys.modules\n"
        "import sklearn.externals.array_api_compat.torch; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
