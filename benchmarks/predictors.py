"""Predictors beside scikit-learn used by hand: the same rows, quality on held-out ones, and time of the fit.

    python benchmarks/predictors.py [--runs 5] [--rows 100000] [--write-docs]

Four Datasets of the studio (iris, breast cancer, German credit, questions of the starter corpus) and a made-up table of numbers.
Both sides learn from the training rows and are asked about the test rows; they fit in turn, in one process, after a fit of each
that is not timed. Times are CPU seconds of the process: plain columns and preparation count on our side, what is read and written
on neither. The difference of the errors is paired by row, with a normal 95% interval.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import docs
from studio.core.content import find_content
from studio.core.workspace import Workspace
from studio.data.examples import Examples, Wanted, read_examples
from studio.data.kinds import load_recipe
from studio.schema.columns import Column
from studio.schema.loading import validate
from studio.schema.predictors import ClassifierPreset
from studio.train.predictors.describing import describe
from studio.train.predictors.job import Job
from studio.train.predictors.pipelines import fit_pipeline
from studio.train.recording import StopOnSignal

RATIO = 1.15
"""Of our time to the library's, at most, for boosting on the large table."""


@dataclass(frozen=True)
class Case:
    """One comparison: rows, the studio's estimator, and the same by hand."""

    name: str
    estimator: dict[str, Any]
    train: Examples
    validation: Examples | None
    test: Examples
    hand: Callable[[Examples, Examples | None], Any]


def ours(case: Case) -> Callable[[], np.ndarray]:
    """Fit, and probabilities of the test rows when it is called again."""
    preset = validate({"kind": "classifier", "estimator": case.estimator}, ClassifierPreset)
    job = Job(Path(), preset, case.train, case.validation, False, lambda _: None, StopOnSignal())
    predictor = fit_pipeline(job, describe(job))
    assert predictor is not None
    return lambda: predictor.predict(case.test.features).probabilities  # type: ignore[return-value]


def theirs(case: Case) -> Callable[[], np.ndarray]:
    """The same with the library alone."""
    pipeline = case.hand(case.train, case.validation)
    return lambda: pipeline(case.test)


def linear_by_hand(train: Examples, validation: Examples | None) -> Callable[[Examples], np.ndarray]:
    """Median, scaling, one-hot, logistic regression, as scikit-learn's guide has it."""
    del validation
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    fitted = make_pipeline(columns, LogisticRegression(max_iter=2000)).fit(train.features, train.target)
    return lambda rows: np.asarray(fitted.predict_proba(rows.features))


def texts_by_hand(train: Examples, validation: Examples | None) -> Callable[[Examples], np.ndarray]:
    """TF-IDF of words and of runs of letters, as the preset has them, and logistic regression."""
    del validation
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    letters = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(2, 5), analyzer="char_wb")
    fitted = make_pipeline(make_union(words, letters), LogisticRegression(max_iter=2000))
    fitted.fit(train.features["text"], train.target)
    return lambda rows: np.asarray(fitted.predict_proba(rows.features["text"]))


def boosting_by_hand(train: Examples, validation: Examples | None) -> Callable[[Examples], np.ndarray]:
    """The same settings as the preset, stopped on the same validation rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    estimator = HistGradientBoostingClassifier(
        max_iter=500, learning_rate=0.05, early_stopping=True, n_iter_no_change=20, random_state=0
    )
    assert validation is not None
    estimator.fit(train.features, train.target, X_val=validation.features, y_val=validation.target)
    return lambda rows: np.asarray(estimator.predict_proba(rows.features))


def cases(workspace: Workspace, rows: int) -> list[Case]:
    """All comparisons."""
    found = []
    for recipe, target, hand in (
        ("table/iris", None, linear_by_hand),
        ("table/breast-cancer", None, linear_by_hand),
        ("table/german-credit", None, linear_by_hand),
        ("chat/construction-faq-en", "category", texts_by_hand),
    ):
        path = find_content("data_recipes", recipe)
        kind, settings = load_recipe(path)
        folder = kind.build(settings, workspace, name=path.stem, beside=path.parent, tell=lambda _: None).folder
        parts = [read_examples(folder, split, Wanted(target, "category")) for split in ("train", "validation", "test")]
        found.append(Case(f"{path.stem}, logistic", {"type": "logistic"}, *parts, hand))
    whole = made_up(rows)
    cut = [range(int(rows * 0.7)), range(int(rows * 0.7), int(rows * 0.8)), range(int(rows * 0.8), rows)]
    train, validation, test = (whole.part(places) for places in cut)
    return [*found, Case(f"{rows:,} x 50, boosting", {"type": "boosting"}, train, validation, test, boosting_by_hand)]


def made_up(rows: int) -> Examples:
    """50 columns of numbers, of which ten matter, and two labels."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(rows, 50)), columns=[f"number {place}" for place in range(50)])
    score = frame.iloc[:, :10].sum(axis=1) + frame["number 0"] * frame["number 1"] + generator.normal(0, 2, rows)
    columns = tuple(Column(name=name, type="number") for name in frame.columns)
    target = np.where(score > 0, "yes", "no").astype(object)
    return Examples(
        [str(place) for place in range(rows)], columns, frame, target, "label", others=pd.DataFrame(index=frame.index)
    )


def measured(case: Case, runs: int) -> tuple[str, float]:
    """A line of the table, and our time by theirs."""
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    said: dict[str, np.ndarray] = {}
    for number in range(runs + 1):
        for name, fit in (("ours", ours), ("theirs", theirs)):
            started = time.process_time()
            predict = fit(case)
            times[name] += [time.process_time() - started] if number else []
            said[name] = predict()
    labels = np.array(sorted(set(case.train.target.tolist())), dtype=object)  # type: ignore[union-attr]
    right = {name: labels[probabilities.argmax(axis=1)] == case.test.target for name, probabilities in said.items()}
    gaps = right["ours"].astype(float) - right["theirs"].astype(float)
    half = 1.96 * gaps.std(ddof=1) / np.sqrt(len(gaps))
    ratio = statistics.median(times["ours"]) / statistics.median(times["theirs"])
    shown = " | ".join(f"{right[name].mean():.3f}" for name in ("ours", "theirs"))
    seconds = " | ".join(f"{statistics.median(times[name]):.3f}" for name in ("ours", "theirs"))
    return f"| {case.name} | {len(case.test):,} | {shown} | {gaps.mean():+.3f} ± {half:.3f} | {seconds} | {ratio:.2f} |", ratio


def main() -> int:
    """Measure, print, and say by the exit code whether the target was met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    docs.add_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="predictors-") as name:
        found = [measured(case, options.runs) for case in cases(Workspace.open(name), options.rows)]
    lines = [
        "| rows, estimator | test rows | accuracy | by hand | difference | CPU s | by hand | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(line for line, _ in found),
        f"\nTarget: ratio of boosting on the large table at most {RATIO}; medians of {options.runs} fits, sides in turn.",
    ]
    body = "\n".join(lines)
    print(body)
    if options.write_docs:
        docs.write_section("predictors", body, packages=("scikit-learn", "pandas", "numpy"))
    return 0 if found[-1][1] <= RATIO else 3


if __name__ == "__main__":
    sys.exit(main())
