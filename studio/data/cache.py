"""What a build depends on, and the results of its steps, kept so that a change re-runs only from where it was made."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from studio.core.errors import StudioError
from studio.core.files import disk_errors, folder_size, new_folder, sha256_file, sha256_json, write_json
from studio.data.parquet import REMOVED_FILE, write_table
from studio.data.shelf import Form, Shelf, Shelves, link_or_copy

Row = TypeVar("Row")
Gone = TypeVar("Gone")

_PACKAGE = Path(__file__).parent
_ROWS = "rows.parquet"
# Instead of ``rows.parquet`` and ``removed.parquet``: folders of parts, where there are more rows than are held in memory.
_ROW_PARTS, _GONE_PARTS = "rows", "removed"
_STATE = "step.json"
# Results of steps are kept up to this size in one workspace; the oldest go first.
KEEP_BYTES = 2 * 1024**3


@functools.cache
def code_version(*names: str) -> str:
    """Hash of some of this package's source files, named relative to it."""
    return sha256_json({name: sha256_file(_PACKAGE / name) for name in sorted(names)})


@functools.cache
def code_files(*rooms: str) -> tuple[str, ...]:
    """Source files of some rooms of this package, templates and lists among them, and those beside the rooms for ``""``."""
    found = [file for room in rooms for file in ((_PACKAGE / room).rglob("*") if room else _PACKAGE.glob("*"))]
    return tuple(sorted(file.relative_to(_PACKAGE).as_posix() for file in found if file.suffix in {".py", ".j2", ".txt"}))


@functools.cache
def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of the libraries whose answers end up in a Dataset."""
    return {name: importlib.metadata.version(name) for name in names}


@dataclass
class Snapshot(Generic[Row, Gone]):
    """Rows after a step, what the step removed, and its figures (a plain JSON value)."""

    rows: Sequence[Row]
    removed: Sequence[Gone] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Codec(Generic[Row, Gone]):
    """How rows and removed rows lie in parquet tables, and come out of them again.

    row_bytes, gone_bytes: memory that one takes, for kinds whose rows may be more than are held in memory; None for others.
    """

    rows_to_table: Callable[[Sequence[Row]], pa.Table]
    table_to_rows: Callable[[pa.Table], list[Row]]
    removed_to_table: Callable[[Sequence[Gone]], pa.Table]
    table_to_removed: Callable[[pa.Table], list[Gone]]
    row_bytes: Callable[[Row], int] | None = None
    gone_bytes: Callable[[Gone], int] | None = None

    @property
    def row_form(self) -> Form[Row]:
        """For a shelf of rows."""
        assert self.row_bytes is not None
        return Form(self.rows_to_table, self.table_to_rows, self.row_bytes)

    @property
    def gone_form(self) -> Form[Gone]:
        """For a shelf of removed rows."""
        assert self.gone_bytes is not None
        return Form(self.removed_to_table, self.table_to_removed, self.gone_bytes)


class StepCache(Generic[Row, Gone]):
    """Results of steps by key, one folder each: ``rows.parquet``, ``removed.parquet``, ``step.json``."""

    def __init__(self, folder: Path, codec: Codec[Row, Gone], shelves: Shelves, keep_bytes: int = KEEP_BYTES) -> None:
        """``folder`` is hidden from lists of Datasets (``datasets/.steps``); ``shelves`` take results that are not held."""
        self._folder, self._codec, self._shelves, self._keep_bytes = folder, codec, shelves, keep_bytes

    @property
    def folder(self) -> Path:
        """Where the results lie."""
        return self._folder

    def size(self) -> int:
        """Bytes of all results."""
        return folder_size(self._folder) if self._folder.is_dir() else 0

    def has(self, key: str) -> bool:
        """True when the result of this step is there, whole."""
        return (self._folder / key / _STATE).is_file()

    def latest(self, keys: Sequence[str]) -> int:
        """How many of the first steps need not run again: all that come before (and with) the last known one.

        The figures and removed rows of every one of them have to be there too.
        """
        known = 0
        for number, key in enumerate(keys, start=1):
            if not self.has(key):
                break
            known = number
        return known

    def rows(self, key: str) -> Sequence[Row] | None:
        """Rows after a step, or None when the file is gone or damaged."""
        place = self._folder / key
        if not (place / _ROWS).exists() and not (place / _ROW_PARTS).is_dir():
            return None
        try:
            if (place / _ROW_PARTS).is_dir():
                return self._shelves.opened(self._codec.row_form, sorted((place / _ROW_PARTS).iterdir()))
            return self._codec.table_to_rows(pq.read_table(place / _ROWS))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(place, ignore_errors=True)
            return None

    def removed(self, key: str) -> tuple[Sequence[Gone], dict[str, Any]] | None:
        """What a step removed, and its figures; None when a file is gone or damaged."""
        place = self._folder / key
        try:
            figures = json.loads((place / _STATE).read_text(encoding="utf-8"))
            with contextlib.suppress(OSError):
                os.utime(place)
            if (place / _GONE_PARTS).is_dir():
                return self._shelves.opened(self._codec.gone_form, sorted((place / _GONE_PARTS).iterdir())), figures
            return self._codec.table_to_removed(pq.read_table(place / REMOVED_FILE)), figures
        except (OSError, ValueError, KeyError):
            shutil.rmtree(place, ignore_errors=True)
            return None

    def put(self, key: str, snapshot: Snapshot[Row, Gone]) -> None:
        """Keep a result; another process that was faster wins."""
        place = self._folder / key
        if (place / _ROWS).exists() or (place / _ROW_PARTS).is_dir():
            return
        shutil.rmtree(place, ignore_errors=True)
        try:
            with new_folder(place) as folder, disk_errors("the result of a step", folder):
                if not _keep_parts(snapshot.rows, folder / _ROW_PARTS):
                    write_table(self._codec.rows_to_table(snapshot.rows), folder / _ROWS)
                if not _keep_parts(snapshot.removed, folder / _GONE_PARTS):
                    write_table(self._codec.removed_to_table(snapshot.removed), folder / REMOVED_FILE)
                write_json(folder / _STATE, snapshot.figures)
        except StudioError:
            # Another build put it there meanwhile: the same bytes, so nothing is lost.
            if not place.exists():
                raise

    def forget_parts(self, key: str) -> None:
        """Give up the rows of a step whose successor is kept, where they lie in parts: each would take as much disk again.

        What the step removed, and its figures, stay.
        """
        shutil.rmtree(self._folder / key / _ROW_PARTS, ignore_errors=True)

    def prune(self, keep: Sequence[str]) -> None:
        """Remove the results that were not used for longest until the rest fits; those in ``keep`` stay."""
        places = [place for place in self._folder.glob("[!.]*") if place.is_dir()] if self._folder.is_dir() else []
        used = 0
        for place in sorted(places, key=lambda place: (place.name in keep, place.stat().st_mtime), reverse=True):
            used += folder_size(place)
            if used > self._keep_bytes and place.name not in keep:
                shutil.rmtree(place, ignore_errors=True)


def _keep_parts(rows: Sequence[Any], folder: Path) -> bool:
    """Keep the parts of a shelf in a folder; False for rows that are held."""
    files = rows.files if isinstance(rows, Shelf) else []
    if files:
        folder.mkdir()
    for file in files:
        link_or_copy(file, folder / file.name)
    return bool(files)
