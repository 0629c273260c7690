"""Whole tables from csv and tsv: Arrow where every row is sound, else row by row, so that each bad one is named."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv

from studio.core.errors import DataError
from studio.data.frames.base import BadRow, Frame, FrameOptions, whole_frame
from studio.data.readers import Damage, Raw, ReadOptions
from studio.data.readers.csv import header_names, read_csv, separator_of
from studio.data.readers.encoding import HALVES, known, open_text, settled, with_mark
from studio.data.readers.repair import mended, without_halves

_BLOCK = 16 << 20


def read_csv_frame(path: Path, options: FrameOptions) -> Frame:
    """A table of text: nothing is guessed about its values.

    Raises:
        DataError: two columns have the same name, there is no row, or the bytes are not in the encoding that was named.
    """
    notes: list[str] = []
    asked = ReadOptions(encoding=options.encoding, delimiter=options.delimiter, header=options.header, note=notes.append)
    asked = settled(path, asked)
    with open_text(path, asked, HALVES) as stream:
        delimiter, skip = separator_of(stream, tabs=path.suffix.lower() == ".tsv", said=options.delimiter)
        names = list(options.header or ())
        if not names:
            lines = csv.reader(stream, delimiter=delimiter)
            names = without_halves(header_names(path, next((line for line in lines if line), [])))
            skip += lines.line_num
    table = _sound(path, known(asked), names, delimiter, skip)
    frame = whole_frame(table.to_pandas()) if table is not None else _row_by_row(path, asked, names)
    frame.notes += notes
    if not len(frame.columns) and not frame.bad:
        raise DataError(f"{path} has a line of names and no rows. Add rows.")
    return frame


def _sound(path: Path, encoding: str, names: Sequence[str], delimiter: str, skip: int) -> pa.Table | None:
    """The table, or None where a row has more or fewer values than there are columns, or a quote is never closed."""
    data = path.read_bytes()
    if with_mark(encoding) != "utf-8-sig":
        data = data.decode(encoding, HALVES).encode("utf-8", HALVES)
    # A quote that nobody closes would swallow all rows below it without a word.
    if data.count(b'"') % 2:
        return None
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK, skip_rows=skip, column_names=list(names)),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        if re.search("empty", str(error), re.I):
            return pa.table({name: pa.array([], pa.string()) for name in names})
        return None


def _row_by_row(path: Path, options: ReadOptions, names: Sequence[str]) -> Frame:
    """The table as :func:`studio.data.readers.csv.read_csv` reads it, with every bad row."""
    values: list[list[str]] = [[] for _ in names]
    numbers: list[int] = []
    bad: list[BadRow] = []
    for number, found in enumerate(mended(read_csv(path, options), options.note), start=1):
        if isinstance(found, Raw):
            numbers.append(number)
            for column, value in zip(values, found.value.values(), strict=True):
                column.append(value)
        elif isinstance(found, Damage) and found.place != "the file":
            bad.append(BadRow(number, found.reason))
    columns = pd.DataFrame({name: pd.Series(column, dtype="str") for name, column in zip(names, values, strict=True)})
    return Frame(columns, np.array(numbers, dtype=np.int64), bad)
