"""What can be known to be wrong before a predictor is trained, each in one sentence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.core.errors import DataError, UserError
from studio.core.records import DatasetRecord
from studio.data.examples import Examples
from studio.data.parquet import read_whole_dataset
from studio.schema.columns import Column
from studio.train.predictors.job import labels_of, read_rows
from studio.train.predictors.resampling import check_smote

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset

TEXT_NETWORKS = ("bert", "lstm", "gru", "text-cnn")
PICTURE_NETWORKS = ("resnet", "mobilenet", "small-cnn")


def check_data(preset: AnyPredictorPreset, folder: Path) -> tuple[DatasetRecord, dict[str, Any] | None]:
    """Check a preset against the Dataset it is to learn from.

    Returns:
        the Dataset's record, and the record of the base weights, None where it starts from none.
    Raises:
        UserError, DataError: they do not fit each other.
    """
    record = read_whole_dataset(folder)
    train, validation = read_rows(folder, preset, ("train", "validation"))
    assert train is not None
    check_columns(preset.estimator.type, train.columns, record.name)
    check_target(preset, train, record.name)
    check_labels(preset, train, validation, record.name)
    return record, base_of(preset)


def check_columns(estimator: str, columns: tuple[Column, ...], name: str) -> None:
    """Networks that read texts or pictures read one column, and nothing else.

    Raises:
        UserError: the Dataset's features are others.
    """
    if not columns:
        raise UserError(f"the dataset {name} leaves no column to predict from. Name some: --set 'features=[a, b]'")
    for networks, kind in ((TEXT_NETWORKS, "text"), (PICTURE_NETWORKS, "picture")):
        fitting = [column.name for column in columns if column.type == kind]
        if estimator in networks and (len(columns) != 1 or not fitting):
            others = ", ".join(f"{column.name} ({column.type})" for column in columns[:6])
            remedy = (
                f"Name it: --set 'features=[{fitting[0]}]'" if fitting else "Take another preset, for example classify/boosting."
            )
            raise UserError(f"{estimator} reads one column of type {kind}, and {name} has {others}. {remedy}")
    if estimator == "naive-bayes":
        _check_bayes(columns)


def _check_bayes(columns: tuple[Column, ...]) -> None:
    """Shares of words and sizes of numbers have different distributions, and naive Bayes knows one at a time.

    Raises:
        UserError: both are there.
    """
    sizes = [column.name for column in columns if column.type in {"number", "time", "picture"}]
    shares = [column.name for column in columns if column.type in {"text", "category"}]
    if sizes and shares:
        raise UserError(
            f"naive-bayes takes either numbers ({', '.join(sizes[:4])}) or texts and categories ({', '.join(shares[:4])}), not "
            f"both. Choose: --set 'features=[{', '.join(sizes[:4])}]', or take classify/logistic or classify/boosting."
        )


def check_labels(preset: AnyPredictorPreset, train: Examples, validation: Examples | None, name: str) -> None:
    """What a preset of labels asks for beyond the labels themselves.

    Raises:
        UserError: rows between neighbours or a chosen threshold cannot be had from these rows.
    """
    if preset.kind != "classifier":
        return
    assert train.target is not None
    check_smote(preset, train.columns, train.target)
    if preset.threshold == "likeliest":
        return
    labels = labels_of(train)
    if len(labels) != 2:
        raise UserError(
            f"threshold tuned chooses between two labels, and {train.target_name} of {name} has {len(labels)}. "
            "Set threshold: likeliest."
        )
    held = set(labels_of(validation)) if validation is not None else set()
    if not set(labels) <= held:
        raise UserError(
            f"threshold tuned is chosen on validation rows, and {name} has none with {train.target_name} = "
            f"{', '.join(sorted(set(labels) - held))}. Build it with more validation rows, or set threshold: likeliest."
        )


def check_target(preset: AnyPredictorPreset, train: Examples, name: str) -> None:
    """Labels that can be told apart, numbers that differ.

    Raises:
        DataError: the target is constant, or has far too many labels.
    """
    assert train.target is not None
    if preset.kind == "regressor":
        if np.ptp(train.target) == 0:
            raise DataError(f"every row of {name} has {train.target_name} = {train.target[0]:g}: there is nothing to predict.")
        if preset.log_target and train.target.min() <= 0:
            raise DataError(
                f"log_target needs targets above 0, and {train.target_name} goes down to {train.target.min():g}. "
                "Set log_target: false."
            )
        return
    counts = Counter(train.target)
    if len(counts) == 1:
        raise DataError(
            f"every training row of {name} has {train.target_name} = {next(iter(counts))!r}: there is nothing to tell apart."
        )
    if len(counts) > max(20, len(train) / 2):
        raise DataError(
            f"{train.target_name} has {len(counts):,} different values in {len(train):,} training rows, too many for labels. "
            "Predict a number (regress/…), or name another target: --set target=COLUMN"
        )


def base_of(preset: AnyPredictorPreset) -> dict[str, Any] | None:
    """The record of the base weights that a preset starts from; None where it starts from none.

    Raises:
        UserError: a base is named that is not wanted, or none can be found.
    """
    from studio.train.predictors.fitting import BASES

    if preset.estimator.type in BASES:
        record: dict[str, Any] | None = BASES.get(preset.estimator.type)(preset)
        return record
    if preset.model is not None:
        raise UserError(f"--model {preset.model}: {preset.estimator.type} starts from nothing and has no base. Leave it out.")
    return None
