"""Pages from templates: Jinja with every value escaped, the reader's language, and who reads."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from studio import __version__
from studio.core.translation import LANGUAGES, PSEUDO, language, later, t
from studio.jobs.records import command_line
from studio.pages import locales
from studio.pages.table import ROOMS
from studio.pages.visitors import TOKEN, Visitor

WORDS = tuple(
    map(
        later,
        (
            *("waiting", "running", "done", "finished", "stopped", "interrupted", "failed", "lost", "damaged"),
            *("look", "talk", "train", "administer"),
        ),
    )
)
"""Words of records that templates show translated: how jobs and Runs stand, and roles."""


@functools.cache
def _templates() -> jinja2.Environment:
    """The templates of this package; a name that a page was not given is an error, not an empty text."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("studio.pages", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(
        t=t, ROOMS=ROOMS, LANGUAGES=LANGUAGES, TOKEN=TOKEN, VERSION=__version__, language=language, command_line=command_line
    )
    found.filters.update(
        number=locales.number,
        percent=locales.percent,
        size=locales.size,
        when=locales.when,
        ago=locales.ago,
        duration=locales.duration,
        shell=lambda words: shlex.join(words),
        prose=prose,
    )
    return found


_CODE_OR_LINK = re.compile(r"``(?P<code>.+?)``|(?P<link>https?://[A-Za-z0-9./?=&%#_~-]*[A-Za-z0-9/])")


def prose(text: str) -> Markup:
    """A docstring in the reader's language, its names in the type of code and its addresses as links."""
    said = t(text)
    if language() == PSEUDO:
        return escape(said)  # in one piece, between its brackets
    parts, end = [], 0
    for match in _CODE_OR_LINK.finditer(said):
        parts.append(escape(said[end : match.start()]))
        shape = '<code translate="no">{found}</code>'
        if match["link"]:
            shape = '<a href="{found}" rel="noreferrer" translate="no">{short}</a>'
        found = match["code"] or match["link"]
        parts.append(Markup(shape).format(found=found, short=found.split("/", 2)[-1]))
        end = match.end()
    return Markup("").join([*parts, escape(said[end:])])


def visitor_of(request: Request) -> Visitor:
    """Who asks; the guard has put it there."""
    found: Visitor = request.state.visitor
    return found


def render(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page, or a part of one.

    Args:
        values: what its template needs beside ``request``, ``visitor`` and ``here``, the path.
    """
    values.setdefault("language_to", _kept_address(request))
    text = (
        _templates().get_template(template).render(request=request, visitor=visitor_of(request), here=request.url.path, **values)
    )
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


def _kept_address(request: Request) -> str:
    """Where another language is read: this page with its choice; the answer to a form has no address, its room has."""
    if request.method != "GET":
        return "/" + request.url.path.split("/")[1]
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def go_to(path: str) -> Response:
    """Send the browser on, after something was changed (so that a reload does not change it again)."""
    return RedirectResponse(path, 303)


def lead_on(response: Response, path: str) -> None:
    """Let the live part of a page send its page on. Headers are Latin; names of runs and of files need not be."""
    response.headers["x-studio-next"] = quote(path)


def trouble(request: Request, sentence: str, status: int = 400, *, back: Sequence[str] = ("/",)) -> Response:
    """A page with one sentence about what went wrong, and the way back."""
    return render(request, "trouble.html", status, sentence=sentence, back=back[0], title=t("That did not work"))
