"""The predictors under measurement: the Run's own, another Run's, and what answers without looking at a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.evals.labelled import PREDICTING
from studio.evals.numbers import number
from studio.evals.targets import Target
from studio.evals.task import TaskContext
from studio.models.predictors.base import Predictor, PredictorInfo
from studio.models.predictors.opening import open_predictor

MODEL = "model"


class Baseline(Predictor):
    """What can be said without looking at a row: the shares of the labels in the training rows, or their mean."""

    form = "baseline"

    def __init__(self, info: PredictorInfo) -> None:
        """``info``: of the predictor that it is held against."""
        super().__init__(info.model_copy(update={"threshold": None, "interval": {}, "form": self.form}))

    def scores(self, features: pd.DataFrame) -> np.ndarray:
        """See :meth:`studio.models.predictors.base.Predictor.scores`."""
        if self.info.task == "numbers":
            return np.full(len(features), self.info.baseline["mean"])
        shares = np.array([self.info.baseline.get(label, 0.0) for label in self.info.labels])
        return np.tile(shares / shares.sum(), (len(features), 1))

    def write(self, folder: Path) -> None:
        """It is part of every predictor's description."""
        raise NotImplementedError("a baseline is not saved")

    @classmethod
    def load(cls, folder: Path, info: PredictorInfo) -> Baseline:  # noqa: ARG003 - nothing beyond the description
        """The baseline of a saved predictor."""
        return cls(info)

    @property
    def said(self) -> str:
        """What it always says, for people."""
        if self.info.task == "numbers":
            return f"always saying the mean ({number(self.info.baseline['mean'])})"
        commonest = max(self.info.labels, key=lambda label: self.info.baseline.get(label, 0.0))
        return f"always saying {commonest} (the commonest label in training)"


def open_models(context: TaskContext[Any]) -> dict[str, Predictor]:
    """Label (``tuned``, ``base``) to its predictor.

    Raises:
        UserError: a Run is not finished, or the two do not predict the same.
        StudioError: a model is damaged.
    """
    found: dict[str, Predictor] = {}
    for label in context.labels:
        target = context.targets[label]
        found[label] = Baseline(found["tuned"].info) if target.own_base else _opened(target)
    tuned, base = found["tuned"].info, found.get("base", found["tuned"]).info
    if (tuned.task, tuned.target) != (base.task, base.target):
        raise UserError(
            f"{context.targets['tuned'].name} predicts {tuned.target} ({tuned.task}), and {context.targets['base'].name} "
            f"predicts {base.target} ({base.task}): there is nothing to compare. Give another with --baseline, or --baseline "
            "none."
        )
    return found


def _opened(target: Target) -> Predictor:
    """The predictor of a Run.

    Raises:
        UserError: it is no Run of a predictor, or not finished.
    """
    record = read_run(target.run) if target.run is not None else None
    if target.run is None or record is None or record.kind not in PREDICTING:
        raise UserError(
            f"{target.name} is no {' or '.join(PREDICTING)}, and a run of these kinds is compared with another one. Give one "
            "with --baseline, or leave it out for what can be said without looking at a row."
        )
    if record.status != "finished":
        raise UserError(
            f"the run {target.name} is {record.status} and cannot be measured. Finish it: studio train --resume {record.id}"
        )
    if target.export is not None:
        from studio.models.predictors.exported import open_exported

        return open_exported(target.export)
    return open_predictor(target.run / MODEL)


def described(predictor: Predictor, target: Target) -> dict[str, Any]:
    """What a model is, for the report."""
    info = predictor.info
    if isinstance(predictor, Baseline):
        return {"kind": "baseline", "name": predictor.said}
    assert target.run is not None
    record: RunRecord = read_run(target.run)
    return {
        "kind": "predictor",
        "name": record.name,
        "id": record.id,
        "path": str(target.export or target.run),
        "method": record.method,
        "base": record.base.get("name") if record.base.get("source") not in {"scratch", None} else None,
        "base_sha256": record.base.get("sha256"),
        "target": info.target,
        "columns": [column.name for column in info.columns],
    }
