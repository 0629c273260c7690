"""Whole tables from queries on database files. A query of a stranger's recipe may read that file and nothing else."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pandas as pd

from studio.core.errors import DataError, UserError
from studio.core.extras import require
from studio.data.frames.base import Frame, plain_columns, whole_frame
from studio.data.readers.csv import header_names

# All that a query needs which only reads: to select, to read columns, to call functions, to recurse.
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, 33}


def query_sqlite(path: Path, query: str) -> Frame:
    """The result of a query.

    Raises:
        DataError: the file is no SQLite file.
        UserError: the query is wrong, does more than read, or finds nothing.
    """
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY)
    try:
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description or ()]
        rows = cursor.fetchall()
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error) or "malformed" in str(error):
            raise DataError(f"{path} is no SQLite file ({error}). Give another.") from error
        raise UserError(f"the query on {path} cannot be run: {error}. It has to be one SELECT on its tables.") from error
    finally:
        connection.close()
    return _result(path, pd.DataFrame(rows, columns=header_names(path, names), dtype=object))


def query_duckdb(path: Path, query: str) -> Frame:
    """The result of a query on a DuckDB file, or on the files of a folder.

    Raises:
        MissingExtraError: DuckDB is not installed.
        UserError: the query is wrong, does more than read, reads outside the folder, or finds nothing.
    """
    duckdb = require("duckdb", feature="a source of type duckdb", extra="duckdb")
    folder = path if path.is_dir() else path.parent
    try:
        statements = duckdb.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise UserError(f"the query on {path} does more than read. It has to be one SELECT.")
        connection = duckdb.connect(":memory:" if path.is_dir() else str(path.resolve()), read_only=not path.is_dir())
        # DuckDB looks for relative names, and compares them with what is allowed, from the current folder.
        with connection, contextlib.chdir(folder):
            connection.execute("SET allowed_directories = [?, '.']", [str(folder.resolve())])
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            found = connection.execute(query).df()
    except duckdb.Error as error:
        raise UserError(f"the query on {path} cannot be run: {str(error).splitlines()[0]}.") from error
    header_names(path, list(found.columns))
    return _result(path, found)


def _result(path: Path, found: pd.DataFrame) -> Frame:
    """A result that has rows."""
    if not len(found):
        raise UserError(f"the query on {path} finds no rows. Change it.")
    return whole_frame(plain_columns(found))
