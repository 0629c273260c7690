"""From one file to a whole table, column by column: quick where the file is sound, with every bad row named where it is not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from studio.core.errors import DataError
from studio.data.frames.arff import read_arff_frame
from studio.data.frames.base import BadRow, Frame, FrameOptions
from studio.data.frames.csv import read_csv_frame
from studio.data.frames.logs import LOG_ENDINGS, LogSeen, log_seen, read_log_frame
from studio.data.frames.parquet import read_parquet_frame
from studio.data.frames.rows import read_rows_frame
from studio.data.frames.workbook import read_workbook
from studio.data.readers.kinds import LINES, check_kind, unknown_kind
from studio.data.readers.packed import kind_of, plain_file

__all__ = ["FRAMES", "LOG_ENDINGS", "BadRow", "Frame", "FrameOptions", "LogSeen", "endings_of", "log_seen", "read_frame"]

FRAMES: dict[str, Callable[[Path, FrameOptions], Frame]] = {
    ".arff": read_arff_frame,
    ".csv": read_csv_frame,
    ".tsv": read_csv_frame,
    ".json": read_rows_frame,
    **dict.fromkeys(LINES, read_rows_frame),
    ".ods": read_workbook,
    ".parquet": read_parquet_frame,
    ".xlsx": read_workbook,
    ".xml": read_rows_frame,
}
"""Suffix to reader."""


def endings_of(form: str) -> Collection[str]:
    """Endings of the files of a folder that are read in a form (``auto`` or ``log``)."""
    return LOG_ENDINGS if form == "log" else FRAMES


def read_frame(path: Path, options: FrameOptions) -> Frame:
    """The table of one file; a packed file is unpacked.

    Raises:
        DataError: the file is empty, cannot be opened, is of no known kind, has two columns of one name, or is not in the
            encoding that was named.
    """
    reader = read_log_frame if options.format == "log" else FRAMES.get(kind_of(path))
    if reader is None:
        raise DataError(unknown_kind(path, FRAMES))
    try:
        with plain_file(path) as plain:
            if plain.stat().st_size == 0:
                raise DataError(f"{path} is empty. Give a file with a first line of names and rows below it.")
            check_kind(plain)
            return reader(plain, options)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read by this user.") from None
