"""Presets for tables beside AutoGluon (medium quality), on the same folds.

    python benchmarks/automl.py --autogluon ENVIRONMENT [--folds 5] [--seconds 60] [--write-docs]

Five tables: breast cancer, German credit, penguins and diabetes in folds, and a made-up one of 20,000 rows and 50 columns, once.
Each side gets the training rows of a fold and no more than ``--seconds`` for it; AutoGluon holds out validation rows of its own,
the studio's presets an eighth of the training rows. Presets run as they are shipped, each as one training; ``best`` is the preset
with the better validation score of each fold, and its seconds are those of all of them. Differences are paired by test row.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from predictors import made_up

import docs
from studio.core.content import find_content
from studio.core.workspace import Workspace
from studio.data.examples import Examples, Wanted, read_examples
from studio.data.kinds import load_recipe
from studio.schema.loading import load_yaml
from studio.schema.predictors import ClassifierPreset, RegressorPreset
from studio.train.predictors.describing import describe
from studio.train.predictors.fitting import FITTERS
from studio.train.predictors.job import Job
from studio.train.recording import StopOnSignal

PRESETS = {
    "labels": ("classify/logistic", "classify/forest", "classify/boosting"),
    "numbers": ("regress/ridge", "regress/forest", "regress/boosting"),
}
TABLES = {"breast-cancer": "labels", "german-credit": "labels", "penguins": "labels", "diabetes": "numbers"}
LARGE = 20_000


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and rows to be asked about. kind: ``labels`` or ``numbers``."""

    case: str
    kind: str
    train: Examples
    test: Examples

    @property
    def name(self) -> str:
        """The table without the number of the fold."""
        return self.case.rpartition("-")[0]


def whole(workspace: Workspace, recipe: str, kind: str) -> Examples:
    """All rows of a table that is shipped as a recipe, whatever their split."""
    path = find_content("data_recipes", f"table/{recipe}")
    room, settings = load_recipe(path)
    folder = room.build(settings, workspace, name=recipe, beside=path.parent, tell=lambda _: None).folder
    wanted = Wanted(None, "category" if kind == "labels" else "number")
    parts = [read_examples(folder, split, wanted) for split in ("train", "validation", "test")]
    return replace(
        parts[0],
        ids=[row for part in parts for row in part.ids],
        features=pd.concat([part.features for part in parts], ignore_index=True),
        target=np.concatenate([part.target for part in parts if part.target is not None]),
        groups=None,
        others=pd.DataFrame(index=range(sum(map(len, parts)))),
    )


def folds(workspace: Workspace, count: int) -> Iterator[Fold]:
    """All folds of all tables."""
    from sklearn.model_selection import KFold, StratifiedKFold

    for name, kind in TABLES.items():
        rows = whole(workspace, name, kind)
        cut = (StratifiedKFold if kind == "labels" else KFold)(count, shuffle=True, random_state=0)
        for number, (train, test) in enumerate(cut.split(np.zeros(len(rows)), rows.target)):
            yield Fold(f"{name}-{number}", kind, rows.part(train), rows.part(test))
    rows = made_up(LARGE)
    cut_at = LARGE * 4 // 5
    yield Fold("made-up-0", "labels", rows.part(range(cut_at)), rows.part(range(cut_at, LARGE)))


def ours(fold: Fold) -> dict[str, tuple[np.ndarray, float]]:
    """Preset to its answers and seconds; ``best`` is chosen on the validation rows."""
    from sklearn.model_selection import train_test_split

    stratified = fold.train.target if fold.kind == "labels" else None
    learn, hold = train_test_split(np.arange(len(fold.train)), test_size=0.125, random_state=0, stratify=stratified)
    train, held = fold.train.part(np.sort(learn)), fold.train.part(np.sort(hold))
    found, scores = {}, {}
    for name in PRESETS[fold.kind]:
        began = time.monotonic()
        schema = ClassifierPreset if fold.kind == "labels" else RegressorPreset
        preset = load_yaml(find_content("adapters", name), schema)
        job = Job(Path(), preset, train, held, False, lambda _: None, StopOnSignal())
        predictor = FITTERS.get(preset.estimator.type)(job, describe(job))
        answers = predictor.predict(fold.test.features).values
        found[name] = (answers, time.monotonic() - began)
        scores[name] = -loss(fold.kind, predictor.predict(held.features).values, held.target).mean()
    best = max(scores, key=lambda name: scores[name])
    found["best"] = (found[best][0], sum(seconds for _, seconds in found.values()))
    return found


