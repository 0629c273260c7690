"""Whole tables from the sheets of xlsx files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd

from studio.core.errors import DataError, UserError, nearest
from studio.data.frames.base import Frame, FrameOptions, plain_columns, whole_frame
from studio.data.readers.csv import header_names


def read_workbook(path: Path, options: FrameOptions) -> Frame:
    """A sheet whose first line that is not empty names the columns; formulas count as the values that were saved with them.

    Raises:
        DataError: the file is no xlsx file, or has no rows; several sheets hold something and none was named.
        UserError: there is no such sheet.
    """
    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            name = _sheet(path, book, options.sheet)
            cells = book.parse(name, header=None, dtype=object, keep_default_na=False, na_values=[""])
    except (zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an xlsx file ({error}). Save it again, or as csv.") from error
    cells = cells.dropna(how="all").dropna(how="all", axis="columns")
    if options.header is not None:
        names, rows = list(options.header), cells
        if len(names) != cells.shape[1]:
            raise UserError(f"{path} has {cells.shape[1]} columns and 'header' names {len(names)}. Name each of them once.")
    else:
        names, rows = (
            header_names(path, [None if value != value else value for value in cells.iloc[0]] if len(cells) else []),
            cells.iloc[1:],
        )
    if not len(rows):
        raise DataError(f"{path} has no rows in its sheet {name!r}. Add some, or name another sheet (sheet: NAME).")
    return whole_frame(plain_columns(rows.set_axis(names, axis="columns")))


def _sheet(path: Path, book: pd.ExcelFile, asked: str | None) -> str:
    """The sheet that is meant."""
    sheets = [str(name) for name in book.sheet_names]
    if asked is not None:
        if asked not in sheets:
            raise UserError(f"{path} has no sheet {asked!r}.{nearest(asked, sheets)} Sheets: {', '.join(sheets)}.")
        return asked
    full = [name for name in sheets if book.book[name].max_row > 1 or len(sheets) == 1]
    if len(full) > 1:
        raise DataError(f"{path} has several sheets with rows: {', '.join(full)}. Say which is meant: sheet: {full[0]}")
    return full[0] if full else sheets[0]
