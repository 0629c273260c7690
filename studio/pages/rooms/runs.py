"""Runs: what was trained and what trains now; one Run live, stopped, gone on with; two or more beside each other."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.runs import RunSummary, settings_of, summarize_run
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.jobs.records import ask_to_stop
from studio.pages.curves import curves
from studio.pages.rendering import go_to, render, trouble
from studio.pages.running import job_of, standing_of
from studio.pages.site import allowed, content_path, workspace_of
from studio.pages.work import begin_and_show

_PER_PAGE = 30
_SAMPLES = 12


def run_folders(workspace: Workspace, at: int = 0) -> tuple[list[RunSummary], int]:
    """Runs of one page, newest first, and the number of the last page."""
    folders = workspace.list_runs()
    shown = folders[at * _PER_PAGE : (at + 1) * _PER_PAGE]
    return [summarize_run(folder) for folder in shown], max(0, (len(folders) - 1) // _PER_PAGE)


def _listed(request: Request) -> Response:
    """All Runs."""
    text = request.query_params.get("page", "0")
    at = int(text) if text.isdigit() and len(text) < 7 else 0
    runs, last = run_folders(workspace_of(request), at)
    return render(request, "runs/list.html", runs=runs, at=at, last=last, title=t("Runs"))


def find(request: Request) -> RunSummary:
    """The Run of an address.

    Raises:
        HTTPException: 404; there is none.
    """
    part = request.path_params
    return summarize_run(content_path(workspace_of(request).runs, part["name"], part["id"]))


def _shown(request: Request) -> Response:
    """One Run: what it is, how it goes, what it scored."""
    run = find(request)
    return render(request, "runs/run.html", **_values(request, run), settings=settings_of(run.folder), title=run.reference)


def _live(request: Request) -> Response:
    """The part of a Run's page that changes."""
    run = find(request)
    response = render(request, "runs/live.html", **_values(request, run))
    if run.status != "running":
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
    """Go on with a training that was stopped."""
    return begin_and_show(request, ["train", "--resume", find(request).reference])


def _compared(request: Request) -> Response:
    """Runs beside each other: curves, settings that differ, scores."""
    wanted = request.query_params.getlist("run")
    workspace = workspace_of(request)
    runs = [summarize_run(workspace.find_run(reference)) for reference in dict.fromkeys(wanted)]
    if len(runs) < 2:
        return trouble(request, t("Choose two runs or more to compare."), back=["/runs"])
    settings = {run.reference: settings_of(run.folder) for run in runs}
    names = list(dict.fromkeys(name for each in settings.values() for name in each))
    differing = {name: [each.get(name) for each in settings.values()] for name in names}
    differing = {name: values for name, values in differing.items() if any(value != values[0] for value in values)}
    lines = {run.reference: standing_of(run, time.time()).lines for run in runs}
    drawn = {
        title: curves({name: each[title] for name, each in lines.items() if title in each}, told=t(title), bottom=t("step"))
        for title in ("loss", "validation")
    }
    command = ["runs", "compare", *(run.reference for run in runs)]
    return render(
        request, "runs/compared.html", runs=runs, differing=differing, drawn=drawn, scores=_scores(runs), command=command,
        title=t("Runs beside each other"),
    )  # fmt: skip


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
    standing = standing_of(run, time.time())
    drawn = curves({t(title): line for title, line in standing.lines.items()}, told=t("Loss at each step"), bottom=t("step"))
    pictures = sorted((run.folder / "samples").glob("*.png"), key=lambda path: path.stat().st_mtime, reverse=True)
    reports = sorted((run.folder / "evals").glob("[!.]*/[!.]*/report.html"), key=lambda path: path.parent.name, reverse=True)
    return {
        "run": run,
        "standing": standing,
        "drawn": drawn,
        "job": job_of(run, workspace_of(request)),
        "samples": [path.name for path in pictures[:_SAMPLES]],
        "reports": [(path.parents[1].name, path.parent.name) for path in reports],
    }


ROUTES = [
    Route("/runs", _listed),
    Route("/runs/compare", _compared),
    Route("/runs/{name}/{id}", _shown),
    Route("/runs/{name}/{id}/live", _live),
    Route("/runs/{name}/{id}/stop", allowed("train", _stop), methods=["POST"]),
    Route("/runs/{name}/{id}/resume", allowed("train", _resume), methods=["POST"]),
]
