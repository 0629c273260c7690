"""Whole tables from files whose rows are objects: JSON, JSON lines, XML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import DataError
from studio.data.frames.base import BadRow, Frame, FrameOptions, plain_columns
from studio.data.readers import Raw, ReadOptions, read_file


def read_rows_frame(path: Path, options: FrameOptions) -> Frame:
    """A table whose columns are the keys of its objects, in the order in which they first come; a key that is not there is
    missing.

    Raises:
        DataError: there is no row, rows lie under several keys, or the bytes are not in the encoding that was named.
    """
    notes: list[str] = []
    asked = ReadOptions(encoding=options.encoding, records=options.records, note=notes.append)
    values: dict[str, list[Any]] = {}
    numbers: list[int] = []
    bad: list[BadRow] = []
    for number, found in enumerate(read_file(path, asked), start=1):
        if not isinstance(found, Raw):
            if found.whole and found.place != "the file":
                raise DataError(f"{path}: {found.place} {found.reason}. Repair it, or give another file.")
            if found.place != "the file":
                bad.append(BadRow(number, f"{found.reason} ({found.place})"))
        elif not isinstance(found.value, dict):
            bad.append(BadRow(number, f"is no object with named values ({found.place})", str(found.value)[:200]))
        else:
            for name in found.value:
                values.setdefault(name, [None] * len(numbers))
            for name, column in values.items():
                column.append(found.value.get(name))
            numbers.append(number)
    if not numbers and not bad:
        raise DataError(f"{path} holds no rows. Give a list of objects, or one object on each line.")
    columns = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in values.items()})
    return Frame(plain_columns(columns), np.array(numbers, dtype=np.int64), bad, notes)
