"""Rows of queries on database files. A query of a stranger's recipe may read that file and nothing else."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from studio.core.errors import DataError, UserError
from studio.core.extras import require
from studio.data.readers.base import Raw
from studio.data.readers.csv import header_names

Engine = Literal["sqlite", "duckdb"]
# All that a query needs which only reads: to select, to read columns, to call functions, to recurse.
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, 33}


def query_rows(path: Path, engine: Engine, query: str) -> Iterator[Raw]:
    """Rows of the result, as objects.

    Raises:
        DataError, UserError, MissingExtraError: as :func:`sqlite_result` and :func:`duckdb_result`; it finds nothing.
    """
    open_result = sqlite_result if engine == "sqlite" else duckdb_result
    number = 0
    with contextlib.ExitStack() as stack:
        result = stack.enter_context(open_result(path, query))
        names = header_names(path, [column[0] for column in result.description or ()])
        rows: Iterable[Any] = result
        if engine == "duckdb":
            # It works in another folder while its block lasts, and who takes the rows must not.
            rows = result.fetchall()
            stack.close()
        for row in rows:
            number += 1
            yield Raw(f"row {number:,}", dict(zip(names, map(_plain, row), strict=True)))
    if not number:
        raise nothing_found(path)


def nothing_found(path: Path) -> UserError:
    """What is said of a query without a result."""
    return UserError(f"the query on {path} finds no rows. Change it.")


def _plain(value: Any) -> Any:
    """A value as JSON could hold it; moments and decimal numbers as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if value is None or isinstance(value, str | bool | int | float | list | dict) else str(value)


@contextlib.contextmanager
def sqlite_result(path: Path, query: str) -> Iterator[sqlite3.Cursor]:
    """The result of a query on an SQLite file, for as long as the block lasts.

    Raises:
        DataError: the file is no SQLite file.
        UserError: the query is wrong or does more than read.
    """
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY)
    try:
        yield connection.execute(query)
    except (sqlite3.Error, sqlite3.Warning) as error:
        if "not a database" in str(error) or "malformed" in str(error):
            raise DataError(f"{path} is no SQLite file ({error}). Give another.") from error
        raise UserError(f"the query on {path} cannot be run: {error}. It has to be one SELECT on its tables.") from error
    finally:
        connection.close()


@contextlib.contextmanager
def duckdb_result(path: Path, query: str) -> Iterator[Any]:
    """The result of a query on a DuckDB file, or on the files of a folder, for as long as the block lasts.

    Raises:
        MissingExtraError: DuckDB is not installed.
        UserError: the query is wrong, does more than read, or reads outside the folder.
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
            yield connection.execute(query)
    except duckdb.Error as error:
        raise UserError(f"the query on {path} cannot be run: {str(error).splitlines()[0]}.") from error
