"""Small JSON files that the command line writes and the guard reads again when they change. Standard library only.

A change takes effect with the next request and without a restart: the guard asks for the file's identity each time (a few
microseconds) and reads it only when that is another.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from studio.core.errors import StudioError
from studio.core.files import disk_errors, write_json

T = TypeVar("T")


class Watched(Generic[T]):
    """A value made from a JSON file, made anew when the file is replaced; a damaged file leaves the last good value."""

    def __init__(self, path: Path, make: Callable[[Any], T], empty: Any) -> None:
        """``make`` turns the file's JSON into the value; ``empty`` stands for a file that is not there."""
        self.path = path
        self._make, self._empty = make, empty
        self._seen: tuple[int, int, int] | None = None
        self._value = make(empty)

    def value(self) -> T:
        """The value as the file stands now."""
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        except OSError:
            seen = None
        if seen == self._seen:
            return self._value
        try:
            self._value = self._make(json.loads(self.path.read_text(encoding="utf-8")) if seen else self._empty)
            self._seen = seen
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # Written by hand, half copied: what was valid stays valid until the file can be read.
            self._seen = seen
        return self._value


def read_book(path: Path, empty: Any) -> Any:
    """The JSON of a file, or ``empty`` when there is none.

    Raises:
        StudioError: the file is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return empty
    except (OSError, ValueError) as error:
        raise StudioError(f"{path} cannot be read ({error}). Put it right, or move it away to start anew.") from error


@contextmanager
def changing(path: Path, empty: Any) -> Iterator[Any]:
    """Yield a file's JSON to be changed in place; it is written in one step, and two writers take turns.

    Raises:
        StudioError: the file is damaged, or cannot be written.
    """
    with disk_errors(path.name, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            value = read_book(path, empty)
            yield value
            write_json(path, value)
            # Who may use the server, and where its files lie, is for the owner's eyes only.
            os.chmod(path, 0o600)  # noqa: PTH101
