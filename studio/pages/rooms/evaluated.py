"""What was measured: all reports, one report with its verdicts first, and how the scores of a name moved."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from studio.core.errors import StudioError, UserError
from studio.core.records import ReportRecord, side_names
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.pages.measured import (
    Examples,
    Place,
    counted_verdicts,
    example_files,
    gate_state,
    read_examples,
    reports_of,
)
from studio.pages.rendering import render
from studio.pages.rooms.reports import FRAMING, SHUT
from studio.pages.site import content_path, workspace_of

_PER_PAGE, _EXAMPLES = 25, 5


def _number(text: str | None) -> int:
    """A page's number from an address; 0 where it is none."""
    return int(text) if text and text.isdigit() and len(text) < 7 else 0


def listed(request: Request) -> Response:
    """All reports of the workspace, or of a name."""
    workspace, name = workspace_of(request), request.query_params.get("name") or None
    places = reports_of(workspace, name)
    last = max(0, (len(places) - 1) // _PER_PAGE)
    at = min(last, _number(request.query_params.get("page")))
    rows = [_row(place) for place in places[at * _PER_PAGE : (at + 1) * _PER_PAGE]]
    names = sorted({place.name for place in reports_of(workspace)})
    return render(
        request, "evaluate/list.html", rows=rows, names=names, name=name, at=at, last=last, tab="reports", title=t("Evaluate")
    )


def _row(place: Place) -> dict[str, Any]:
    """One line of the list; a damaged report is told, not left out."""
    try:
        record = place.record()
    except StudioError as error:
        return {"place": place, "problem": str(error)}
    return {"place": place, "record": record, "verdicts": counted_verdicts(record), "gate": gate_state(record), "problem": None}


def _of_run(request: Request) -> Response:
    """A report on a Run."""
    part = request.path_params
    parts = (part["name"], part["id"], "evals", part["suite"], part["time"])
    folder = content_path(workspace_of(request).runs, *parts)
    return _report(request, Place(folder, part["name"], f"{part['name']}/{part['id']}"))


def _of_model(request: Request) -> Response:
    """A report on a model that is no Run."""
    part = request.path_params
    folder = content_path(workspace_of(request).root / "reports", part["name"], part["suite"], part["time"])
    return _report(request, Place(folder, part["name"], None))


def _report(request: Request, place: Place) -> Response:
    """The verdicts, the gate, examples beside each other, and the whole report in a frame."""
    from studio.evals.gate import gate_sentence
    from studio.evals.score_table import correction_note, score_table

    if not (place.folder / "scores.json").is_file():
        raise HTTPException(404)
    record = place.record()
    columns, rows = score_table(record)
    tables = example_files(place.folder)
    query = request.query_params
    task = query.get("task", "") if query.get("task", "") in tables else next(iter(tables), "")
    values: dict[str, Any] = {
        "place": place, "record": record, "columns": columns, "rows": rows, "note": correction_note(record),
        "gate": gate_state(record), "sentence": gate_sentence(record.gate) if record.gate else "",
        "verdicts": counted_verdicts(record), "sides": side_names(record.models),
        "reasons": [(one.title or one.name, one.reason) for one in record.tasks if one.reason],
        "asked": sum(one.rows for one in record.tasks) or record.dataset.get("rows"),
        "types": sorted({str(model["dtype"]) for model in record.models.values() if model.get("dtype")}),
        "tables": list(tables), "task": task, "worst": query.get("show") == "worsened",
        "examples": _examples(request, place, record, task), "at": _number(query.get("page")), "per": _EXAMPLES,
        "whole": (place.folder / "report.html").is_file(), "command": _command(place, record),
    }  # fmt: skip
    response = render(request, "evaluate/report.html", **values, title=record.suite)
    response.headers.update(FRAMING)
    return response


def _examples(request: Request, place: Place, record: ReportRecord, task: str) -> Examples | None:
    """A page of examples; None where there are none, or their file is damaged."""
    file = example_files(place.folder).get(task)
    if file is None:
        return None
    query = request.query_params
    by, worst, at = query.get("by"), query.get("show") == "worsened", _number(query.get("page"))
    # What pyarrow raises of a damaged file are ValueErrors and OSErrors.
    with suppress(OSError, ValueError):
        return read_examples(file, task, record, by=by, worst=worst, at=at, count=_EXAMPLES)
    return None


def _command(place: Place, record: ReportRecord) -> list[str]:
    """The command that measures the same again."""
    words = ["eval", record.suite, "--model", place.run or str(record.models["tuned"].get("name"))]
    limit = record.settings.get("limit")
    return [*words, "--limit", str(limit)] if limit else words


def _trend(request: Request) -> Response:
    """How the scores of a name moved."""
    name = request.path_params["name"]
    trends, problems = _trends(name, workspace_of(request))
    evaluations = [item for trend in trends for item in trend.evaluations]
    places = {place.folder: place for place in reports_of(workspace_of(request), name)}
    lines = [(places[item.folder], item.record, gate_state(item.record)) for item in evaluations if item.folder in places]
    response = render(
        request, "evaluate/trend.html", name=name, lines=lines, problems=problems, command=["runs", "trend", name],
        tab="reports", title=t("How the scores of {name} moved", name=name),
    )  # fmt: skip
    response.headers.update(FRAMING)
    return response


def _trends(name: str, workspace: Workspace) -> tuple[list[Any], list[str]]:
    """The trends of a name of the workspace.

    Raises:
        HTTPException: 404; nothing of that name was measured.
    """
    from studio.evals.trend import find_followed, read_trends

    if name not in {place.name for place in reports_of(workspace)}:
        raise HTTPException(404)
    try:
        return read_trends(find_followed(name, workspace))
    except UserError:
        raise HTTPException(404) from None


def _trend_framed(request: Request) -> Response:
    """The page of ``studio runs trend``, shut in; its links, which lead from file to file, stand beside the frame instead."""
    from studio.evals.trend import find_followed
    from studio.evals.trend_page import render_trends

    name, workspace = request.path_params["name"], workspace_of(request)
    trends, _ = _trends(name, workspace)
    text = render_trends(find_followed(name, workspace), trends, workspace.root / "trend.html")
    return HTMLResponse(re.sub(r'<a href="[^"]*">(.*?)</a>', r"\1", text), headers=SHUT)


ROUTES = [
    Route("/evaluate/trend/{name}", _trend),
    Route("/evaluate/models/of/{name}/{suite}/{time}", _of_model),
    Route("/evaluate/{name}/{id}/{suite}/{time}", _of_run),
    Route("/reports/trends/{name}", _trend_framed),
]
