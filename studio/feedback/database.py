"""One SQLite file in WAL mode: opened safely, written in whole transactions, wiped of what was deleted. Standard library only."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.core.errors import StudioError, UserError
from studio.core.sqlite import is_damage, write_ahead
from studio.feedback.tables import CREATE, SCHEMA_VERSION, UPGRADES

# Twenty writers take turns; one waits this long for the others before it gives up.
_BUSY_SECONDS = 60.0


class Database:
    """An open feedback file; may be shared by threads, and reopens itself after a fork."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before it is used."""
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, one thread at a time; SQLite's errors become one sentence."""
        with self._lock:
            try:
                yield self._open()
            except sqlite3.Error as error:
                raise StudioError(f"{self.path}: {error}. Is the disk full, or the file in use by a backup?") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that has the write lock from its start and is on disk when the block is left."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        """The connection of this process; SQLite's must not be carried over a fork."""
        if self._connection is not None and self._process == os.getpid():
            return self._connection
        self._connection, self._process = None, os.getpid()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                # What people said is for its owner's eyes only.
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StudioError(
                f"{self.path} cannot be opened or made ({error}). Choose another place with --workspace."
            ) from error
        connection.row_factory = sqlite3.Row
        try:
            self._prepare(connection)
        except sqlite3.DatabaseError as error:
            connection.close()
            if is_damage(error):
                raise UserError(
                    f"{self.path} is no feedback file, or is damaged ({error}). Move it away to start a new one."
                ) from error
            raise
        except StudioError:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Set how the file is written, and make the tables in one transaction where they are missing."""
        write_ahead(connection, seconds=_BUSY_SECONDS)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")
        version = _version(connection)
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have made them while this one waited for the lock.
            if _version(connection) == 0:
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    connection.execute("ROLLBACK")
                    raise UserError(f"{self.path} is another program's database. Move it away to start a feedback file.")
                for statement in _statements(CREATE):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
            version = _version(connection)
        while version in UPGRADES:
            connection.execute("BEGIN IMMEDIATE")
            if _version(connection) == version:
                for statement in _statements(UPGRADES[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={version + 1}")
            connection.execute("COMMIT")
            version = _version(connection)
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{self.path} was written by a newer studio (schema {version}, this one knows {SCHEMA_VERSION}). "
                "Update the studio."
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def wipe(self) -> bool:
        """Copy the write-ahead log into the file and empty it, so that deleted text is in neither.

        Returns:
            False when another process is reading and the log could not be emptied.
        """
        with self.reading() as connection:
            return not int(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])


def _version(connection: sqlite3.Connection) -> int:
    """Schema version of a file; 0 for a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """The statements of an SQL script; a trigger holds semicolons of its own."""
    part = ""
    for piece in script.split(";"):
        part += piece + ";"
        if part.strip() != ";" and sqlite3.complete_statement(part):
            yield part
            part = ""
