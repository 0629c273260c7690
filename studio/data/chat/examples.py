"""Conversations as a predictor sees them: what people said as one text, and a column of the rows as the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError, nearest
from studio.data.chat.rows import ChatRow, read_split
from studio.data.chat.turns import turn_text
from studio.data.examples import Examples, Wanted
from studio.schema.columns import Column

TEXT = Column(name="text", type="text", about="what people said, turn after turn")


def read_chat_examples(folder: Path, split: str, wanted: Wanted) -> Examples:
    """A split of a Dataset of conversations as texts with labels.

    Raises:
        UserError: the column of the target is not named or not there; its rows hold no value, or no number where one is wanted.
    """
    rows = read_split(folder, split)
    if wanted.features is not None and wanted.features != (TEXT.name,):
        raise UserError(
            f"features: a row of conversations has one, '{TEXT.name}', and {', '.join(wanted.features)} was asked for."
        )
    notes: list[str] = []
    kept, target = rows, None
    if wanted.target_type is not None:
        kept, target, notes = _with_target(rows, split, wanted, folder.parent.name)
    return Examples(
        ids=[row.id for row in kept],
        columns=(TEXT,),
        features=pd.DataFrame({TEXT.name: np.array([_asked(row) for row in kept], dtype=object)}),
        target=target,
        target_name=wanted.target,
        groups=[row.group for row in kept] if any(row.group for row in kept) else None,
        others=pd.DataFrame([row.meta for row in kept]),
        notes=notes,
    )


def _asked(row: ChatRow) -> str:
    """What people said in a conversation; raw text is what it says itself."""
    if row.is_text:
        return row.text
    return "\n".join(turn_text(turn) for turn in row.messages if turn["role"] == "user")


def _with_target(rows: list[ChatRow], split: str, wanted: Wanted, name: str) -> tuple[list[ChatRow], np.ndarray, list[str]]:
    """The rows that have a value in the target's column, and the values."""
    columns = sorted({key for row in rows for key in row.meta})
    if wanted.target is None:
        raise UserError(f"which column of {name} is predicted? --set target=COLUMN. Columns: {', '.join(columns) or 'none'}.")
    if wanted.target not in columns:
        raise UserError(
            f"the rows of {name} have no column '{wanted.target}'.{nearest(wanted.target, columns)} "
            f"Columns: {', '.join(columns) or 'none'}."
        )
    values = [(row, row.meta.get(wanted.target)) for row in rows]
    kept = [(row, value) for row, value in values if value is not None and value != ""]
    notes = [f"{len(rows) - len(kept)} of {len(rows)} rows of {split} have no {wanted.target} and were left out"]
    if wanted.target_type == "number":
        target = np.array([_number(value, row, wanted.target) for row, value in kept], dtype=np.float64)
    else:
        target = np.array([_label(value) for _, value in kept], dtype=object)
    return [row for row, _ in kept], target, notes if len(kept) < len(rows) else []


def _label(value: Any) -> str:
    """A value of ``meta`` as a label; 1.0 as ``1``."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: Any, row: ChatRow, name: str) -> float:
    """A value of ``meta`` as a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(
            f"row {row.id}: '{name}' is {value!r} and no number. Predict labels instead: a preset of classify/."
        ) from None
