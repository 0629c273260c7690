"""Projects: what is wanted, for whom and how it is judged, written down before anything is trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.errors import ConfigError, UserError
from studio.core.files import write_text
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.jobs.records import Job, read_job
from studio.pages.posted import posted, text_of
from studio.pages.projects import project_files, projects_folder
from studio.pages.recipes import line_of, state_of
from studio.pages.rendering import go_to, render
from studio.pages.site import allowed, workspace_of
from studio.pages.work import begin, begin_and_show
from studio.schema.loading import load_yaml
from studio.schema.project import Project

# A project is written in well under a second; whoever waits longer is led to the job.
_SECONDS_TO_MAKE = 20.0


def _asked(request: Request, *, values: dict[str, str] | None = None, wrong: str = "") -> Response:
    """The form that a project begins with."""
    empty = dict.fromkeys(("name", "task", "audience"), "")
    folder = projects_folder(workspace_of(request))
    status = 422 if wrong else 200
    return render(
        request, "projects/new.html", status, values=values or empty, wrong=wrong, folder=folder, title=t("A new project")
    )


def _make(request: Request) -> Response:
    """Write a project's files by ``studio init``; a mistake is told at the form."""
    form = posted(request)
    values = {name: " ".join(text_of(form, name).split()) for name in ("name", "task", "audience")}
    folder = projects_folder(workspace_of(request)) / (values["name"] or "-")
    if not values["name"] or "/" in values["name"]:
        wrong = f"{values['name']!r} cannot be the name of a project. Use letters, digits, '.', '_' and '-'."
        return _asked(request, values=values, wrong=wrong)
    said = [part for name in ("task", "audience") if values[name] for part in (f"--{name}", values[name])]
    job = _waited(begin(request, ["init", str(folder), *said], queued=False))
    if job.status == "failed":
        return _asked(request, values=values, wrong=str(job.record.said))
    return go_to(f"/projects/{folder.name}" if job.status == "done" else f"/jobs/{job.id}")


def _waited(job: Job) -> Job:
    """The same job once it is over, or as it stands when that takes too long."""
    end = time.monotonic() + _SECONDS_TO_MAKE
    while not job.over and time.monotonic() < end:
        time.sleep(0.1)
        job = read_job(job.folder)
    return job


def _file(workspace: Workspace, name: str) -> Path:
    """``project.yaml`` of the project in a folder of this name, among those that pages know.

    Raises:
        HTTPException: 404; there is none.
    """
    file = next((file for file in project_files(workspace) if file.parent.name == name), None)
    if file is None:
        raise HTTPException(404)
    return file


def _shown(request: Request, *, text: str | None = None, wrong: str = "") -> Response:
    """A project's file to change, and what is still missing in it."""
    file = _file(workspace_of(request), request.path_params["name"])
    kept = file.read_text(encoding="utf-8", errors="replace")
    plan, missing = _read(file)
    values: dict[str, Any] = {"file": file, "text": kept if text is None else text, "seen": state_of(file), "plan": plan}
    values |= {
        "wrong": wrong,
        "missing": missing,
        "line": line_of(missing.rpartition("/")[2]),
        "saved": "saved" in request.query_params,
    }
    return render(request, "projects/project.html", 422 if wrong else 200, **values, title=file.parent.name)


def _read(file: Path) -> tuple[Project | None, str]:
    """The project, or the sentence that says what is wrong or still to be filled in."""
    try:
        return load_yaml(file, Project), ""
    except ConfigError as error:
        return None, str(error)


def _save(request: Request) -> Response:
    """Write what was changed, finished or not; what somebody else changed meanwhile is not overwritten."""
    file = _file(workspace_of(request), request.path_params["name"])
    form = posted(request)
    text = text_of(form, "text")
    if text_of(form, "seen") != state_of(file):
        wrong = t(
            "Somebody changed this file since you opened it, and it is not overwritten. Take your text over into the newer one."
        )
        return _shown(request, text=text, wrong=wrong)
    if not text.strip():
        return _shown(request, text=text, wrong=t("The file would be empty. Write what is wanted, or leave the page."))
    write_text(file, text if text.endswith("\n") else text + "\n")
    return go_to(f"/projects/{file.parent.name}?saved=1")


def _advise(request: Request) -> Response:
    """Ask which presets the project should try, and what is still missing.

    Raises:
        UserError: the file is not finished.
    """
    file = _file(workspace_of(request), request.path_params["name"])
    plan, missing = _read(file)
    if plan is None:
        raise UserError(missing)
    return begin_and_show(request, ["advise", str(file)])


ROUTES = [
    Route("/projects/new", _asked),
    Route("/projects/new", allowed("train", _make), methods=["POST"]),
    Route("/projects/{name}", _shown),
    Route("/projects/{name}", allowed("train", _save), methods=["POST"]),
    Route("/projects/{name}/advise", allowed("train", _advise), methods=["POST"]),
]
