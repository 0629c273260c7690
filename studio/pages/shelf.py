"""Which finished Runs and running servers a page can offer, read without opening any of them, and where their apps are."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from studio.core.errors import StudioError
from studio.core.translation import language
from studio.core.workspace import Workspace, read_run
from studio.train.kinds import RUN_KINDS


@dataclass(frozen=True)
class Kept:
    """What a list needs of a finished Run. app: that shows it, None where none does. finished: ISO time."""

    reference: str
    kind: str
    app: str | None
    base: str
    finished: str


def finished_runs(workspace: Workspace) -> list[Kept]:
    """Finished Runs, newest first; damaged ones are left out."""
    found = (_kept(folder, _stamp(folder)) for folder in workspace.list_runs())
    return [kept for kept in found if kept is not None]


def run_of(workspace: Workspace, reference: str) -> Kept | None:
    """The finished Run of ``name/time-id``, or the newest of a name; None where there is none.

    Never a path: what stands in an address opens nothing outside of the workspace.
    """
    runs = finished_runs(workspace)
    return next((run for run in runs if reference in {run.reference, run.reference.partition("/")[0]}), None)


def app_address(app: str, reference: str | None = None) -> str:
    """Where an app is opened, in the reader's language.

    Args:
        reference: the Run (of annotate: the Dataset) to begin with.
    """
    start = f"/apps/{app}/{language()}/"
    if reference is None:
        return start
    if app in {"predict", "annotate", "data"}:  # their pages are made for what they show
        return f"{start}of/{quote(reference)}/"
    return f"{start}?run={quote(reference, safe='')}"


@functools.lru_cache(maxsize=4096)
def _kept(folder: Path, stamp: tuple[int, int] | None) -> Kept | None:
    """A Run as its file stood at a moment; ``stamp`` tells one moment from another."""
    try:
        record = read_run(folder)
    except (StudioError, OSError):
        return None
    if record.status != "finished" or record.kind not in RUN_KINDS:
        return None
    app = RUN_KINDS.get(record.kind).app
    reference = f"{folder.parent.name}/{folder.name}"
    return Kept(reference, record.kind, app, str(record.base.get("name") or ""), record.finished or record.created)


def _stamp(folder: Path) -> tuple[int, int] | None:
    """Time and size of ``run.json``."""
    try:
        status = (folder / "run.json").stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
