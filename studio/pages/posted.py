"""What a form sent, for functions of pages that answer from a thread."""

from __future__ import annotations

from anyio import from_thread
from starlette.datastructures import FormData
from starlette.requests import Request


def posted(request: Request) -> FormData:
    """The fields of a form, in the thread of a page."""
    return from_thread.run(_form, request)


async def _form(request: Request) -> FormData:
    """The fields, once all of them are here."""
    return await request.form()


def text_of(form: FormData, name: str) -> str:
    """A field as text with the line ends of this system; empty where it was left out."""
    return str(form.get(name) or "").replace("\r\n", "\n")
