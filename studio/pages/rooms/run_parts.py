"""Further pages of a Run: its card, its family, its samples; and what of all Runs may be deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.markdown import markdown_html
from studio.core.runs import RunSummary, find_removable, summarize_run
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.pages.posted import posted
from studio.pages.rendering import render
from studio.pages.site import allowed, content_path, workspace_of
from studio.pages.work import begin_and_show

# A card longer than this is no card.
_LONGEST = 400_000
_PER_PAGE = 24


def find(request: Request) -> RunSummary:
    """The Run of an address.

    Raises:
        HTTPException: 404; there is none.
    """
    part = request.path_params
    return summarize_run(content_path(workspace_of(request).runs, part["name"], part["id"]))


def sample_files(run: RunSummary) -> list[Path]:
    """Pictures that it painted while it trained, the newest step first."""
    return sorted((run.folder / "samples").glob("[!.]*.png"), key=lambda path: path.name, reverse=True)


def step_of(path: Path) -> int | None:
    """The step in ``step-000200.png``."""
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else None


def tabs(run: RunSummary) -> list[tuple[str, str, str]]:
    """Address, key and title of the pages of a Run that have something to show."""
    here = f"/runs/{run.reference}"
    found = [(here, "run", t("Run"))]
    if (run.folder / "README.md").is_file():
        found.append((f"{here}/card", "card", t("Card")))
    if sample_files(run):
        found.append((f"{here}/samples", "samples", t("Samples")))
    if run.record is not None:
        found.append((f"{here}/lineage", "lineage", t("Where it comes from")))
    if run.status == "finished":
        found.append((f"{here}/out", "out", t("Export and deploy")))
    return found


def _card(request: Request) -> Response:
    """The model card as people read it."""
    run = find(request)
    text = card_html(run.folder / "README.md", lambda path: picture_address(run, path))
    command = ["runs", "show", run.reference]
    return render(request, "runs/card.html", run=run, text=text, tabs=tabs(run), tab="card", command=command, title=run.reference)


def card_html(file: Path, picture: Any = lambda _path: None) -> str:
    """A Markdown page of ours as HTML; empty where it is not there."""
    try:
        return markdown_html(file.read_text(encoding="utf-8", errors="replace")[:_LONGEST], picture)
    except OSError:
        return ""


def picture_address(run: RunSummary, path: str) -> str | None:
    """Address of a picture that a card of a Run names; None where it lies elsewhere."""
    file = run.folder / path
    inside = file.resolve().is_relative_to(run.folder.resolve()) and file.is_file()
    return f"/pictures/runs/{run.reference}/{path}" if inside and file.suffix in {".png", ".jpg", ".webp"} else None


def _samples(request: Request) -> Response:
    """All pictures that it painted while it trained."""
    run = find(request)
    files = sample_files(run)
    text = request.query_params.get("page", "0")
    last = max(0, (len(files) - 1) // _PER_PAGE)
    at = min(last, int(text) if text.isdigit() and len(text) < 7 else 0)
    shown = [(path.name, step_of(path)) for path in files[at * _PER_PAGE : (at + 1) * _PER_PAGE]]
    return render(
        request, "runs/samples.html", run=run, samples=shown, at=at, last=last, tabs=tabs(run), tab="samples", title=run.reference
    )


def _lineage(request: Request) -> Response:
    """From the rows of a source to what is in use, run by run."""
    from studio.loop.lineage import as_tree, family

    run = find(request)
    members = as_tree(family(workspace_of(request), run.reference))
    command = ["runs", "lineage", run.reference]
    values: dict[str, Any] = {"run": run, "members": members, "tabs": tabs(run), "tab": "lineage", "command": command}
    return render(request, "runs/lineage.html", **values, title=run.reference)


def _prune(request: Request) -> Response:
    """What would go, before it goes."""
    workspace, query = workspace_of(request), request.query_params
    references, resumable = query.getlist("run"), "resumable" in query
    items = find_removable(workspace, _folders(workspace, references), resumable=resumable)
    rows = [(item.path.relative_to(workspace.runs).as_posix(), item.reason, item.bytes) for item in items]
    return render(
        request, "runs/prune.html", rows=rows, total=sum(item.bytes for item in items), references=references,
        resumable=resumable, command=_pruning(references, resumable), title=t("Make room"),
    )  # fmt: skip


def _prune_now(request: Request) -> Response:
    """Delete it."""
    form = posted(request)
    references = [str(one) for one in form.getlist("run")]
    _folders(workspace_of(request), references)
    return begin_and_show(request, _pruning(references, form.get("resumable") is not None))


def _pruning(references: list[str], resumable: bool) -> list[str]:
    """The command."""
    return ["runs", "prune", *references, "--yes", *(["--resumable"] if resumable else [])]


def _folders(workspace: Workspace, references: list[str]) -> list[Path]:
    """The Runs that were named, by their names in the workspace alone; all of them where none was.

    Raises:
        HTTPException: 404; there is none.
    """
    if not references:
        return workspace.list_runs()
    return [content_path(workspace.runs, *reference.split("/", 1)) for reference in references]


ROUTES = [
    Route("/runs/prune", _prune),
    Route("/runs/prune", allowed("administer", _prune_now), methods=["POST"]),
    Route("/runs/{name}/{id}/card", _card),
    Route("/runs/{name}/{id}/samples", _samples),
    Route("/runs/{name}/{id}/lineage", _lineage),
]
