"""Home: what runs now, what is there, and what to do next."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.runs import summarize_run
from studio.core.translation import LANGUAGES, t
from studio.core.workspace import Workspace
from studio.jobs.records import active_jobs, last_line, list_jobs
from studio.jobs.turns import trainings_elsewhere
from studio.pages import locales
from studio.pages.guard import set_cookie
from studio.pages.projects import project_files, told_of
from studio.pages.rendering import go_to, render
from studio.pages.site import allowed, workspace_of
from studio.pages.work import begin
from studio.serve.state import StatePaths, running_servers

_NEWEST = 5


def _home(request: Request) -> Response:
    """The first page."""
    return render(request, "home/home.html", **_values(workspace_of(request)), title=t("Home"))


def _live(request: Request) -> Response:
    """The part of it that changes."""
    return render(request, "home/live.html", **_values(workspace_of(request)))


def _values(workspace: Workspace) -> dict[str, Any]:
    """What stands on the page."""
    jobs = active_jobs(workspace)
    running = [job for job in jobs if job.record.queued and job.status == "running"]
    elsewhere = [summarize_run(folder) for folder in trainings_elsewhere(workspace, running)]
    runs = [summarize_run(folder) for folder in workspace.list_runs()[:_NEWEST]]
    datasets = workspace.list_datasets()[:_NEWEST]
    return {
        "jobs": [(job, last_line(job)) for job in jobs],
        "elsewhere": elsewhere,
        "servers": running_servers(StatePaths.of(workspace)),
        "ended": [(job, last_line(job)) for job in list_jobs(workspace, _NEWEST) if job.over],
        "runs": runs,
        "datasets": [f"{folder.parent.name}/{folder.name}" for folder in datasets],
        "projects": [(file.parent.name, told_of(file)) for file in project_files(workspace)],
        "next": _next_step(workspace, bool(datasets), [run for run in runs if run.status == "finished"]),
    }


def _next_step(workspace: Workspace, data: bool, finished: list[object]) -> str:
    """Where a person is on the road: ``data``, ``train``, ``evaluate`` or ``try``."""
    if not data:
        return "data"
    if not finished:
        return "train"
    return "evaluate" if not any(workspace.runs.glob("*/*/evals/*/*/scores.json")) else "try"


def _example(request: Request) -> Response:
    """Start the whole road on the example; a running one is shown, not started twice."""
    workspace = workspace_of(request)
    running = [job for job in active_jobs(workspace) if job.record.arguments[0] == "quickstart"]
    job = running[0] if running else begin(request, ["quickstart"])
    return go_to(f"/jobs/{job.id}")


def _language(request: Request) -> Response:
    """Choose a language, and go back to where one was."""
    to, code = request.query_params.get("to", "/"), request.query_params.get("code", "")
    path = to if to.startswith("/") and not to.startswith("//") and "\\" not in to else "/"
    if code in LANGUAGES:
        parts = path.split("/")
        if len(parts) > 3 and parts[1] == "apps":
            path = "/".join([*parts[:3], code, *parts[4:]])
    response = go_to(quote(path, safe="/?&=%"))
    if code in LANGUAGES:
        set_cookie(response, locales.COOKIE, code, hidden=False)
    return response


def _road(request: Request) -> Response:
    """The navigation alone, for pages beside ours."""
    here = request.query_params.get("here", "/")
    return render(request, "road-beside.html", place=here)


ROUTES = [
    Route("/", _home),
    Route("/live", _live),
    Route("/example", allowed("train", _example), methods=["POST"]),
    Route("/language", _language),
    Route("/road", _road),
]
