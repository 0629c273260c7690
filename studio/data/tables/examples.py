"""Rows of a table as a predictor sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from studio.core.errors import UserError, nearest
from studio.core.records import DatasetRecord
from studio.data.examples import Examples, Wanted
from studio.data.tables.rows import ID, SOURCE, column_facts, known_columns, read_table_split, table_record
from studio.schema.columns import Column


def read_table_examples(folder: Path, split: str, wanted: Wanted) -> Examples:
    """A split of a table with its target.

    Raises:
        UserError: there is no such split or column, the target has no value in this split, or it holds no numbers where
            numbers are wanted.
        StudioError: a file's bytes are not those that were written.
    """
    record = table_record(folder)
    frame = read_table_split(folder, split)
    columns = known_columns(record)
    notes: list[str] = []
    target = _target_name(record, wanted, columns)
    features = _features(record, wanted, columns, target, notes)
    if target is not None:
        frame = _with_target(frame, target, split, record.name, notes)
    group = next((facts["name"] for facts in column_facts(record) if facts["role"] == "group"), None)
    others = [name for name in columns if name not in features and name != target]
    return Examples(
        ids=frame[ID].tolist(),
        columns=tuple(columns[name] for name in features),
        features=pd.DataFrame({name: _values(frame[name], columns[name].type) for name in features}),
        target=None if target is None else _target(frame[target], columns[target], wanted, record.name),
        target_name=target,
        groups=None if group is None else [_text(value) for value in frame[group]],
        others=pd.DataFrame({SOURCE: frame[SOURCE], **{name: _values(frame[name], columns[name].type) for name in others}}),
        notes=notes,
    )


def _target_name(record: DatasetRecord, wanted: Wanted, columns: dict[str, Column]) -> str | None:
    """The column that is predicted."""
    if wanted.target_type is None:
        return None
    own = (record.model_extra or {}).get("target")
    name = wanted.target or (own["name"] if own else None)
    if name is None:
        raise UserError(
            f"the dataset {record.name} names no target. Say which column is predicted: --set target=COLUMN. "
            f"Columns: {', '.join(columns)}."
        )
    _check(name, "target", record, columns)
    return str(name)


def _features(
    record: DatasetRecord, wanted: Wanted, columns: dict[str, Column], target: str | None, notes: list[str]
) -> list[str]:
    """The columns that are predicted from."""
    if wanted.features is not None:
        for name in wanted.features:
            _check(name, "features", record, columns)
        if target in wanted.features:
            raise UserError(f"features: {target!r} is the target. Leave it out of the features.")
        return list(wanted.features)
    named = [facts["name"] for facts in column_facts(record) if facts["feature"] and facts["name"] != target]
    left = [facts["name"] for facts in column_facts(record) if not facts["feature"] and facts["name"] != target]
    if left:
        notes.append(f"not predicted from: {', '.join(left)}")
    if not named:
        raise UserError(f"the dataset {record.name} has no column to predict from. Name some: --set features=[COLUMN].")
    return named


def _check(name: str, place: str, record: DatasetRecord, columns: dict[str, Column]) -> None:
    """Refuse a name that no column has."""
    if name not in columns:
        raise UserError(
            f"{place}: the dataset {record.name} has no column {name!r}.{nearest(name, columns)} Columns: {', '.join(columns)}."
        )


def _with_target(frame: pd.DataFrame, target: str, split: str, name: str, notes: list[str]) -> pd.DataFrame:
    """The rows that have a value of the target."""
    there = frame[target].notna()
    if not there.any():
        raise UserError(f"no row of {split} of {name} has a value of {target!r}. Choose another target.")
    if not there.all():
        notes.append(f"{int((~there).sum()):,} of {len(frame):,} rows of {split} have no {target} and were left out")
    return frame[there].reset_index(drop=True)


def _target(values: pd.Series, column: Column, wanted: Wanted, name: str) -> np.ndarray:
    """Labels or numbers of the target."""
    if wanted.target_type == "number":
        if column.type != "number":
            raise UserError(
                f"target: {column.name!r} of {name} is of type {column.type}, and numbers are wanted. Predict labels "
                "instead (a preset of classify/), or say 'type: number' under 'columns' of the recipe."
            )
        return values.to_numpy(np.float64)
    if column.type == "time":
        raise UserError(f"target: {column.name!r} of {name} is a time, and labels are wanted. Choose another column.")
    if column.type != "number":
        return values.to_numpy(object)
    return np.array([_label(value) for value in values.to_numpy(np.float64).tolist()], dtype=object)


def _values(values: pd.Series, kind: str) -> pd.Series | np.ndarray:
    """A column as :class:`studio.data.examples.Examples` has it."""
    if kind == "number":
        return values.to_numpy(np.float64, na_value=np.nan)
    if kind == "time":
        moments: pd.Series = values.dt.tz_localize(None)
        return moments
    return pd.Series([_text(value) for value in values], dtype=object)


def _text(value: object) -> str | None:
    """A value as text; None where it is missing."""
    return None if value is None or value != value else str(value)


def _label(value: float) -> str:
    """A number as a label; 1.0 as ``1``."""
    return str(int(value)) if value.is_integer() else repr(value)
