"""A job's page: how it stands, what it says, what it made; and stopping it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.translation import t
from studio.jobs.records import Job, active_jobs, ask_to_stop, find_job, list_jobs, log_text
from studio.jobs.turns import waiting_for
from studio.pages.rendering import go_to, lead_on, render
from studio.pages.site import allowed, workspace_of
from studio.pages.work import begin_and_show, role_for

_PER_PAGE = 30


def _listed(request: Request) -> Response:
    """All jobs, newest first."""
    jobs = list_jobs(workspace_of(request))
    last = max(0, (len(jobs) - 1) // _PER_PAGE)
    at = min(last, _number(request.query_params.get("page")))
    shown = jobs[at * _PER_PAGE : (at + 1) * _PER_PAGE]
    return render(request, "jobs/list.html", jobs=shown, at=at, last=last, title=t("Everything that was started"))


def _shown(request: Request) -> Response:
    """One job."""
    job = find_job(workspace_of(request), request.path_params["id"])
    if job.record.arguments[0] == "eval":
        return go_to(f"/evaluate/running/{job.id}")  # which leads on to the report
    return render(request, "jobs/job.html", **job_values(request, job), title=_title(job))


def _live(request: Request) -> Response:
    """The part of a job's page that changes."""
    job = find_job(workspace_of(request), request.path_params["id"])
    response = render(request, "jobs/live.html", **job_values(request, job))
    made = next((made for made in job.record.made if made.startswith("runs/")), None)
    if made is not None and request.query_params.get("follow") == "run" and job.status in {"running", "done"}:
        lead_on(response, f"/{made}")
    if job.over:
        response.headers["x-studio-over"] = "1"
    return response


def _stop(request: Request) -> Response:
    """Ask a job to end."""
    job = find_job(workspace_of(request), request.path_params["id"])

    def stopped(_: Request) -> Response:
        if not job.over:
            ask_to_stop(job)
        return go_to(f"/jobs/{job.id}")

    return allowed(role_for(job.record.arguments), stopped)(request)


def _again(request: Request) -> Response:
    """Start the same command once more."""
    job = find_job(workspace_of(request), request.path_params["id"])
    again = allowed(role_for(job.record.arguments), lambda asked: begin_and_show(asked, job.record.arguments))
    return again(request)


def job_values(request: Request, job: Job) -> dict[str, Any]:
    """What the templates of a job need."""
    workspace = workspace_of(request)
    before, computing = waiting_for(workspace, active_jobs(workspace), job) if job.status == "waiting" else (0, [])
    role = role_for(job.record.arguments)
    return {"job": job, "log": log_text(job), "before": before, "computing": computing, "role": role}


def _title(job: Job) -> str:
    """What the job does, in a word."""
    titles = {
        "train": t("Training"), "data": t("Dataset"), "eval": t("Evaluation"), "serve": t("Serving"),
        "export": t("Export"), "plan": t("Plan"), "quickstart": t("The whole road, on the example"),
    }  # fmt: skip
    return titles.get(job.record.arguments[0], t("Command"))


def _number(text: str | None) -> int:
    """A page's number from an address; 0 where it is none."""
    return int(text) if text and text.isdigit() and len(text) < 7 else 0


ROUTES = [
    Route("/jobs", _listed),
    Route("/jobs/{id}", _shown),
    Route("/jobs/{id}/live", _live),
    Route("/jobs/{id}/stop", allowed("train", _stop), methods=["POST"]),
    Route("/jobs/{id}/again", allowed("train", _again), methods=["POST"]),
]
