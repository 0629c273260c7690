"""One Dataset: what it is and how it came to be, what repeats what in it, its report and its card."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import yaml
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.errors import StudioError
from studio.core.records import DatasetRecord
from studio.core.translation import t
from studio.data.annotations.base import ANNOTATED
from studio.data.entries import REMOVED, Entry
from studio.data.page import REPORT_FILE
from studio.pages import shown
from studio.pages.edits import Edits
from studio.pages.rendering import render
from studio.pages.rooms.reports import FRAMING
from studio.pages.site import workspace_of

AT = "/data/{name}/{id}"
_GROUPS = 12
# Pixels of the longer side of a picture among others, and alone.
_THUMBNAIL, _WHOLE = 320, 1024


def page_number(request: Request, last: int) -> int:
    """Which page an address asks for, from 0, within what there is."""
    text = request.query_params.get("page", "0")
    return min(last, int(text)) if text.isdecimal() and len(text) < 7 else 0


def address(reference: str, what: str = "", **query: str) -> str:
    """The address of a page of a Dataset; fields that are empty are left out."""
    kept = urlencode({name: value for name, value in query.items() if value})
    return f"/data/{quote(reference)}{f'/{what}' if what else ''}{f'?{kept}' if kept else ''}"


def dataset_page(
    request: Request, tab: str, folder: Path, record: DatasetRecord, *, status: int = 200, **values: Any
) -> Response:
    """A page of a Dataset, with the tabs that all have."""
    reference = f"{folder.parent.name}/{folder.name}"
    pending = len(Edits(workspace_of(request), reference).pending()) if record.kind in ANNOTATED else 0
    known = {
        "record": record,
        "reference": reference,
        "parts": shown.parts_of(record),
        "tab": tab,
        "tabs": _tabs(folder, record, pending),
        "pending": pending,
        "address": address,
        "REMOVED": REMOVED,
        "repeats": _repeats,
    }
    return render(request, f"data/{tab}.html", status, **known, **values, title=record.name)


def _repeats(entry: Entry) -> str:
    """The id of the row that a removed one repeats; empty where it repeats none."""
    return entry.facts.get(shown.REPEATS, "") if entry.reason else ""


def _tabs(folder: Path, record: DatasetRecord, pending: int) -> dict[str, str]:
    """The pages of a Dataset and what they are called."""
    found = {
        "": t("Overview"),
        "rows": t("The rows"),
        "twins": t("Repetitions") if record.rows_removed and shown.has_repeated(folder) else "",
        "report": t("Report") if (folder / REPORT_FILE).is_file() else "",
        "label": t("Labelling") if record.kind in ANNOTATED else "",
        "edits": (t("Edits ({count})", count=pending) if pending else t("Edits")) if record.kind in ANNOTATED else "",
        "card": t("Data card"),
    }
    return {path: title for path, title in found.items() if title}


def _overview(request: Request) -> Response:
    """What a Dataset is and how it came to be."""
    folder, record = shown.find(request)
    rounds, made = shown.history(workspace_of(request), record)
    values: dict[str, Any] = {
        "rounds": rounds,
        "made": made,
        "recipe": yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True, width=110),
        "notes": (record.model_extra or {}).get("notes", []),
        "report": (folder / REPORT_FILE).is_file(),
    }
    return dataset_page(request, "overview", folder, record, **values)


def _twins(request: Request) -> Response:
    """Rows that stayed beside those that were removed as their repetitions."""
    folder, record = shown.find(request)
    groups = shown.repeated(folder, record)
    last = max(0, (len(groups) - 1) // _GROUPS)
    at = page_number(request, last)
    values: dict[str, Any] = {"groups": groups[at * _GROUPS : (at + 1) * _GROUPS], "count": len(groups), "at": at, "last": last}
    return dataset_page(request, "twins", folder, record, **values)


def _report(request: Request) -> Response:
    """The report, in a frame."""
    folder, record = shown.find(request)
    if not (folder / REPORT_FILE).is_file():
        raise HTTPException(404)
    response = dataset_page(request, "report", folder, record)
    response.headers.update(FRAMING)
    return response


def _card(request: Request) -> Response:
    """The data card, as hubs read it."""
    from studio.data.card import card_text  # it loads pyarrow

    folder, record = shown.find(request)
    return dataset_page(request, "card", folder, record, card=card_text(record))


def _picture(request: Request) -> Response:
    """The picture of a row, made smaller."""
    folder, record = shown.find(request)
    part = shown.part_of(request, record)
    data = _small(folder, part, request.query_params.get("id", ""), "whole" in request.query_params)
    if data is None:
        return Response(status_code=404)
    # A finished Dataset never changes.
    return Response(data, media_type="image/png", headers={"cache-control": "private, max-age=86400, immutable"})


@functools.lru_cache(maxsize=256)
def _small(folder: Path, part: str, identity: str, whole: bool) -> bytes | None:
    """A picture as PNG; None for a row without one."""
    entry = shown.entry_of(folder, part, identity)
    if entry is None or entry.picture is None:
        return None
    try:
        image = entry.picture()
    except (StudioError, OSError):
        return None
    image.thumbnail((_WHOLE, _WHOLE) if whole else (_THUMBNAIL, _THUMBNAIL))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


ROUTES = [
    Route(AT, _overview),
    Route(f"{AT}/twins", _twins),
    Route(f"{AT}/report", _report),
    Route(f"{AT}/card", _card),
    Route(f"{AT}/picture", _picture),
]
