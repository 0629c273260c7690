"""Whole tables from the sheets of xlsx and ods files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from studio.core.errors import DataError
from studio.data.frames.base import Frame, FrameOptions, plain_columns, whole_frame
from studio.data.readers.sheets import sheet_lines


def read_workbook(path: Path, options: FrameOptions) -> Frame:
    """A sheet whose first line that is not empty names the columns; formulas count as the values that were saved with them.

    Raises:
        DataError: the file is damaged, or has no rows; several sheets hold something and none was named.
        UserError: there is no such sheet.
    """
    names, lines = sheet_lines(path, options.sheet, options.header)
    rows = [cells for _, cells in lines]
    if not rows:
        sheet = f" in its sheet {options.sheet!r}" if options.sheet else ""
        raise DataError(f"{path} has no rows{sheet}. Add some, or name another sheet (sheet: NAME).")
    cells = pd.DataFrame(rows, dtype=object)
    kept = [place for place, name in enumerate(names) if name is not None]
    return whole_frame(plain_columns(cells[kept].set_axis([str(names[place]) for place in kept], axis="columns")))
