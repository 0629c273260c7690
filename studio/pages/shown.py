"""Datasets as the pages show them: what there is, rows that a search or a reason lets through, what a removed row repeats."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from studio.apps.entries import read_entries
from studio.core.errors import StudioError
from studio.core.records import DatasetRecord
from studio.core.workspace import Workspace, read_dataset
from studio.data.entries import REMOVED, Entry
from studio.pages.site import content_path, workspace_of

REPEATS = "repeats"
"""The fact of a removed row that names the row it repeats."""
# The column of the file of removed rows from which that fact comes.
_MATCHED = "matched"


@dataclass(frozen=True)
class Shown:
    """A Dataset on disk. problem: why its record cannot be read, else empty."""

    folder: Path
    record: DatasetRecord | None
    problem: str = ""

    @property
    def reference(self) -> str:
        """``NAME/FINGERPRINT``."""
        return f"{self.folder.parent.name}/{self.folder.name}"


@functools.lru_cache(maxsize=512)
def _known(folder: Path, modified: int, size: int) -> DatasetRecord:
    """``dataset.json``, read once, and anew where it was written anew."""
    return read_dataset(folder)


def shown(folder: Path) -> Shown:
    """A Dataset for a list, whole or damaged."""
    try:
        state = (folder / "dataset.json").stat()
        return Shown(folder, _known(folder, state.st_mtime_ns, state.st_size))
    except (StudioError, OSError) as error:
        return Shown(folder, None, str(error))


def find(request: Request) -> tuple[Path, DatasetRecord]:
    """The Dataset of an address.

    Raises:
        HTTPException: 404; there is none. StudioError: it is damaged.
    """
    part = request.path_params
    folder = content_path(workspace_of(request).datasets, part["name"], part["id"])
    if not (folder / "dataset.json").is_file():
        raise HTTPException(404)
    return folder, read_dataset(folder)


def parts_of(record: DatasetRecord) -> dict[str, int]:
    """Splits that hold rows, and what was removed, with their numbers of rows."""
    parts = {split: rows for split, rows in record.splits.items() if rows}
    return parts | ({REMOVED: record.rows_removed} if record.rows_removed else {})


def part_of(request: Request, record: DatasetRecord) -> str:
    """The part that an address asks for; without one the first.

    Raises:
        HTTPException: 404; the Dataset has no such part.
    """
    parts = parts_of(record)
    part = request.query_params.get("part") or next(iter(parts), REMOVED)
    if part not in parts and part != REMOVED:
        raise HTTPException(404)
    return part


@functools.lru_cache(maxsize=4)
def _texts(folder: Path, part: str) -> tuple[str, ...]:
    """What a search looks through, row by row."""
    return tuple(entry.text for entry in read_entries(folder, part))


def search(folder: Path, part: str, words: str, reason: str = "") -> Sequence[Entry]:
    """Rows that hold every word and, of removed ones, went for this reason.

    Raises:
        StudioError: a file is missing or damaged.
    """
    entries: Sequence[Entry] = read_entries(folder, part)
    if wanted := words.casefold().split():
        entries = [one for one, text in zip(entries, _texts(folder, part), strict=True) if all(word in text for word in wanted)]
    if part == REMOVED and reason:
        entries = [entry for entry in entries if entry.reason == reason]
    return entries


def reasons(folder: Path) -> list[tuple[str, int]]:
    """Why rows were removed, the commonest first."""
    return Counter(entry.reason for entry in read_entries(folder, REMOVED)).most_common()


@functools.lru_cache(maxsize=8)
def _places(folder: Path, part: str) -> Mapping[str, int]:
    """Place of each row by its id."""
    return {entry.id: place for place, entry in enumerate(read_entries(folder, part))}


def entry_of(folder: Path, part: str, identity: str) -> Entry | None:
    """A row by its id; None where there is none."""
    place = _places(folder, part).get(identity)
    return None if place is None else read_entries(folder, part)[place]


def matched(folder: Path, record: DatasetRecord, entry: Entry) -> tuple[str, Entry] | None:
    """The row that a removed one repeats and its part; None where it repeats none, or that one is not there either."""
    identity = entry.facts.get(REPEATS) if entry.reason else None
    if not identity:
        return None
    for part in parts_of(record):
        found = entry_of(folder, part, identity)
        if found is not None and found is not entry:
            return part, found
    return None


@functools.lru_cache(maxsize=256)
def has_repeated(folder: Path) -> bool:
    """True where a row was removed because it repeats another."""
    from pyarrow import parquet

    from studio.data.parquet import REMOVED_FILE

    try:
        column = parquet.read_table(folder / REMOVED_FILE, columns=[_MATCHED]).column(_MATCHED)
    except (OSError, ValueError, KeyError):  # none, damaged, or without the column: the page of the rows says what is wrong
        return False
    return bool(len(column) > column.null_count)


def repeated(folder: Path, record: DatasetRecord) -> list[tuple[tuple[str, Entry], list[Entry]]]:
    """Rows that stayed with those that were removed as their repetitions, most repeated first."""
    groups: dict[str, tuple[tuple[str, Entry], list[Entry]]] = {}
    for gone in read_entries(folder, REMOVED):
        if (kept := matched(folder, record, gone)) is not None:
            groups.setdefault(kept[1].id, (kept, []))[1].append(gone)
    return sorted(groups.values(), key=lambda group: -len(group[1]))


def history(workspace: Workspace, record: DatasetRecord) -> tuple[list[dict[str, Any]], list[str]]:
    """Rounds of edits that a Dataset was made with, and references of Datasets that were made of it."""
    rounds: list[dict[str, Any]] = list((record.model_extra or {}).get("annotations", []))
    made: list[str] = []
    for folder in workspace.list_datasets():
        one = shown(folder).record
        said = (one.model_extra or {}).get("annotations", []) if one is not None else []
        with suppress(KeyError, TypeError):
            if said and said[-1]["from"]["fingerprint"] == record.fingerprint:
                made.append(f"{folder.parent.name}/{folder.name}")
    return rounds, made
