"""How good a predictor is on the rows of a split, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.core.errors import UserError
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.examples import Examples, read_examples
from studio.models.predictors.base import Prediction, PredictorInfo
from studio.models.predictors.opening import open_predictor
from studio.train.measuring import Measure, Measured, mean_of
from studio.train.predictors.job import wanted_of
from studio.train.predictors.run import MODEL

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset


def measure_predictor(run_folder: Path, preset: AnyPredictorPreset, split: str) -> Measured:
    """The figures of a finished Run.

    Raises:
        UserError: the Dataset has no such split, or none of its rows has a target.
    """
    dataset = run_dataset(read_run(run_folder), Workspace.around(run_folder))
    rows = read_examples(dataset, split, wanted_of(preset))
    if not len(rows):
        raise UserError(f"no row of {dataset.parent.name} in {split} has a target. Build it with more rows.")
    predictor = open_predictor(run_folder / MODEL)
    said = predictor.predict(rows.features)
    measures = _of_labels(said, rows) if predictor.info.task == "labels" else _of_numbers(said, rows, predictor.info)
    return Measured(measures, tuple(rows.ids), tuple(rows.groups) if rows.groups is not None else None)


def _of_labels(said: Prediction, rows: Examples) -> tuple[Measure, ...]:
    """Log loss, accuracy, and balanced accuracy, in which every label of the rows counts the same."""
    assert said.probabilities is not None and rows.target is not None
    place = {label: number for number, label in enumerate(said.labels)}
    # A label that no training row has was given no probability at all.
    came = np.array([said.probabilities[row, place[label]] if label in place else 0.0 for row, label in enumerate(rows.target)])
    small = np.finfo(np.float64).eps  # clipped as scikit-learn's log_loss
    right = (said.values == rows.target).astype(np.float64)
    counts = dict(zip(*np.unique(rows.target.astype(str), return_counts=True), strict=True))
    weights = np.array([len(rows) / (len(counts) * counts[label]) for label in rows.target])
    return (
        mean_of("log_loss", "Log loss", "nats", "lower", -np.log(np.clip(came, small, 1.0))),
        mean_of("accuracy", "Accuracy", "share", "higher", right, right_or_wrong=True),
        mean_of("balanced_accuracy", "Balanced accuracy", "share", "higher", right * weights),
    )


def _of_numbers(said: Prediction, rows: Examples, info: PredictorInfo) -> tuple[Measure, ...]:
    """Absolute and squared errors."""
    assert rows.target is not None
    errors = said.values.astype(np.float64) - rows.target
    unit = info.unit or info.target
    return (
        mean_of("mae", "Mean absolute error", unit, "lower", np.abs(errors)),
        mean_of("mse", "Mean squared error", f"{unit}, squared", "lower", errors**2),
    )
