"""What ``studio data look`` found in an upload: asked once as a job, kept ever after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request

from studio.jobs.records import Job
from studio.pages.answers import ask, known_answer
from studio.pages.site import workspace_of
from studio.pages.uploads import Upload


def shown_path(path: Path) -> str:
    """A path as somebody would write it in a terminal in the folder where the server was started."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def look_arguments(upload: Upload) -> list[str]:
    """The command that looks at an upload; its path changes with its bytes."""
    return ["data", "look", shown_path(upload.place), "--json"]


def begin_look(request: Request, upload: Upload, *, anew: bool = False) -> None:
    """Have an upload looked at, unless it was or is being.

    Raises:
        StudioError: the workspace cannot be written.
    """
    ask(request, look_arguments(upload), anew=anew)


def look_at(request: Request, upload: Upload) -> tuple[Job | None, dict[str, Any] | None]:
    """The job that looks or looked at an upload, and what it found; None as long as there is none."""
    answer = known_answer(workspace_of(request), look_arguments(upload))
    if answer is None:
        return None, None
    # What an older studio said, before it was updated, may lack what the page shows.
    whole = answer.job.status == "done" and isinstance(answer.value, dict) and "why_not" in answer.value
    return answer.job, answer.value if whole else None
