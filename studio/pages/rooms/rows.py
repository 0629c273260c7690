"""Rows of a Dataset: searched, one in full, and edited; what was edited becomes a new Dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.apps.entries import read_items
from studio.core.errors import UserError
from studio.core.records import DatasetRecord
from studio.data.annotations.base import ANNOTATED, Item, annotated_rows
from studio.data.annotations.spreadsheet import LABEL, TEXT
from studio.data.entries import REMOVED, Entry
from studio.pages import shown
from studio.pages.edits import Edits, Line
from studio.pages.looks import shown_path
from studio.pages.posted import posted, text_of
from studio.pages.rendering import go_to, visitor_of
from studio.pages.rooms.dataset import AT, address, dataset_page, page_number
from studio.pages.site import allowed, workspace_of
from studio.pages.work import begin

_ROWS, _PICTURES = 20, 24
# Facts of a row beside each other; the row's own page shows all.
_FACTS = 6


def _rows(request: Request) -> Response:
    """Rows of a part, searched and in pages."""
    folder, record = shown.find(request)
    part = shown.part_of(request, record)
    query = request.query_params
    words, reason = query.get("q", "").strip()[:200], query.get("reason", "") if part == REMOVED else ""
    found = shown.search(folder, part, words, reason)
    pictures = bool(found) and found[0].picture is not None
    size = _PICTURES if pictures else _ROWS
    last = max(0, (len(found) - 1) // size)
    at = page_number(request, last)
    entries = found[at * size : (at + 1) * size]
    spoken = any(entry.turns for entry in entries)
    values: dict[str, Any] = {
        "part": part, "q": words, "reason": reason, "entries": entries, "at": at, "last": last, "count": len(found),
        "first": at * size, "pictures": pictures, "spoken": spoken, "facts": [] if spoken else _fact_names(entries),
        "reasons": shown.reasons(folder) if part == REMOVED else [],
        "asked": {"part": part, "q": words, "reason": reason},
    }  # fmt: skip
    return dataset_page(request, "rows", folder, record, **values)


def _fact_names(entries: Sequence[Entry]) -> list[str]:
    """The facts that stand beside each other in a table of rows in which nobody speaks."""
    return list(dict.fromkeys(name for entry in entries for name in entry.facts))[:_FACTS]


def _row(request: Request) -> Response:
    """One row in full, beside the row that it repeats, and the fields to edit it."""
    return _show_row(request)


def _show_row(request: Request, *, wrong: str = "", typed: dict[str, str] | None = None) -> Response:
    """The page of a row.

    Args:
        wrong: a sentence about what was typed; typed: what it was.
    """
    folder, record = shown.find(request)
    part, query = shown.part_of(request, record), request.query_params
    identity, words, reason = query.get("id", ""), query.get("q", ""), query.get("reason", "")
    entry = shown.entry_of(folder, part, identity)
    if entry is None:
        raise HTTPException(404)
    found = shown.search(folder, part, words, reason)
    place = next((at for at, one in enumerate(found) if one.id == identity), None)
    item = None if part == REMOVED or record.kind not in ANNOTATED else read_items(folder).get(identity)
    reference = f"{folder.parent.name}/{folder.name}"
    waiting = Edits(workspace_of(request), reference).pending().get(identity, {}) if item is not None else {}
    values: dict[str, Any] = {
        "part": part, "entry": entry, "place": place, "count": len(found), "item": item, "wrong": wrong,
        "before": found[place - 1].id if place else None,
        "after": found[place + 1].id if place is not None and place + 1 < len(found) else None,
        "match": shown.matched(folder, record, entry), "asked": {"part": part, "q": words, "reason": reason},
        "edited": bool(waiting), "text_name": _text_name(record),
        "typed": typed or _as_typed(item, waiting),
        "command": ["data", "show", reference, *_options(part), "--id", identity],
    }  # fmt: skip
    return dataset_page(request, "row", folder, record, status=422 if wrong else 200, **values)


def _options(part: str) -> list[str]:
    """The options of ``studio data show`` for a part."""
    return ["--removed"] if part == REMOVED else ["--split", part]


def _text_name(record: DatasetRecord) -> str:
    """What the text that may be edited is called; empty where there is none."""
    return (annotated_rows(record).text_name or "") if record.kind in ANNOTATED else ""


def _as_typed(item: Item | None, waiting: Line) -> dict[str, str]:
    """What stands in the fields of a row: its edit that waits, else what it is."""
    if item is None:
        return {}
    return {"label": waiting.get(LABEL, item.label or ""), "text": waiting.get(TEXT, item.text or "")}


def _edits(request: Request, folder: Path) -> Edits:
    """The edits of a Dataset."""
    return Edits(workspace_of(request), f"{folder.parent.name}/{folder.name}")


def _keep(request: Request) -> Response:
    """Keep the edit of a row, and go on to the next where that was asked for."""
    folder, record = shown.find(request)
    form = posted(request)
    query = request.query_params
    item = read_items(folder).get(query.get("id", "")) if record.kind in ANNOTATED else None
    if item is None:
        raise HTTPException(404)
    typed = {"label": text_of(form, "label"), "text": text_of(form, "text")}
    try:
        text = typed["text"] if "text" in form else None
        _edits(request, folder).keep(item, label=typed["label"], text=text, by=visitor_of(request).name)
    except UserError as error:
        return _show_row(request, wrong=str(error), typed=typed)
    asked = {name: query.get(name, "") for name in ("part", "q", "reason")}
    row = text_of(form, "next") or item.id
    return go_to(address(f"{folder.parent.name}/{folder.name}", "row", **asked, id=row))


def _forget(request: Request) -> Response:
    """Forget the edit of a row, or all."""
    folder, _ = shown.find(request)
    _edits(request, folder).drop(text_of(posted(request), "row") or None)
    return go_to(address(f"{folder.parent.name}/{folder.name}", "edits"))


def _listed_edits(request: Request, *, wrong: str = "", name: str = "") -> Response:
    """The edits that wait, what each changes, and the button that makes a Dataset of them."""
    folder, record = shown.find(request)
    if record.kind not in ANNOTATED:
        raise HTTPException(404)
    edits, items = _edits(request, folder), read_items(folder)
    waiting = edits.pending()
    lines = [(items[row], line.get(LABEL), line.get(TEXT), line) for row, line in waiting.items() if row in items]
    last = max(0, (len(lines) - 1) // _ROWS)
    at = page_number(request, last)
    values: dict[str, Any] = {
        "lines": lines[at * _ROWS : (at + 1) * _ROWS], "at": at, "last": last, "job": edits.job(), "wrong": wrong, "name": name,
        "command": _arguments(edits, edits.folder / "edits.jsonl", name), "text_name": _text_name(record),
    }  # fmt: skip
    return dataset_page(request, "edits", folder, record, status=422 if wrong else 200, **values)


def _arguments(edits: Edits, file: Path, name: str) -> list[str]:
    """The command that makes a Dataset of edits."""
    named = ["--name", name] if name else []
    return ["annotate", "import", shown_path(file), "--data", edits.reference, *named]


def _build(request: Request) -> Response:
    """Make a new Dataset of the edits, as a job."""
    from studio.data.build import check_name  # it loads pyarrow

    folder, _ = shown.find(request)
    edits, name = _edits(request, folder), text_of(posted(request), "name").strip()
    try:
        if name:
            check_name(name)
        file = edits.snapshot()
    except UserError as error:
        return _listed_edits(request, wrong=str(error), name=name)
    job = begin(request, _arguments(edits, file, name))
    edits.building(job, file)
    return go_to(f"/jobs/{job.id}")


ROUTES = [
    Route(f"{AT}/rows", _rows),
    Route(f"{AT}/row", _row),
    Route(f"{AT}/row", allowed("train", _keep), methods=["POST"]),
    Route(f"{AT}/edits", _listed_edits),
    Route(f"{AT}/edits/forget", allowed("train", _forget), methods=["POST"]),
    Route(f"{AT}/edits/build", allowed("train", _build), methods=["POST"]),
]
