"""Reports as the studio wrote them, inside a page: shut into a frame that can run no script of ours and ask nobody."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from studio.pages.site import content_path, workspace_of

FRAMING = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-src 'self'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
}
"""Headers of a page that shows a report in a frame."""
SHUT = {
    "content-security-policy": "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; img-src data: 'self'; "
    "font-src data:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "x-frame-options": "SAMEORIGIN",
    "cache-control": "no-store",
}
"""Headers of a page that stands in a frame."""
# What the studio itself writes beside artefacts and a page may show.
_PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}


def _of_dataset(request: Request) -> Response:
    """``report.html`` of a Dataset."""
    part = request.path_params
    return _report(content_path(workspace_of(request).datasets, part["name"], part["id"], "report.html"))


def _of_evaluation(request: Request) -> Response:
    """``report.html`` of an evaluation of a Run."""
    part = request.path_params
    parts = (part["name"], part["id"], "evals", part["suite"], part["time"], "report.html")
    return _report(content_path(workspace_of(request).runs, *parts))


def _of_model(request: Request) -> Response:
    """``report.html`` of an evaluation of a model that is no Run."""
    part = request.path_params
    root = workspace_of(request).root / "reports"
    return _report(content_path(root, part["name"], part["suite"], part["time"], "report.html"))


def _picture(request: Request) -> Response:
    """A picture below a Run: samples, the plot of its loss."""
    part = request.path_params
    path = content_path(workspace_of(request).runs, part["name"], part["id"], *part["file"].split("/"))
    if path.suffix not in _PICTURES or not path.is_file():
        return Response(status_code=404)
    return FileResponse(path, media_type=_PICTURES[path.suffix], headers={"cache-control": "no-store"})


def _report(path: object) -> Response:
    """A report, shut in."""
    return FileResponse(str(path), media_type="text/html; charset=utf-8", headers=SHUT)


ROUTES = [
    Route("/reports/datasets/{name}/{id}", _of_dataset),
    Route("/reports/runs/{name}/{id}/{suite}/{time}", _of_evaluation),
    Route("/reports/models/{name}/{suite}/{time}", _of_model),
    Route("/pictures/runs/{name}/{id}/{file:path}", _picture),
]
