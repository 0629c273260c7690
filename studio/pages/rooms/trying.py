"""Try: what was made, and the app in which each is tried; rows that wait for a label."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.errors import StudioError
from studio.core.translation import later, t
from studio.core.workspace import Workspace, read_dataset
from studio.data.annotations.base import ANNOTATED
from studio.pages.rendering import go_to, render, trouble
from studio.pages.shelf import app_address, finished_runs, run_of
from studio.pages.site import workspace_of
from studio.serve.state import StatePaths, running_servers

_PER_PAGE = 30
_MOST_DATASETS = 8
# App to the name of what one does there.
_DOING = {"chat": later("Talk"), "image": later("Paint"), "predict": later("Predict")}


def _shown(request: Request) -> Response:
    """What there is to try, or straight to the app of the run that the address names."""
    workspace = workspace_of(request)
    wanted = request.query_params.get("run")
    if wanted:
        return _opened(request, wanted)
    runs = finished_runs(workspace)
    of = request.query_params.get("app", "")
    chosen = [run for run in runs if run.app == of] if of in _DOING else runs
    last = max(0, (len(chosen) - 1) // _PER_PAGE)
    text = request.query_params.get("page", "0")
    at = min(last, int(text) if text.isdigit() and len(text) < 7 else 0)
    return render(
        request, "try/list.html",
        runs=chosen[at * _PER_PAGE : (at + 1) * _PER_PAGE], at=at, last=last, of=of, doing=_DOING, app_address=app_address,
        kinds=[app for app in _DOING if any(run.app == app for run in runs)],
        servers=running_servers(StatePaths.of(workspace)), datasets=_to_label(workspace), title=t("Try"),
    )  # fmt: skip


def _opened(request: Request, reference: str) -> Response:
    """To the app that shows a run."""
    run = run_of(workspace_of(request), reference)
    if run is None:
        return trouble(request, t("There is no finished run {run}.", run=reference), 404, back=["/try"])
    if run.app is None:
        sentence = t(
            "A run of the kind {kind} has no page to try it on. In a terminal: studio runs show {run}",
            kind=run.kind,
            run=run.reference,
        )
        return trouble(request, sentence, 404, back=["/try"])
    return go_to(app_address(run.app, run.reference))


def _to_label(workspace: Workspace) -> list[dict[str, Any]]:
    """The newest build of each Dataset whose rows can be judged and corrected."""
    found: dict[str, dict[str, Any]] = {}
    for folder in workspace.list_datasets():
        if folder.parent.name in found:
            continue
        try:
            record = read_dataset(folder)
        except (StudioError, OSError):
            continue
        if record.kind in ANNOTATED:
            reference = f"{folder.parent.name}/{folder.name}"
            found[folder.parent.name] = {"name": record.name, "reference": reference, "rows": sum(record.splits.values())}
        if len(found) == _MOST_DATASETS:
            break
    return list(found.values())


ROUTES = [Route("/try", _shown)]
