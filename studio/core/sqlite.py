"""What every SQLite file of the studio needs. Standard library only."""

from __future__ import annotations

import sqlite3
import time


def write_ahead(connection: sqlite3.Connection, *, seconds: float) -> None:
    """Switch a file to a write-ahead log, waiting at most so long for others who do the same.

    SQLite does not wait here by itself, whatever the connection's timeout: of many that open a new file at once, some would be
    told that it is locked.

    Raises:
        sqlite3.DatabaseError: the file is none of SQLite's, or stays locked.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def is_damage(error: sqlite3.Error) -> bool:
    """True when the file is no database, or is one no longer; a file that is locked, or a full disk, is not damage."""
    return "not a database" in str(error) or "malformed" in str(error)
