"""Networks of predictors beside plain scikit-learn on the same folds, and a step of ours beside a plain loop of PyTorch.

    python benchmarks/networks.py [--write-docs] [--folds 5] [--slow-folds 1]

Texts: 503 questions of the starter corpus, which of 39 chapters answers each. Pictures: OpenMoji in nine kinds. Tables: those of
scikit-learn. Every model sees the same folds; of each fold's training rows an eighth is held out, by which networks stop early
and which the others learn from too. Tuning a whole encoder is slow and measured on ``--slow-folds`` only, whose rows are told.
Exit code 1 when a step takes more than 1.15 times the plain loop's CPU time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

import docs
from studio.core.content import find_content
from studio.data.examples import Examples, Wanted, read_examples
from studio.schema.columns import Column
from studio.train.kinds import load_preset
from studio.train.predictors.describing import describe
from studio.train.predictors.fitting import FITTERS
from studio.train.predictors.job import Job
from studio.train.recording import StopOnSignal

SLOW = {"classify/bert", "classify/bert-lora", "classify/mobilenet", "classify/small-cnn"}
TEXTS = ["logistic", "svm", "mlp", "lstm", "gru", "text-cnn", "bert-frozen", "bert-lora", "bert"]
PICTURES = ["logistic", "small-cnn", "mobilenet-frozen", "mobilenet"]
TABLE = ["logistic", "boosting", "mlp"]
MOST_OVERHEAD = 1.15


@dataclass
class Fold:
    """Rows of one fold."""

    train: Examples
    held: Examples
    test: Examples


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--slow-folds", type=int, default=1)
    parser.add_argument("--only", choices=["texts", "pictures", "tables", "speed"], action="append")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/networks.md")
    options = parser.parse_args()
    wanted = options.only or ["texts", "pictures", "tables", "speed"]
    parts, overhead = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        if "texts" in wanted:
            rows = dataset(workspace, "chat/construction-faq-en", "category")
            parts.append(quality("Texts: 503 questions, 39 chapters", rows, [f"classify/{name}" for name in TEXTS], options))
        if "pictures" in wanted:
            rows = dataset(workspace, "image/openmoji-kinds", None)
            parts.append(quality("Pictures: OpenMoji in nine kinds", rows, [f"classify/{name}" for name in PICTURES], options))
        if "tables" in wanted:
            for name in ("wine", "breast_cancer"):
                parts.append(quality(f"Table: {name}", sklearn_table(name), [f"classify/{one}" for one in TABLE], options))
            presets = ["regress/ridge", "regress/boosting", "regress/mlp"]
            parts.append(quality("Table: diabetes, numbers", sklearn_table("diabetes"), presets, options))
        if "speed" in wanted:
            table, overhead = speed()
            parts.append(table)
    body = "\n\n".join(parts)
    print(body)
    if options.write_docs:
        page = docs.ROOT / "docs" / "networks.md"
        docs.write_between(page, "networks", body, packages=("torch", "transformers", "timm", "scikit-learn"))
    return int(overhead > MOST_OVERHEAD)


def dataset(workspace: Path, recipe: str, target: str | None) -> Examples:
    """All rows of a Dataset that is built here, whatever split they are in."""
    from studio.cli.main import run

    assert run(["--workspace", str(workspace), "data", "build", recipe]) == 0
    [folder] = (workspace / "datasets" / recipe.split("/")[1]).iterdir()
    parts = [read_examples(folder, split, Wanted(target, "category")) for split in ("train", "validation", "test")]
    return Examples(
        ids=[identity for part in parts for identity in part.ids],
        columns=parts[0].columns,
        features=pd.concat([part.features for part in parts], ignore_index=True),
        target=np.concatenate([part.target for part in parts]),
        target_name=parts[0].target_name,
        others=pd.DataFrame(index=range(sum(map(len, parts)))),
    )


def sklearn_table(name: str) -> Examples:
    """A table of scikit-learn."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")(as_frame=True)
    target = found.target.to_numpy(np.float64) if name == "diabetes" else np.asarray(found.target_names)[found.target]
    return Examples(
        ids=[str(row) for row in range(len(target))],
        columns=tuple(Column(name=column, type="number") for column in found.data.columns),
        features=found.data,
        target=target if name == "diabetes" else np.array([str(value) for value in target], dtype=object),
        target_name="target",
        others=pd.DataFrame(index=range(len(target))),
    )


