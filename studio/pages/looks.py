"""What ``studio data look`` found in an upload: asked once as a job, read from what it printed ever after."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request

from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.jobs.records import LOG, Job, jobs_folder, read_job
from studio.pages.site import workspace_of
from studio.pages.uploads import Upload
from studio.pages.work import begin

_ASKED = "look.json"


def shown_path(path: Path) -> str:
    """A path as somebody would write it in a terminal in the folder where the server was started."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def look_arguments(upload: Upload) -> list[str]:
    """The command that looks at an upload."""
    return ["data", "look", shown_path(upload.place), "--json"]


def begin_look(request: Request, upload: Upload, *, anew: bool = False) -> None:
    """Have an upload looked at, unless it was or is being.

    Raises:
        StudioError: the workspace cannot be written.
    """
    if anew or look_job(request, upload) is None:
        job = begin(request, look_arguments(upload))
        write_json(upload.folder / _ASKED, {"job": job.id})


def look_job(request: Request, upload: Upload) -> Job | None:
    """The job that looks or looked at an upload; None where none did."""
    try:
        job = json.loads((upload.folder / _ASKED).read_text(encoding="utf-8"))["job"]
        return read_job(jobs_folder(workspace_of(request)) / Path(str(job)).name)
    except (OSError, ValueError, KeyError, TypeError, StudioError):
        return None


def look_of(job: Job | None) -> dict[str, Any] | None:
    """What was found; None as long as it is not known."""
    return json_of(job.folder) if job is not None and job.status == "done" else None


@functools.lru_cache(maxsize=64)
def json_of(folder: Path) -> dict[str, Any] | None:
    """The JSON document that a command printed, remarks around it set aside; None where there is none. The job is over."""
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return _first_document(lines)


def _first_document(lines: Sequence[str]) -> dict[str, Any] | None:
    """The first JSON object that begins a line."""
    for at, line in enumerate(lines):
        if line.startswith("{"):
            try:
                found, _ = json.JSONDecoder().raw_decode("".join(lines[at:]))
            except json.JSONDecodeError:
                continue
            if isinstance(found, dict):
                return found
    return None
