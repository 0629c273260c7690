"""Trainings of networks on real rows, small enough for two cores: digits of scikit-learn, questions of the starter corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from studio.data.examples import Examples, Wanted, read_examples
from studio.models.predictors.base import Predictor
from studio.schema.columns import Column
from studio.schema.loading import validate
from studio.schema.predictors import ClassifierPreset, RegressorPreset
from studio.train.predictors.describing import describe
from studio.train.predictors.fitting import FITTERS
from studio.train.predictors.job import Job
from studio.train.recording import StopOnSignal
from tests.conftest import call_studio


def digits(folder: Path, count: int) -> Examples:
    """The first digits of scikit-learn, 8x8, as PNG files."""
    from sklearn.datasets import load_digits

    found = load_digits()
    paths = []
    for number in range(count):
        path = folder / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((found.images[number] * 255 / 16).round().astype(np.uint8)).save(path)
        paths.append(str(path))
    return one_column("picture", paths, found.target[:count].astype(str))


def questions(workspace: Path) -> tuple[Examples, Examples]:
    """Training and test rows of the starter corpus: a question, and which of 39 chapters answers it."""
    assert call_studio("--workspace", workspace, "data", "build", "chat/construction-faq-en") == 0
    [folder] = (workspace / "datasets" / "construction-faq-en").iterdir()
    train, test = (read_examples(folder, split, Wanted("category", "category")) for split in ("train", "test"))
    return train, test


def one_column(kind: str, values: Any, labels: Any) -> Examples:
    """Examples with one column of texts or pictures."""
    return Examples(
        ids=[f"row-{number}" for number in range(len(values))],
        columns=(Column(name=kind, type=kind),),  # type: ignore[arg-type]
        features=pd.DataFrame({kind: np.array(values, dtype=object)}),
        target=np.array(labels, dtype=object),
        target_name="label",
        others=pd.DataFrame(index=range(len(values))),
    )


def network_job(
    folder: Path,
    train: Examples,
    validation: Examples | None,
    estimator: dict[str, Any],
    *,
    resume: bool = False,
    **preset: Any,
) -> Job:
    """A job in a folder of its own; what it says is in ``job.told``."""
    schema = RegressorPreset if preset.pop("kind", "classifier") == "regressor" else ClassifierPreset
    kind = "regressor" if schema is RegressorPreset else "classifier"
    told: list[str] = []
    settings = validate({"kind": kind, "estimator": estimator, **preset}, schema)
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(folder, settings, train, validation, resume, told.append, StopOnSignal())
    job.told = told  # type: ignore[attr-defined]
    return job


def fit(job: Job) -> Predictor | None:
    """What a training makes of a job."""
    found: Predictor | None = FITTERS.get(job.preset.estimator.type)(job, describe(job))
    return found


def trained(folder: Path, train: Examples, validation: Examples | None, estimator: dict[str, Any], **preset: Any) -> Predictor:
    """A trained predictor."""
    predictor = fit(network_job(folder, train, validation, estimator, **preset))
    assert predictor is not None
    return predictor


def losses(folder: Path, key: str = "loss") -> list[float]:
    """A column of ``metrics.jsonl``."""
    from studio.train.recording import read_metrics

    return [line[key] for line in read_metrics(folder / "metrics.jsonl") if key in line]


def same_weights(one: Any, two: Any) -> bool:
    """True when two networks are bit-equal; networks of other shapes differ."""
    import torch

    first, second = one.network.state_dict(), two.network.state_dict()
    return first.keys() == second.keys() and all(
        first[name].shape == second[name].shape and torch.equal(first[name], second[name]) for name in first
    )
