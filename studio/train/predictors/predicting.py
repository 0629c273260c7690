"""``studio predict`` of labels and numbers: the rows of a file, and what the predictor says of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from studio.core.errors import UserError, nearest
from studio.models.exported import is_export
from studio.models.predictors.base import Prediction, Predictor, PredictorInfo
from studio.models.predictors.exported import open_exported
from studio.models.predictors.opening import open_predictor
from studio.train.kinds import Answers
from studio.train.predictors.files import Found, Known, read_source, read_text
from studio.train.predictors.run import MODEL

OPTIONS = {
    "text": "one text instead of a file",
    "probabilities": "true: one column for each label",
    "missing_columns": "refuse or fill",
    "extra_columns": "ignore or refuse",
}
"""What can be asked, and what it means."""
_ALLOWED = {"missing_columns": ("refuse", "fill"), "extra_columns": ("ignore", "refuse"), "probabilities": ("true", "false")}
PREDICTION, PROBABILITY, LOW, HIGH = "prediction", "probability", "low", "high"
_AT_ONCE = 10_000
"""Rows that are prepared together: a large file needs no more memory than these."""


def predict_file(run_folder: Path, source: str | None, options: Mapping[str, str]) -> Answers:
    """What a finished Run, or an export of one, says of the rows of a file.

    Raises:
        UserError, DataError: the Run has no model, an option is unknown, or the file is not what it takes.
    """
    _check(options)
    predictor = _opened(run_folder)
    found = _found(predictor.info, source, options)
    taken = [name for name in found.rows.columns if name in {PREDICTION, PROBABILITY, LOW, HIGH}]
    if taken:
        raise UserError(f"the file has a column {taken[0]!r} already, which is written here. Rename it.")
    said = predicted(predictor, found.features)
    return Answers(table_of(said, probabilities=options.get("probabilities") == "true"), found.rows, tuple(found.notes))


def _opened(folder: Path) -> Predictor:
    """The predictor of a finished Run, or of a folder that ``studio export`` wrote.

    Raises:
        UserError: the Run is not finished.
    """
    if is_export(folder):
        return open_exported(folder)
    if not (folder / MODEL / "predictor.json").is_file():
        run = f"{folder.parent.name}/{folder.name}"
        raise UserError(f"{run} has no model: its training has not ended. Go on with: studio train --resume {run}")
    return open_predictor(folder / MODEL)


def known_of(info: PredictorInfo, options: Mapping[str, str]) -> Known:
    """What a predictor knows of its columns; ``options`` may say otherwise what is done with missing and unknown ones."""
    changed = {name: options[name] for name in ("missing_columns", "extra_columns") if name in options}
    return Known(info.columns, info.fillings, info.target, {**info.extra, **changed})


def predicted(predictor: Predictor, features: pd.DataFrame) -> Prediction:
    """What a predictor says of any number of rows."""
    parts = [
        predictor.predict(features.iloc[start : start + _AT_ONCE].reset_index(drop=True))
        for start in range(0, len(features), _AT_ONCE)
    ]

    def joined(name: str) -> np.ndarray | None:
        found = [getattr(part, name) for part in parts]
        return None if found[0] is None else np.concatenate(found)

    values = joined("values")
    assert values is not None
    return Prediction(values, parts[0].labels, joined("probabilities"), joined("low"), joined("high"))


def table_of(said: Prediction, *, probabilities: bool) -> pd.DataFrame:
    """The columns that are written: the answer, and its probability (or that of every label) or the interval around it."""
    columns: dict[str, np.ndarray] = {PREDICTION: said.values}
    if said.probabilities is not None and probabilities:
        columns |= {f"{PROBABILITY} of {label}": said.probabilities[:, place] for place, label in enumerate(said.labels)}
    elif said.probabilities is not None:
        place = {label: number for number, label in enumerate(said.labels)}
        given = [place[label] for label in said.values]
        columns[PROBABILITY] = said.probabilities[np.arange(len(given)), given]
    if said.low is not None and said.high is not None:
        columns |= {LOW: said.low, HIGH: said.high}
    return pd.DataFrame(columns)


def _found(info: PredictorInfo, source: str | None, options: Mapping[str, str]) -> Found:
    """The rows that are asked about."""
    known, text = known_of(info, options), options.get("text")
    if text is not None and source is not None:
        raise UserError(f"--text {text!r} and {source}: give one of the two.")
    if text is not None:
        return read_text(known, text)
    if source is None:
        names = ", ".join(column.name for column in info.columns[:6]) + (" …" if len(info.columns) > 6 else "")
        pictures = [column.type for column in info.columns] == ["picture"]
        what = "a picture, or a folder of pictures" if pictures else f"a table with the columns {names}, or '-' for csv by a pipe"
        raise UserError(f"which file? Give {what}.")
    return read_source(known, source)


def _check(options: Mapping[str, str]) -> None:
    """Refuse what cannot be asked."""
    for name, value in options.items():
        if name not in OPTIONS:
            told = ", ".join(f"{key} ({about})" for key, about in OPTIONS.items())
            raise UserError(f"predictors have no option {name!r}.{nearest(name, OPTIONS)} Options: {told}.")
        allowed = _ALLOWED.get(name, ())
        if allowed and value not in allowed:
            raise UserError(f"{name} is {value!r}.{nearest(value, allowed)} Allowed: {', '.join(allowed)}.")
