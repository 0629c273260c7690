"""The folder of a search: ``searches/<name>/<time>-<id>/``, with its record, its journal, and its Runs, which stay out of the
list of runs.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from studio.core.errors import UserError, nearest
from studio.core.files import disk_errors, write_json
from studio.core.records import Record, read_record
from studio.core.workspace import Workspace
from studio.search.space import Space

FILE = "search.json"
ROWS = "rows"
"""Folder with a table per trial: its figures of each validation row."""


class SearchRecord(Record):
    """``search.json``: a search, written before its first trial and again when it ends.

    preset: file; called: how the person named it; kind: of Run. data: folder of the Dataset; dataset: its name and fingerprint.
    fixed: settings that are the same in every trial; space: setting to what is tried, as people write it; ranges: the same in
    full. by, trials, minutes, metric, prune, seed, memory: as asked. lag: a trial looks back on those that are so many before it,
    or more; as many may train at once. engine: where they train. seconds: of wall clock that trials took so far, over all
    sittings. best: number of the best trial. result: what came of it (counts, luck, importance, confirmation).
    """

    kind: str
    name: str
    id: str
    status: Literal["running", "finished", "interrupted", "failed"]
    created: str
    finished: str | None = None
    preset: str
    called: str
    data: str
    dataset: dict[str, Any]
    model: str | None = None
    fixed: list[str] = []
    space: dict[str, str]
    ranges: list[dict[str, Any]] = []
    by: Literal["tpe", "random", "grid"]
    trials: int | None = None
    minutes: float | None = None
    metric: str | None = None
    better: Literal["higher", "lower"] | None = None
    prune: bool = True
    seed: int = 0
    memory: int | None = None
    lag: int = 1
    engine: Literal["here", "ray"] = "here"
    suite: str | None = None
    seconds: float = 0.0
    best: int | None = None
    result: dict[str, Any] = {}
    error: str | None = None
    studio_version: str

    @property
    def whole_space(self) -> Space:
        """The space, ready to be drawn from."""
        return Space.of_record(self.ranges, self.fixed)


def new_place(root: Path, name: str) -> tuple[Path, str, str]:
    """A folder of its own for a search or a comparison, made; its identity, and the time.

    Raises:
        UserError: the name cannot be that of a folder. StudioError: it cannot be made.
    """
    if not name or name.startswith(".") or "/" in name:
        raise UserError(f"--name {name!r} cannot name a folder. Use letters, digits, '-', '_' and '.'.")
    created, identity = datetime.now(UTC), secrets.token_hex(3)
    folder = root / name / f"{created:%Y%m%d-%H%M%S}-{identity}"
    with disk_errors("a new folder", folder.parent):
        folder.mkdir(parents=True)
    return folder, identity, created.isoformat(timespec="seconds")


def now() -> str:
    """UTC time as it stands in records."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def save(folder: Path, record: SearchRecord) -> SearchRecord:
    """Write ``search.json`` in one step."""
    write_json(folder / FILE, record.model_dump(mode="json"))
    return record


def read(folder: Path) -> SearchRecord:
    """Read ``search.json``; see :func:`studio.core.records.read_record`."""
    return read_record(folder / FILE, SearchRecord)


def searches(workspace: Workspace) -> list[Path]:
    """Folders of all searches, newest first."""
    return newest_first(workspace.root / "searches", FILE)


def newest_first(root: Path, marker: str) -> list[Path]:
    """Folders two levels down that hold the marker file."""
    found = [file.parent for file in root.glob(f"[!.]*/[!.]*/{marker}")]
    return sorted(found, key=lambda folder: (folder.name, folder.parent.name), reverse=True)


def find_folder(reference: str, folders: Sequence[Path], marker: str, noun: str, remedy: str) -> Path:
    """One of these folders by path, by name (its newest), by id, or ``last``.

    Raises:
        UserError: nothing matches; what exists is named.
    """
    path = Path(reference).expanduser()
    if (path / marker).is_file():
        return path.resolve()
    name = reference.removesuffix("/")
    for folder in folders:
        known = {folder.parent.name, folder.name, folder.name.rpartition("-")[2], f"{folder.parent.name}/{folder.name}", "last"}
        if name in known:
            return folder
    names = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    guess = nearest(name, [*names, *(folder.parent.name for folder in folders)])
    raise UserError(f"there is no {noun} {reference!r}.{guess} Known: {', '.join(names[:8]) or 'none'}. {remedy}")
