"""Memory and time of a training before it starts, beside the real thing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import GateNotMetError
from studio.data.examples import Examples
from studio.schema.columns import Column
from studio.train.kinds import PlanWish
from studio.train.predictors.planning import _check, seconds_of_training
from studio.train.predictors.preparation import WANTS
from studio.train.predictors.sizes import memory_of_training, peak, prepared_size
from tests.train.predictors.made import examples, fitted, preset


def table(count: int, numbers: int, categories: int = 0) -> Examples:
    """Random numbers and categories, and labels that depend on the first."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(count, numbers)), columns=[f"n{place}" for place in range(numbers)])
    for place in range(categories):
        frame[f"c{place}"] = generator.choice([f"value {number}" for number in range(40)], count)
    return examples(frame, np.where(frame["n0"] + generator.normal(0, 1, count) > 0, "a", "b"))


def said(count: int) -> Examples:
    """Texts with words as unequally frequent as in language."""
    generator = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    words = np.array(["".join(generator.choice(letters, generator.integers(3, 10))) for _ in range(5000)])
    share = 1 / np.arange(1, 5001)
    drawn = generator.choice(5000, (count, 25), p=share / share.sum())
    frame = pd.DataFrame({"said": [" ".join(words[row]) for row in drawn]})
    return examples(frame, np.array(["a", "b", "c"])[drawn[:, 0] % 3], [Column(name="said", type="text")])


def test_the_matrix_is_as_large_as_it_becomes() -> None:
    from studio.models.predictors.features import plain_features, plain_groups
    from studio.schema.estimators import Preparation
    from studio.train.predictors.preparation import prepare

    for rows, kind in (
        (table(600, 6, 2), "logistic"),
        (table(600, 6, 2), "boosting"),
        (said(800), "logistic"),
        (said(400), "boosting"),
    ):
        guessed, _ = prepared_size(Preparation(), WANTS[kind], rows)
        plain = plain_features(rows.features, rows.columns)
        made = prepare(Preparation(), plain, plain_groups(rows.columns), WANTS[kind]).fit_transform(plain)
        sparse = hasattr(made, "nnz")
        real = made.nnz * 12 if sparse else made.nbytes
        assert guessed.dense is not sparse and guessed.size == pytest.approx(real, rel=0.25), kind
        assert guessed.features == pytest.approx(made.shape[1], rel=0.4)


PEAK = """
import sys, threading, time, types
sys.path.insert(0, sys.argv[2])
sys.modules["tests"] = types.ModuleType("tests")  # some package brings one of that name
sys.modules["tests"].__path__ = [sys.argv[2] + "/tests"]
from tests.train.predictors.test_planning import said, table
from tests.train.predictors.made import fitted, preset
from studio.train.predictors.sizes import memory_of_training, peak

rows, chosen = eval(sys.argv[1])
fitted(table(300, 3), preset({"type": "boosting", "rounds": 2}))
fitted(said(60), preset(chosen.estimator.model_dump()))
guessed = peak(memory_of_training(chosen, rows))
held = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
before, found, done = held(), [0], []
def watch():
    while not done:
        found[0] = max(found[0], held())
        time.sleep(0.002)
watching = threading.Thread(target=watch)
watching.start()
fitted(rows, chosen)
done.append(True)
watching.join()
print(guessed, found[0] - before + int(rows.features.memory_usage(deep=True).sum()))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "case",
    [
        "table(100_000, 50), preset({'type': 'boosting', 'rounds': 10})",
        "table(100_000, 50), preset('logistic')",
        "table(60_000, 2, 10), preset('logistic')",
        "table(20_000, 50), preset('svm')",
        "said(8_000), preset('logistic')",
    ],
)
def test_memory_is_what_was_planned(case: str) -> None:
    """In a process of its own, beside what the rows themselves take."""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", PEAK, case, str(root)], capture_output=True, text=True, check=True)
    guessed, real = map(int, done.stdout.split())
    assert 0.75 * real < guessed < 2 * real


def test_what_cannot_fit_is_refused_with_a_remedy() -> None:
    rows = table(3000, 8)
    chosen = preset({"type": "forest", "trees": 1000})
    with pytest.raises(GateNotMetError, match=r"forest on 3,000 rows takes about .* and 50.0 MB are free. Take fewer trees"):
        _check(chosen, rows, peak(memory_of_training(chosen, rows)), PlanWish(memory=50_000_000))
    small = preset({"type": "forest", "trees": 10})
    _check(small, rows, peak(memory_of_training(small, rows)), PlanWish(memory=50_000_000))
    texts = said(2000)
    with pytest.raises(GateNotMetError, match=r"Take preparation.texts.characters: false, or a smaller part"):
        _check(preset("svm"), texts, peak(memory_of_training(preset("svm"), texts)), PlanWish(memory=10_000_000))


@pytest.mark.parametrize(
    ("estimator", "settings"),
    [("logistic", {}), ({"type": "forest", "trees": 60}, {}), ({"type": "boosting", "rounds": 60, "patience": None}, {})],
    ids=str,
)
def test_time_is_of_the_right_order(estimator: Any, settings: dict[str, Any]) -> None:
    rows = table(8000, 12)
    guessed = seconds_of_training(preset(estimator, **settings), rows)
    started = time.perf_counter()
    fitted(rows, preset(estimator, **settings))
    real = time.perf_counter() - started
    assert guessed is not None and real / 8 < guessed < real * 8


def test_time_of_too_few_rows_is_not_known() -> None:
    rows = table(300, 2)
    assert seconds_of_training(preset("logistic"), rows.part(np.flatnonzero(rows.target == "a"))) is None
