"""Watch: figures of the models in use, what people said of them, and projects with their looks and rounds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from studio.core.errors import UserError, nearest
from studio.core.translation import later, t
from studio.data.feedback import FORMS
from studio.feedback.export import RECIPE
from studio.feedback.store import FILE_NAME, FeedbackStore
from studio.feedback.wins import standings
from studio.pages.figures import PERIODS, REFERENCE, drift_of, figures_of
from studio.pages.posted import posted, text_of
from studio.pages.projects import Kept, project_files, project_named, projects_of
from studio.pages.rendering import go_to, render, trouble
from studio.pages.site import allowed, content_path, workspace_of
from studio.pages.work import begin, begin_and_show

_PER_PAGE = 30
_EXPORTS = "feedback-exports"
_SAID = {
    "ratings": later("Thumb"),
    "corrections": later("Correction"),
    "votes": later("Comparison"),
    "annotations": later("Label"),
}
FORM_TITLES = {
    "kto": later("Thumbs, each answer good or bad (kto)"),
    "dpo": later("Pairs, the better answer beside the worse (dpo)"),
    "sft": later("Answers to imitate (sft)"),
}


@contextmanager
def _reading(request: Request) -> Iterator[FeedbackStore | None]:
    """The feedback file; None where nothing was asked or said yet."""
    path = workspace_of(request).root / FILE_NAME
    if not path.is_file():
        yield None
        return
    store = FeedbackStore(path)
    try:
        yield store
    finally:
        store.close()


# -- figures -------------------------------------------------------------------------------------------------------------


def _shown(request: Request) -> Response:
    """Figures of a period. What changed is asked for by the page itself, or by a link where there is no script."""
    drift = _drift_found(request) if "drift" in request.query_params else None
    return render(request, "watch/figures.html", **_values(request), drift=drift, tab="figures", title=t("Watch"))


def _live(request: Request) -> Response:
    """The part that changes."""
    return render(request, "watch/live.html", **_values(request))


def _drift(request: Request) -> Response:
    """What changed, as a part of the page."""
    return render(request, "watch/drift.html", **_values(request), drift=_drift_found(request))


def _chosen(request: Request) -> tuple[str, str | None]:
    """Period and model of an address."""
    code = request.query_params.get("period", "week")
    return code if code in PERIODS else "week", request.query_params.get("model") or None


def _values(request: Request) -> dict[str, Any]:
    """What the templates of figures need."""
    code, model = _chosen(request)
    with _reading(request) as store:
        figures = figures_of(store, PERIODS[code], model, time.time()) if store is not None else None
    return {"figures": figures, "code": code, "model": model, "periods": PERIODS, "reference": REFERENCE}


def _drift_found(request: Request) -> list[Any]:
    """Signals of each model, those that changed first."""
    code, model = _chosen(request)
    with _reading(request) as store:
        return drift_of(store, PERIODS[code], model, time.time()) if store is not None else []


# -- what people said ----------------------------------------------------------------------------------------------------


def _feedback(request: Request) -> Response:
    """What people said, newest first, and the files made of it."""
    return _feedback_page(request)


def _feedback_page(request: Request, status: int = 200, wrong: str = "", typed: str = "kto") -> Response:
    """The page; ``wrong``: what was wrong in its form."""
    workspace = workspace_of(request)
    with _reading(request) as store:
        rows, wins = (_said(store), standings(store)) if store is not None else ([], [])
    last = max(0, (len(rows) - 1) // _PER_PAGE)
    text = request.query_params.get("page", "0")
    at = min(last, int(text) if text.isdigit() and len(text) < 7 else 0)
    files = sorted((workspace.root / _EXPORTS).glob("*.jsonl"), reverse=True)[:_PER_PAGE]
    return render(
        request, "watch/feedback.html", status, rows=rows[at * _PER_PAGE : (at + 1) * _PER_PAGE], at=at, last=last, wins=wins,
        files=[(file.name, file.stat().st_size) for file in files], forms=FORM_TITLES, wrong=wrong, typed=typed, recipe=RECIPE,
        kinds=_SAID, tab="feedback", title=t("What people said"),
    )  # fmt: skip


def _said(store: FeedbackStore) -> list[dict[str, Any]]:
    """Judgements as a list shows them, newest first."""
    found = []
    for table in _SAID:
        for row in store.rows(table):
            found.append({"table": table, "at": datetime.fromtimestamp(row["created"], UTC).isoformat(), **_words(table, row)})
    return sorted(found, key=lambda one: str(one["at"]), reverse=True)


def _words(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """Who, of which model, the question, the answer, and what was said of it."""
    asked = next((turn["content"] for turn in reversed(row["prompt"] or []) if turn.get("role") == "user"), "")
    match table:
        case "ratings":
            value = {1: "+1", -1: "−1"}.get(row["value"], "0")
        case "corrections":
            value = row["correction"]
        case "votes":
            value = {"a": row["model"], "b": row["model_b"]}.get(row["winner"], row["winner"])
        case _:
            value = row["label"] or row["correction"] or ""
    model = f"{row['model']} / {row['model_b']}" if table == "votes" else row["model"]
    answer = "" if table == "votes" else row["completion"]
    return {"user": row["user"], "model": model, "asked": str(asked), "answer": str(answer), "said": str(value)}


def _export(request: Request) -> Response:
    """Write what people said as training rows, as a job, into a file of the workspace."""
    form = text_of(posted(request), "form")
    if form not in FORMS:
        known = FORMS.in_order()
        sentence = f"--form is {form!r}.{nearest(form, known)} Allowed: {', '.join(known)}."
        return _feedback_page(request, 422, sentence, form)
    folder = workspace_of(request).root / _EXPORTS
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{form}-{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}.jsonl"
    return begin_and_show(request, ["feedback", "export", "--form", form, "--to", str(folder / name)])


def _file(request: Request) -> Response:
    """A file of training rows, to keep."""
    path = content_path(workspace_of(request).root / _EXPORTS, request.path_params["name"])
    return FileResponse(path, media_type="application/jsonl", filename=path.name, headers={"cache-control": "no-store"})


def _build(request: Request) -> Response:
    """Build a Dataset from what people said, with the studio's own recipe."""
    return begin_and_show(request, ["data", "build", RECIPE])


