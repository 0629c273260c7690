"""What models answered, kept as it arrives: values by subject and item in one SQLite file. Standard library only."""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.sqlite import is_damage, write_ahead

_BUSY_SECONDS = 60.0


class EvidenceCache:
    """Answers and likelihoods by key, in one SQLite file that several processes may use at once."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; a file that is no longer a database is set aside under another name and said so."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise StudioError(
                    f"{path} cannot be opened: {error}. Wait for other commands that use it, make room on the disk, or choose "
                    "another place with --workspace."
                ) from error
            aside = path.with_name(f"{path.name}.damaged")
            path.replace(aside)
            warnings.warn(f"{path} is damaged ({error}) and was set aside as {aside.name}; answers are asked anew", stacklevel=1)
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        """A connection to a file that has the table."""
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
        try:
            write_ahead(connection, seconds=_BUSY_SECONDS)
            connection.execute(
                "CREATE TABLE IF NOT EXISTS evidence (subject TEXT, item TEXT, value TEXT, PRIMARY KEY (subject, item)) "
                "WITHOUT ROWID"
            )
        except BaseException:
            connection.close()
            raise
        return connection

    def get(self, subject: str, items: Sequence[str]) -> dict[str, Any]:
        """What is known of these items, by item key."""
        found: dict[str, Any] = {}
        for start in range(0, len(items), 500):
            part = list(items[start : start + 500])
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(
                f"SELECT item, value FROM evidence WHERE subject = ? AND item IN ({marks})", [subject, *part]
            )
            found |= {item: json.loads(value) for item, value in rows}
        return found

    def put(self, subject: str, values: dict[str, Any]) -> None:
        """Keep values; they are on disk when this returns.

        Raises:
            StudioError: the disk is full or cannot be written.
        """
        try:
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO evidence VALUES (?, ?, ?)",
                    [(subject, item, json.dumps(value)) for item, value in values.items()],
                )
        except sqlite3.OperationalError as error:
            raise StudioError(
                f"could not write {self.path}: {error}. Make room or choose another place with --workspace."
            ) from error

    def forget(self, subject: str) -> None:
        """Drop all that is known of one subject."""
        with self._connection:
            self._connection.execute("DELETE FROM evidence WHERE subject = ?", [subject])

    def forget_items(self, subject: str, items: Sequence[str]) -> None:
        """Drop what is known of some items of a subject."""
        with self._connection:
            self._connection.executemany(
                "DELETE FROM evidence WHERE subject = ? AND item = ?", [(subject, item) for item in items]
            )

    def every(self, subject: str) -> dict[str, Any]:
        """All that is known of a subject, by item key."""
        rows = self._connection.execute("SELECT item, value FROM evidence WHERE subject = ?", [subject])
        return {item: json.loads(value) for item, value in rows}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
