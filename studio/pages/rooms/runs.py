"""Runs: what was trained and what trains now; one Run live, stopped, gone on with; two or more beside each other."""

from __future__ import annotations

import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.errors import UserError
from studio.core.runs import RunSummary, compared_figures, differing_settings, settings_of, summarize_run
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.jobs.records import active_jobs, ask_to_stop
from studio.pages.curves import curves
from studio.pages.rendering import go_to, render, trouble
from studio.pages.rooms import run_out, run_parts
from studio.pages.rooms.run_parts import find, sample_files, step_of, tabs
from studio.pages.running import LOSSES, job_of, last_job_of, standing_of
from studio.pages.site import allowed, content_path, workspace_of
from studio.pages.work import begin_and_show

_PER_PAGE = 30
_SAMPLES = 6


def run_folders(workspace: Workspace, at: int = 0, words: str = "") -> tuple[list[RunSummary], int, int]:
    """Runs of one page, newest first, of those whose name holds the words; the page's number, and that of the last one."""
    folders = [one for one in workspace.list_runs() if words.lower() in f"{one.parent.name}/{one.name}".lower()]
    last = max(0, (len(folders) - 1) // _PER_PAGE)
    at = min(at, last)
    return [summarize_run(folder) for folder in folders[at * _PER_PAGE : (at + 1) * _PER_PAGE]], at, last


def _listed(request: Request) -> Response:
    """All Runs."""
    text, words = request.query_params.get("page", "0"), request.query_params.get("q", "").strip()
    at = int(text) if text.isdigit() and len(text) < 7 else 0
    runs, at, last = run_folders(workspace_of(request), at, words)
    return render(request, "runs/list.html", runs=runs, at=at, last=last, words=words, title=t("Runs"))


def _shown(request: Request) -> Response:
    """One Run: what it is, how it goes, what it scored."""
    run = find(request)
    values = _values(request, run) | {"settings": settings_of(run.folder), "tabs": tabs(run), "tab": "run"}
    return render(request, "runs/run.html", **values, title=run.reference)


def _live(request: Request) -> Response:
    """The part of a Run's page that changes. A Run that is deleted while it is watched is told as gone."""
    try:
        run = find(request)
    except HTTPException:
        response = render(request, "runs/gone.html", run="/".join(request.path_params.values()))
        response.headers["x-studio-over"] = "1"
        return response
    response = render(request, "runs/live.html", **_values(request, run))
    # One that is about to go on is still told as interrupted while its job begins.
    if run.status != "running" and (run.status == "finished" or job_of(run, workspace_of(request)) is None):
        response.headers["x-studio-over"] = "1"
    return response


def _stop(request: Request) -> Response:
    """Ask a training to save and end."""
    run = find(request)
    job = job_of(run, workspace_of(request))
    if job is None:
        sentence = t("{run} was started in a terminal; press Ctrl-C there, it saves before it ends.", run=run.reference)
        return trouble(request, sentence, 409, back=[f"/runs/{run.reference}"])
    ask_to_stop(job)
    return go_to(f"/runs/{run.reference}")


def _resume(request: Request) -> Response:
    """Go on with a training that was stopped; one that is already about to is shown, not begun twice."""
    arguments = ["train", "--resume", find(request).reference]
    waiting = next((job for job in active_jobs(workspace_of(request)) if job.record.arguments == arguments), None)
    return go_to(f"/jobs/{waiting.id}") if waiting is not None else begin_and_show(request, arguments)


def _compared(request: Request) -> Response:
    """Runs beside each other: curves, settings that differ, scores."""
    wanted = list(dict.fromkeys(request.query_params.getlist("run")))
    workspace = workspace_of(request)
    if len(wanted) < 2:
        return trouble(request, t("Choose two runs or more to compare."), back=["/runs"])
    folders = [content_path(workspace.runs, *reference.split("/", 1)) for reference in wanted]
    runs = [summarize_run(folder) for folder in folders]
    for run in runs:
        if run.record is None:
            raise UserError(f"{run.reference} cannot be compared: {run.problem}")
    lines = {run.reference: standing_of(run, time.time()).lines for run in runs}
    titles = [title for title in LOSSES.values() if any(title in each for each in lines.values())]
    drawn = {
        # A run without such a curve keeps its place, so that each has one colour in all pictures.
        title: curves({name: each.get(title, []) for name, each in lines.items()}, told=t(title), bottom=t("step"))
        for title in titles
    }
    values: dict[str, Any] = {
        "runs": runs, "drawn": drawn, "scores": _scores(runs), "differing": differing_settings(runs),
        "figures": compared_figures(runs), "command": ["runs", "compare", *(run.reference for run in runs)],
    }  # fmt: skip
    return render(request, "runs/compared.html", **values, title=t("Runs beside each other"))


def _scores(runs: list[RunSummary]) -> dict[tuple[str, str], list[Any]]:
    """Suite and metric to the score of each Run's model; None where it was not measured."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs:
        for suite, report in run.reports.items():
            for score in report.scores.get("tuned", []):
                found.setdefault((suite, score.title or score.metric), {})[run.reference] = score
    return {key: [each.get(run.reference) for run in runs] for key, each in found.items()}


def _values(request: Request, run: RunSummary) -> dict[str, Any]:
    """What the templates of a Run need."""
    workspace = workspace_of(request)
    standing = standing_of(run, time.time())
    drawn = curves({t(title): line for title, line in standing.lines.items()}, told=t("Loss at each step"), bottom=t("step"))
    reports = sorted((run.folder / "evals").glob("[!.]*/[!.]*/scores.json"), key=lambda path: path.parent.name, reverse=True)
    job = job_of(run, workspace) if run.status == "running" else None
    ended = last_job_of(run, workspace) if run.status in {"failed", "stopped", "damaged"} else None
    return {
        "run": run,
        "standing": standing,
        "drawn": drawn,
        "job": job,
        # Where not even the record could be written any more (a full disk), the command has said why.
        "said": ended.record.said if ended is not None and ended.status == "failed" and not run.problem else None,
        "ended": ended,
        "samples": [(path.name, step_of(path)) for path in sample_files(run)[:_SAMPLES]],
        "reports": [(path.parents[1].name, path.parent.name) for path in reports],
    }


warm = run_out.warm

ROUTES = [
    Route("/runs", _listed),
    Route("/runs/compare", _compared),
    *run_parts.ROUTES,
    *run_out.ROUTES,
    Route("/runs/{name}/{id}", _shown),
    Route("/runs/{name}/{id}/live", _live),
    Route("/runs/{name}/{id}/stop", allowed("train", _stop), methods=["POST"]),
    Route("/runs/{name}/{id}/resume", allowed("train", _resume), methods=["POST"]),
]
