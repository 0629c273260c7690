"""The address as a whole: what answers what, and what stands before it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from studio.apps.accounts import Accounts
from studio.apps.security import GuardedPage
from studio.core.errors import StudioError, UserError
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.pages.guard import Guard, set_cookie
from studio.pages.rendering import go_to, render, trouble, visitor_of
from studio.pages.side import Side
from studio.pages.table import all_routes
from studio.pages.visitors import COOKIE, Doorkeeper

# Bytes of one request; a file that is uploaded may be as large as pages say (see ``rooms/data.py``).
MAX_UPLOAD = 2 * 1024**3
_HOUR = "public, max-age=3600"


def build_site(
    workspace: Workspace, *, accounts: Accounts | None = None, hosts: frozenset[str] | None = None, side: Side | None = None
) -> Starlette:
    """The ASGI application.

    Args:
        accounts: who may come in; None lets everyone in who reaches the address.
        hosts: host names that are answered; None for any.
        side: the process behind the pages of Gradio; None leaves them out.
    """
    door = Doorkeeper(workspace, accounts)
    routes = [
        Route("/healthz", lambda _: PlainTextResponse("ok")),
        Route("/favicon.ico", lambda _: RedirectResponse("/static/mark.svg", 308)),
        Route("/sign-in", _sign_in, methods=["GET", "POST"]),
        Route("/sign-out", _sign_out, methods=["POST"]),
        Mount("/static", _Static(directory=str(resources.files("studio.pages").joinpath("static")))),
        *all_routes(),
    ]
    if side is not None:
        routes.append(Mount("/apps", side.answer))
    site = Starlette(
        routes=routes,
        middleware=[Middleware(GuardedPage, hosts=hosts, max_body=MAX_UPLOAD), Middleware(Guard, door=door)],
        exception_handlers={StudioError: _said, HTTPException: _http},
    )
    site.state.workspace, site.state.door = workspace, door
    return site


class _Static(StaticFiles):
    """Files of the package; a browser asks again after an hour, and at once when it is told to."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["cache-control"] = _HOUR
        return response


def workspace_of(request: Request) -> Workspace:
    """The workspace that the site shows."""
    found: Workspace = request.app.state.workspace
    return found


def allowed(role: str, answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """A function of a page that only those with a role may call; others are told who may."""

    def answered(request: Request) -> Response:
        visitor = visitor_of(request)
        if visitor.may(role):
            return answer(request)
        sentence = t(
            "This needs the role {role}; {name} has the role {own}.", name=visitor.name, own=t(visitor.role), role=t(role)
        )
        return trouble(request, sentence, 403)

    answered.__name__ = answer.__name__
    return answered


def _said(request: Request, error: Exception) -> Response:
    """The sentence of an error that a page did not put beside a field."""
    return trouble(request, str(error), 422 if isinstance(error, UserError) else 500)


def _http(request: Request, error: Exception) -> Response:
    """What is not there."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status not in {404, 405} or not hasattr(request.state, "visitor"):
        return PlainTextResponse(getattr(error, "detail", "error"), status)
    return trouble(request, t("There is no page at {path}.", path=request.url.path), status)


def _target(request: Request) -> str:
    """Where to go after signing in: a path of this site and nothing else."""
    to = request.query_params.get("to", "/")
    parts = urlsplit(to)
    return to if to.startswith("/") and not to.startswith("//") and not parts.netloc and "\\" not in to else "/"


async def _sign_in(request: Request) -> Response:
    """The page that asks for name and password."""
    door: Doorkeeper = request.app.state.door
    if door.accounts is None:
        return go_to("/")
    sentence = ""
    if request.method == "POST":
        form = await request.form()
        name, password = str(form.get("name", "")), str(form.get("password", ""))
        from anyio import to_thread

        right = await to_thread.run_sync(door.signs_in, name, password)
        if right:
            response = go_to(_target(request))
            set_cookie(response, COOKIE, door.cookie(name))
            return response
        wrong = t("There is no account with this name and password.")
        sentence = wrong if right is not None else t("Too many wrong passwords for this name. Try again in a minute.")
    return render(request, "sign-in.html", 401 if sentence else 200, sentence=sentence, title=t("Sign in"))


def _sign_out(request: Request) -> Response:
    """Forget who asked."""
    response = go_to("/sign-in")
    response.delete_cookie(COOKIE, path="/")
    return response


def content_path(root: Path, *parts: str) -> Path:
    """A path below a folder, from parts of an address.

    Raises:
        HTTPException: 404; it would lie outside, or is not there.
    """
    path = root.joinpath(*parts)
    inside = path.resolve().is_relative_to(root.resolve())
    if not inside or any(part in {"", ".", ".."} or "/" in part or part.startswith(".") for part in parts) or not path.exists():
        raise HTTPException(404)
    return path