def loss(kind: str, answers: np.ndarray, target: np.ndarray | None) -> np.ndarray:
    """Of each row: 1 for a wrong label, or the squared error."""
    assert target is not None
    if kind == "labels":
        return (answers.astype(str) != target.astype(str)).astype(float)
    return np.asarray((answers.astype(float) - target) ** 2)


def theirs(place: Path, environment: Path, cut: list[Fold], limit: float) -> tuple[dict[str, tuple[np.ndarray, float]], str]:
    """AutoGluon's answers and seconds by fold, and its version."""
    for fold in cut:
        for part, rows in (("train", fold.train), ("test", fold.test)):
            frame = rows.features.assign(target=rows.target) if part == "train" else rows.features
            frame.to_csv(place / f"{fold.case}-{part}.csv", index=False)
    (place / "kinds.json").write_text(json.dumps({fold.name: fold.kind for fold in cut}), encoding="utf-8")
    script = Path(__file__).parent / "peers" / "autogluon_tables.py"
    subprocess.run([environment / "bin" / "python", script, place, str(limit)], check=True, cwd=place)
    told = json.loads((place / "autogluon.json").read_text(encoding="utf-8"))
    found = {}
    for fold in cut:
        values = pd.read_csv(place / f"{fold.case}-autogluon.csv").iloc[:, 0].to_numpy()
        found[fold.case] = (values, told["seconds"][fold.case])
    return found, told["version"]


def lines(cut: list[Fold], sides: dict[str, dict[str, tuple[np.ndarray, float]]]) -> list[str]:
    """A line of the table for each table and side."""
    found = []
    for name, kind in {fold.name: fold.kind for fold in cut}.items():
        mine = [fold for fold in cut if fold.name == name]
        baseline = np.concatenate([loss(kind, _constant(fold), fold.test.target) for fold in mine])
        peer = np.concatenate([loss(kind, sides["AutoGluon"][fold.case][0], fold.test.target) for fold in mine])
        found.append(f"| {name} | {len(baseline):,} | nothing learned | {_figure(kind, baseline)} | | |")
        for side in [*PRESETS[kind], "best", "AutoGluon"]:
            losses = np.concatenate([loss(kind, sides[side][fold.case][0], fold.test.target) for fold in mine])
            seconds = statistics.median(sides[side][fold.case][1] for fold in mine)
            gap = "" if side == "AutoGluon" else _gap(kind, losses, peer)
            label = "best of the three on validation" if side == "best" else side
            found.append(f"| {name} | {len(losses):,} | {label} | {_figure(kind, losses)} | {gap} | {seconds:.1f} |")
    return found


def _constant(fold: Fold) -> np.ndarray:
    """The most frequent label or the mean of the training rows, for every test row."""
    target = pd.Series(fold.train.target)
    return np.full(len(fold.test), target.mode()[0] if fold.kind == "labels" else target.mean())


def _figure(kind: str, losses: np.ndarray) -> str:
    """Share that is right, or the root of the mean squared error."""
    return f"{1 - losses.mean():.1%} right" if kind == "labels" else f"RMSE {np.sqrt(losses.mean()):.2f}"


def _gap(kind: str, losses: np.ndarray, peer: np.ndarray) -> str:
    """What ours has less of loss than the peer, with a normal 95% interval over rows; of RMSE by the delta method."""
    gaps = peer - losses
    scale = 100.0 if kind == "labels" else 1 / (np.sqrt(losses.mean()) + np.sqrt(peer.mean()))
    half = 1.96 * gaps.std(ddof=1) / np.sqrt(len(gaps))
    return f"{gaps.mean() * scale:+.2f} ± {half * scale:.2f}" + (" points" if kind == "labels" else "")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--autogluon", type=Path, required=True, help="environment in which autogluon.tabular is installed")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60)
    docs.add_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="automl-") as name:
        cut = list(folds(Workspace.open(name), options.folds))
        sides: dict[str, dict[str, Any]] = {}
        for fold in cut:
            for side, said in ours(fold).items():
                sides.setdefault(side, {})[fold.case] = said
        place = Path(name) / "peer"
        place.mkdir()
        sides["AutoGluon"], version = theirs(place, options.autogluon, cut, options.seconds)
    body = "\n".join(
        [
            "| table | test rows | side | quality | better than AutoGluon by | s per fit |",
            "|---|---:|---|---:|---:|---:|",
            *lines(cut, sides),
            f"\nAutoGluon {version} (with LightGBM, XGBoost and CatBoost, without its networks), medium quality, at "
            f"most {options.seconds:.0f} s for each fit of each side. Seconds are medians over {options.folds} folds.",
        ]
    )
    print(body)
    if options.write_docs:
        docs.write_section("automl", body, packages=("scikit-learn", "pandas", "numpy"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