def folds_of(rows: Examples, count: int) -> list[Fold]:
    """Folds with equal shares of the labels, an eighth of each fold's training rows held out."""
    from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

    numbers = rows.target.dtype != object
    splitter = (KFold if numbers else StratifiedKFold)(count, shuffle=True, random_state=0)
    found = []
    for number, (train, test) in enumerate(splitter.split(np.zeros(len(rows)), rows.target)):
        kept, held = train_test_split(train, test_size=0.125, random_state=number)
        found.append(Fold(rows.part(kept), rows.part(held), rows.part(test)))
    return found


def quality(title: str, rows: Examples, presets: list[str], options: argparse.Namespace) -> str:
    """One table: accuracy or R2 over the rows of all folds, and CPU seconds of a fold's training."""
    folds = folds_of(rows, options.folds)
    numbers = rows.target.dtype != object
    metric = "R2" if numbers else "accuracy"
    lines = [f"**{title}** ({len(rows)} rows, {options.folds} folds)", "", f"| preset | {metric} | 95% | rows | CPU s a fold |"]
    lines += ["|---|---:|---|---:|---:|"]
    if not numbers:
        right = [np.mean(fold.test.target == commonest(fold.train)) for fold in folds]
        lines.append(f"| always the commonest label | {np.mean(right):.3f} | | {len(rows)} | |")
    for preset in presets:
        some = folds[: options.slow_folds] if preset in SLOW else folds
        truth, said, seconds = [], [], []
        for fold in some:
            began = time.process_time()
            predictor = fitted(preset, fold)
            seconds.append(time.process_time() - began)
            truth.append(fold.test.target)
            said.append(predictor.predict(fold.test.features).values)
        value, low, high = interval(np.concatenate(truth), np.concatenate(said), numbers)
        lines.append(f"| {preset} | {value:.3f} | {low:.3f} to {high:.3f} | {sum(map(len, truth))} | {np.mean(seconds):.1f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def commonest(rows: Examples) -> str:
    """The most frequent label."""
    names, counts = np.unique(rows.target, return_counts=True)
    return str(names[counts.argmax()])


def interval(truth: np.ndarray, said: np.ndarray, numbers: bool) -> tuple[float, float, float]:
    """Accuracy or R2 with a 95% interval from 2,000 draws of the rows."""
    from sklearn.metrics import r2_score

    def value(places: np.ndarray) -> float:
        return r2_score(truth[places], said[places]) if numbers else float(np.mean(truth[places] == said[places]))

    draws = np.random.default_rng(0).integers(0, len(truth), (2000, len(truth)))
    found = np.quantile([value(places) for places in draws], [0.025, 0.975])
    return value(np.arange(len(truth))), float(found[0]), float(found[1])


def fitted(name: str, fold: Fold) -> Any:
    """A predictor of a preset, as ``studio train`` makes it; what needs no validation rows learns from them too."""
    preset: Any = load_preset(find_content("adapters", name))
    stops = hasattr(preset.estimator, "epochs") or getattr(preset.estimator, "patience", None) is not None
    train = fold.train if stops else joined(fold.train, fold.held)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder), preset, train, fold.held if stops else None, False, lambda _: None, StopOnSignal())
        return FITTERS.get(preset.estimator.type)(job, describe(job))


