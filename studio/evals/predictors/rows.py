"""Rows of a Dataset as a predictor is measured on them: truth, features, what belongs together, what was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import StudioError, UserError, nearest
from studio.core.workspace import read_dataset, run_dataset
from studio.data.examples import Examples, Wanted, read_examples
from studio.evals.task import NotComputedError, TaskContext
from studio.models.predictors.base import PredictorInfo
from studio.schema.columns import Column

# A column of numbers with more different ones is cut at its quartiles.
_MOST_NUMBERS = 12


def read_rows(context: TaskContext[Any], info: PredictorInfo) -> tuple[Examples, list[str]]:
    """The rows that are asked, and what the reader must be warned of.

    Raises:
        UserError: there are no rows, a column is missing, or rows were trained on and the suite does not allow it.
        NotComputedError: no dataset is named.
    """
    task = context.task
    folder, split = context.dataset_folder(task.data.dataset), task.data.split
    try:
        rows = read_examples(folder, split, wanted_of(info, task.label_column))
    except UserError as error:
        names = [column.name for column in info.columns]
        read = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
        raise UserError(
            f"{context.targets['tuned'].name} predicts {info.target} from {read}, and {folder.parent.name} does not fit it: "
            f"{error}"
        ) from error
    if not len(rows):
        raise UserError(
            f"the split '{split}' of the dataset {folder.parent.name} has no rows with a value in {rows.target_name}. Choose "
            "another with --set data.split=validation, or build the dataset with a larger share for it."
        )
    rows, notes = _without_trained(context, folder, rows, info)
    if split == "validation":
        notes.append(
            "The validation split chose threshold, interval or stopping in training, so its scores are a little flattering."
        )
    places = context.draw(range(len(rows)))
    return rows.part(places) if len(places) < len(rows) else rows, [*rows.notes, *notes]


def wanted_of(info: PredictorInfo, label_column: str | None = None) -> Wanted:
    """What a predictor wants of rows: its columns, and what it predicts (another column may hold the truth)."""
    kind = "category" if info.task == "labels" else "number"
    return Wanted(label_column or info.target, kind, tuple(column.name for column in info.columns))


def training_rows(context: TaskContext[Any], info: PredictorInfo) -> Examples:
    """The rows that the Run learned from.

    Raises:
        UserError, StudioError: they cannot be found or read any more.
    """
    if context.run is None:
        raise UserError("the model is not a run, so nothing says what it was trained on.")
    return read_examples(run_dataset(context.run, context.workspace), "train", wanted_of(info))


def _without_trained(context: TaskContext[Any], folder: Path, rows: Examples, info: PredictorInfo) -> tuple[Examples, list[str]]:
    """The rows as the suite allows them where some were trained on, and what has to be said of it.

    Raises:
        UserError: some were trained on, and that is refused.
    """
    try:
        training = training_rows(context, info)
    except (UserError, StudioError) as error:
        return rows, [f"Whether these rows were trained on could not be checked: {error}"]
    assert context.run is not None
    trained_on = run_dataset(context.run, context.workspace)
    same = read_dataset(trained_on).name == read_dataset(folder).name
    known, prints = set(training.ids) if same else set(), set(_fingerprints(training))
    alike = [fingerprint in prints for fingerprint in _fingerprints(rows)]
    # Rows of a small table may well be alike and yet of different people; texts and pictures are the same ones.
    told_by_itself = any(column.type in {"text", "picture"} for column in rows.columns)
    counts = told_by_itself or trained_on != folder
    leaked = [place for place, name in enumerate(rows.ids) if name in known or (counts and alike[place])]
    notes = []
    if not counts and (twins := sum(alike)):
        notes.append(
            f"{twins} of {len(rows)} rows have the same values in all columns, {rows.target_name} included, as a row that was "
            "trained on. Where these are copies and no others like them, build the dataset with the step exact_duplicates."
        )
    if not leaked:
        return rows, notes
    return _allowed(context, rows, leaked, notes)


def _allowed(context: TaskContext[Any], rows: Examples, leaked: Sequence[int], notes: list[str]) -> tuple[Examples, list[str]]:
    """What the suite's ``training_rows`` makes of rows that were trained on.

    Raises:
        UserError: it refuses them, or none is left.
    """
    data = context.task.data
    if data.training_rows == "refuse":
        raise UserError(
            f"{len(leaked)} of {len(rows)} rows of the split '{data.split}' were in this run's training data (the first: "
            f"{rows.ids[leaked[0]]}), so the scores would say nothing about new rows. Choose another split or dataset, or "
            "--set data.training_rows=drop (leave them out) or keep (measure them anyway)."
        )
    if data.training_rows == "keep":
        warning = (
            f"{len(leaked)} of {len(rows)} rows WERE TRAINED ON. These scores show what was memorised, not how the model does on "
            "new rows."
        )
        return rows, [*notes, warning]
    gone = set(leaked)
    kept = [place for place in range(len(rows)) if place not in gone]
    if not kept:
        raise UserError(f"every row of the split '{data.split}' was in the training data; none is left to ask.")
    warning = f"{len(leaked)} of {len(rows)} rows were left out because they were in the training data."
    return rows.part(kept), [*notes, warning]


def _fingerprints(rows: Examples) -> list[int]:
    """Hash of each row's features and target; texts blind to case and white space, pictures by their bytes."""
    columns = {f"column {place}": _comparable(rows.features[column.name], column) for place, column in enumerate(rows.columns)}
    hashed = pd.util.hash_pandas_object(pd.DataFrame(columns | {"target": pd.Series(rows.target)}), index=False)
    return [int(value) for value in hashed]


def _comparable(values: pd.Series, column: Column) -> pd.Series:
    """Values of a column, equal where they mean the same."""
    if column.type == "text":
        return values.map(lambda value: "" if value is None else " ".join(str(value).casefold().split()))
    if column.type == "picture":
        return values.map(lambda path: "" if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest())
    return values


def column_values(rows: Examples, name: str, setting: str) -> list[str | None]:
    """What stands in a column of the rows as text, None where nothing does; many different numbers as quarters of the rows.

    Args:
        setting: in which the name stands.
    Raises:
        NotComputedError: there is no such column (the nearest name is offered).
    """
    values = rows.features[name] if name in rows.features else rows.others.get(name)
    if values is None:
        columns = columns_of(rows)
        raise NotComputedError(
            f"{setting}: the rows have no column '{name}'.{nearest(name, columns)} Columns: {', '.join(columns) or 'none'}."
        )
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and values.nunique() > _MOST_NUMBERS:
        return quarters(values.to_numpy(np.float64))
    return [_text(value) for value in values]


def columns_of(rows: Examples) -> list[str]:
    """Names of all columns beside the target, features first."""
    return [name for name in dict.fromkeys([*rows.features, *map(str, rows.others)]) if name != rows.target_name]


def quarters(values: np.ndarray) -> list[str | None]:
    """Which quarter of the rows each number lies in, named by its ends; None for what is missing, [n]."""
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1]))
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(0, len(edges) - 2))
    last = len(edges) - 2
    names = [
        f"{low:.6g} to {'' if place == last else 'below '}{high:.6g}"
        for place, (low, high) in enumerate(pairwise(edges.tolist()))
    ]
    return [names[place] if np.isfinite(value) else None for place, value in zip(places, values, strict=True)]


def _text(value: Any) -> str | None:
    """A value as text; 1.0 as ``1``."""
    if value is None or value != value or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
