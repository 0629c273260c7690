"""Starting work from a page: a command, as it would stand in a terminal, becomes a job."""

from __future__ import annotations

import os
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from studio.core.translation import language
from studio.jobs.records import Job, add_job, read_job
from studio.jobs.runner import start
from studio.pages.rendering import go_to, visitor_of
from studio.pages.site import workspace_of


def role_for(arguments: Sequence[str]) -> str:
    """The role that may start and stop a command: what is served is changed by administrators alone."""
    serves = arguments[0] == "serve" or (arguments[0] == "improve" and {"--yes", "--no"} & set(arguments))
    return "administer" if serves else "train"


def begin(request: Request, arguments: Sequence[str], *, queued: bool | None = None) -> Job:
    """Run a command as a job of whoever asks.

    Args:
        arguments: what stands after ``studio``.
        queued: as :func:`studio.jobs.records.add_job`.
    Raises:
        StudioError: the workspace cannot be written.
    """
    folder = add_job(workspace_of(request), arguments, by=visitor_of(request).name, queued=queued)
    start(folder, {"STUDIO_LANGUAGE": language(), "COLUMNS": os.environ.get("COLUMNS", "120")})
    return read_job(folder)


def begin_and_show(request: Request, arguments: Sequence[str]) -> Response:
    """Run a command as a job and lead to its page."""
    return go_to(f"/jobs/{begin(request, arguments).id}")