# -- projects ------------------------------------------------------------------------------------------------------------


def _projects(request: Request) -> Response:
    """Projects with their looks and rounds."""
    return render(request, "watch/projects.html", **_standing(request), tab="projects", title=t("Projects"))


def _projects_live(request: Request) -> Response:
    """The part that changes."""
    return render(request, "watch/projects-live.html", **_standing(request))


def _standing(request: Request) -> dict[str, Any]:
    """How projects stand."""
    workspace = workspace_of(request)
    return {"projects": projects_of(workspace)}


def _project(request: Request) -> Kept:
    """The project of an address.

    Raises:
        UserError: it is not there any more.
    """
    workspace, name = workspace_of(request), str(request.path_params["name"])
    found = project_named(workspace, name)
    if found is None:
        known = [file.parent.name for file in project_files(workspace)]
        raise UserError(f"there is no project {name!r}.{nearest(name, known)} See: /watch/projects")
    return found


def _look(request: Request) -> Response:
    """Look once, as a job."""
    return begin_and_show(request, ["watch", str(_project(request).file), "--once"])


def _keep_looking(request: Request) -> Response:
    """Look on and on, as a job that ends when it is stopped; one that looks already is not started twice."""
    found = _project(request)
    if found.looking is None:
        begin(request, ["watch", str(found.file)], queued=False)
    return go_to("/watch/projects")


def _improve(request: Request) -> Response:
    """Begin a round, or go on with the one that is not over."""
    return begin_and_show(request, ["improve", str(_project(request).file)])


def _answer(request: Request) -> Response:
    """Say yes or no to the model that waits."""
    answer = text_of(posted(request), "answer")
    if answer not in {"yes", "no"}:
        return trouble(request, t("Say yes or no."), 422, back=["/watch/projects"])
    return begin_and_show(request, ["improve", str(_project(request).file), f"--{answer}"])


def _report(request: Request) -> Response:
    """The report of a round, as it was written."""
    part = request.path_params
    path = content_path(workspace_of(request).root / "rounds", part["name"], part["number"], "report.md")
    text = path.read_text(encoding="utf-8")
    title = t("Round {number} of {project}", number=part["number"].lstrip("0"), project=part["name"])
    return render(request, "watch/report.html", text=text, title=title)


ROUTES = [
    Route("/watch", _shown),
    Route("/watch/live", _live),
    Route("/watch/drift", _drift),
    Route("/watch/feedback", allowed("train", _feedback)),
    Route("/watch/feedback/export", allowed("train", _export), methods=["POST"]),
    Route("/watch/feedback/build", allowed("train", _build), methods=["POST"]),
    Route("/watch/feedback/files/{name}", allowed("train", _file)),
    Route("/watch/projects", _projects),
    Route("/watch/projects/live", _projects_live),
    Route("/watch/projects/{name}/look", allowed("train", _look), methods=["POST"]),
    Route("/watch/projects/{name}/looking", allowed("train", _keep_looking), methods=["POST"]),
    Route("/watch/projects/{name}/improve", allowed("train", _improve), methods=["POST"]),
    Route("/watch/projects/{name}/answer", allowed("administer", _answer), methods=["POST"]),
    Route("/watch/projects/{name}/rounds/{number}", _report),
]