def joined(one: Examples, two: Examples) -> Examples:
    """Both, one after the other."""
    features = pd.concat([one.features, two.features], ignore_index=True)
    target = np.concatenate([one.target, two.target])
    others = pd.DataFrame(index=range(len(target)))
    return Examples(one.ids + two.ids, one.columns, features, target, one.target_name, others=others)


def speed() -> tuple[str, float]:
    """CPU time of a step of ours beside a plain loop of PyTorch on the same network and rows, in turn."""
    lines = ["**A step beside a plain loop** (CPU milliseconds, median of steps, sides in turn)", ""]
    lines += ["| network | studio | plain PyTorch | studio is |", "|---|---:|---:|---:|"]
    worst = 0.0
    for name, both in (("small-cnn, 32 pictures of 64 px", cnn_sides), ("MiniLM whole, 16 texts of 32 tokens", encoder_sides)):
        ours, plain = both()
        took: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(12):
            for side, step in (("ours", ours), ("plain", plain)):
                began = time.process_time()
                step()
                took[side].append(1000 * (time.process_time() - began))
        mine, theirs = median(took["ours"][2:]), median(took["plain"][2:])
        worst = max(worst, mine / theirs)
        lines.append(f"| {name} | {mine:.0f} | {theirs:.0f} | {mine / theirs:.2f}x |")
    lines += ["", f"Target: at most {MOST_OVERHEAD}x. The studio's step also writes its line into `metrics.jsonl`."]
    return "\n".join(lines), worst


def cnn_sides() -> tuple[Callable[[], None], Callable[[], None]]:
    """The same network of pictures twice, and how each takes a step."""
    import torch

    from studio.models.predictors.picture_layers import SmallCnn

    shape = {"labels": 9, "depth": 3, "width": 32, "activation_name": "relu", "dropout": 0.1}
    pixels = torch.rand(32, 3, 64, 64)
    return _sides({"type": "small-cnn"}, lambda: SmallCnn(**shape), (pixels,), torch.arange(32) % 9)


def encoder_sides() -> tuple[Callable[[], None], Callable[[], None]]:
    """The same encoder twice."""
    import torch

    from studio.models.bases import resolve_base
    from studio.models.predictors.encoder import EncoderNetwork, load_encoder

    folder = resolve_base("minilm-l6", use="text encoder").folder
    inputs = (torch.randint(1000, 20000, (16, 32)), torch.ones((16, 32), dtype=torch.bool))
    return _sides(
        {"type": "bert"}, lambda: EncoderNetwork(load_encoder(folder), labels=39, dropout=0.1), inputs, torch.arange(16)
    )


def _sides(
    settings: dict[str, Any], build: Callable[[], Any], inputs: tuple[Any, ...], targets: Any
) -> tuple[Callable[[], None], Callable[[], None]]:
    """A step of the studio's loop, and one of a loop as PyTorch's tutorials have it."""
    import torch

    from studio.schema.loading import validate
    from studio.schema.predictors import ClassifierPreset
    from studio.train.predictors.learning import Learner
    from studio.train.predictors.objective import Objective, Readable, Stages
    from studio.train.recording import MetricsFile

    preset = validate({"kind": "classifier", "estimator": settings | {"batch_size": len(targets)}}, ClassifierPreset)
    folder = Path(tempfile.mkdtemp())
    job = Job(folder, preset, None, None, False, lambda _: None, StopOnSignal())  # type: ignore[arg-type]
    rows = Readable(lambda places, _draws: tuple(value[places] for value in inputs), targets)
    learner = Learner(job, build(), rows, None, Objective(labels=True), np.arange(len(targets)), Stages())
    learner.metrics = MetricsFile(folder / "metrics.jsonl", resumed_at=0)
    learner._set_modes(1)
    network = build().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def plain() -> None:
        loss = torch.nn.functional.cross_entropy(network(*inputs), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return lambda: learner._step(list(range(len(targets)))), plain


if __name__ == "__main__":
    sys.exit(main())
