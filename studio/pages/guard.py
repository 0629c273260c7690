"""What stands before every page: who asks, in which language, and that a change was asked for by a page of ours."""

from __future__ import annotations

import hmac
from urllib.parse import quote

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from studio.apps.security import SAFE
from studio.core.translation import speaking
from studio.pages import locales
from studio.pages.visitors import COOKIE, COOKIE_SECONDS, TOKEN, Doorkeeper, Visitor

# What anybody gets before they have signed in.
_OPEN = ("/static/", "/sign-in", "/healthz")
_FORM = "application/x-www-form-urlencoded"
# Pages of Gradio send no token of ours; they are held to our own origin alone.
WITHOUT_TOKEN = "/apps/"


class Guard(BaseHTTPMiddleware):
    """Looks at each request before a page does."""

    def __init__(self, app: ASGIApp, door: Doorkeeper) -> None:
        super().__init__(app)
        self._door = door

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer, or refuse."""
        visitor = self._door.visitor(request)
        with speaking(locales.wanted_language(request)):
            if visitor is None and not request.url.path.startswith(_OPEN):
                return _sign_in_first(request)
            request.state.visitor = visitor or Visitor("", "look", "")
            if request.method not in SAFE and (refusal := await _refusal(request, visitor)) is not None:
                return refusal
            response = await call_next(request)
        self._keep(request, response)
        return response

    def _keep(self, request: Request, response: Response) -> None:
        """Give the browser what it has to keep: its cookie and the language that was chosen."""
        fresh = request.state.visitor.fresh
        if fresh is not None and not request.url.path.startswith(_OPEN):
            set_cookie(response, COOKIE, fresh)
        if request.query_params.get("lang"):
            set_cookie(response, locales.COOKIE, locales.wanted_language(request), hidden=False)


def set_cookie(response: Response, name: str, value: str, *, hidden: bool = True) -> None:
    """A cookie that no other site's page sends along; ``hidden`` from scripts."""
    response.set_cookie(name, value, max_age=COOKIE_SECONDS, httponly=hidden, samesite="strict", path="/")


async def _refusal(request: Request, visitor: Visitor | None) -> Response | None:
    """Why a change is refused; None when it is not. That a page of this address asks, :class:`GuardedPage` has seen before."""
    if visitor is None or request.url.path.startswith(WITHOUT_TOKEN):
        return None
    token = request.headers.get("x-studio-token") or request.query_params.get(TOKEN)
    if token is None and request.headers.get("content-type", "").startswith(_FORM):
        # Read whole first: a body that was only streamed here would be empty for the page.
        await request.body()
        token = str((await request.form()).get(TOKEN, ""))
    if token is None:
        token = ""  # an upload carries its token in its address, so that nobody's file is read before it was looked at
    if not hmac.compare_digest(token, visitor.token):
        return PlainTextResponse("This form is too old; nothing was changed. Go back, reload the page and send it again.", 403)
    return None


def _sign_in_first(request: Request) -> Response:
    """Lead a reader to the sign-in page; a program or a part of a page gets the bare status."""
    if request.method not in SAFE or "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse("Sign in first.", 401)
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?to={quote(target)}", 303)
