"""Whole tables from queries on database files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from studio.data.frames.base import Frame, plain_columns, whole_frame
from studio.data.readers.csv import header_names
from studio.data.readers.queries import duckdb_result, nothing_found, sqlite_result


def query_sqlite(path: Path, query: str) -> Frame:
    """The result of a query.

    Raises:
        DataError, UserError: as :func:`studio.data.readers.queries.sqlite_result`; it finds nothing.
    """
    with sqlite_result(path, query) as result:
        names = [column[0] for column in result.description or ()]
        rows = result.fetchall()
    return _result(path, pd.DataFrame(rows, columns=header_names(path, names), dtype=object))


def query_duckdb(path: Path, query: str) -> Frame:
    """The result of a query on a DuckDB file, or on the files of a folder.

    Raises:
        MissingExtraError, UserError: as :func:`studio.data.readers.queries.duckdb_result`; it finds nothing.
    """
    with duckdb_result(path, query) as result:
        found = result.df()
    header_names(path, list(found.columns))
    return _result(path, found)


def _result(path: Path, found: pd.DataFrame) -> Frame:
    """A result that has rows."""
    if not len(found):
        raise nothing_found(path)
    return whole_frame(plain_columns(found))
