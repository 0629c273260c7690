"""Data: what was built. The pages of one Dataset, of its rows, of labelling and of what people bring stand beside this file."""

from __future__ import annotations

from typing import Any

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.translation import t
from studio.data.annotations.base import ANNOTATED
from studio.pages import shown
from studio.pages.rendering import go_to, render
from studio.pages.rooms import bringing, dataset, labelling, rows
from studio.pages.rooms.dataset import address, page_number
from studio.pages.site import workspace_of
from studio.pages.uploads import list_uploads

_PER_PAGE, _UPLOADS = 30, 5


def _listed(request: Request) -> Response:
    """All Datasets, newest first."""
    workspace = workspace_of(request)
    wanted = request.query_params.get("q", "").strip()[:100]
    folders = [folder for folder in workspace.list_datasets() if wanted.casefold() in folder.parent.name.casefold()]
    last = max(0, (len(folders) - 1) // _PER_PAGE)
    at = page_number(request, last)
    datasets = [shown.shown(folder) for folder in folders[at * _PER_PAGE : (at + 1) * _PER_PAGE]]
    values: dict[str, Any] = {
        "at": at,
        "last": last,
        "q": wanted,
        "uploads": list_uploads(workspace)[:_UPLOADS] if not at else [],
    }
    response = render(request, "data/list.html", datasets=datasets, any=bool(folders) or bool(wanted), title=t("Data"), **values)
    response.background = BackgroundTask(_get_ready)
    return response


def _get_ready() -> None:
    """Load what the pages of rows need while somebody reads the list: the first table else waits for pandas."""
    for kind in ANNOTATED:
        ANNOTATED.get(kind)


def _newest(request: Request) -> Response:
    """The newest build of a name."""
    name = request.path_params["name"]
    for folder in workspace_of(request).list_datasets():
        if folder.parent.name == name:
            return go_to(address(f"{name}/{folder.name}"))
    raise HTTPException(404)


ROUTES = [
    Route("/data", _listed),
    *bringing.ROUTES,
    *dataset.ROUTES,
    *rows.ROUTES,
    *labelling.ROUTES,
    Route("/data/{name}", _newest),
]
