"""The language in which commands and apps speak: English stands in the code, every other language in one catalogue.

A text is written where it is shown, ``t("{rows} rows read", rows=5)``; a catalogue ``texts/CODE.json`` beside this file maps the
English text to the other one, with the same fields. What is not in the catalogue stays English. Errors, reports, names of metrics
and everything that is written into files for programs stay English in every language, so that they can be searched for.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import resources
from typing import Any

from studio.core.errors import UserError, nearest

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "zh": "中文"}

PSEUDO = "qps"
"""A language in which every text stands between brackets, so that a test finds what nobody can translate."""

_chosen: str | None = None
# The language of the request that is being answered, where several people read the same process.
_spoken: ContextVar[str | None] = ContextVar("spoken", default=None)


def set_language(code: str | None) -> None:
    """Choose the language for this process; None takes that of the environment.

    Raises:
        UserError: there is no such language; a region after the code (``zh-CN``, ``zh_TW``) is set aside.
    """
    global _chosen
    short = _short(code) if code is not None else None
    if short is not None and short not in LANGUAGES:
        allowed = ", ".join(f"{each} ({name})" for each, name in LANGUAGES.items())
        raise UserError(f"there is no language {code!r} here.{nearest(short, LANGUAGES)} Allowed: {allowed}.")
    _chosen = short


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Use a language inside the block, and only in this task: other requests keep theirs."""
    token = _spoken.set(code)
    try:
        yield
    finally:
        _spoken.reset(token)


def language() -> str:
    """Code of the language in use: of the request, as chosen, of ``STUDIO_LANGUAGE``, of the locale, or English.

    The locale is that of ``LC_ALL``, ``LC_MESSAGES`` or ``LANG``; a page sets ``STUDIO_LANGUAGE`` for the commands it starts.
    """
    if (spoken := _spoken.get()) is not None:
        return spoken
    if _chosen is not None:
        return _chosen
    # The first one that is set decides, as in POSIX (8.2, Internationalization Variables).
    locale = next((value for name in ("STUDIO_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return short if (short := _short(locale)) in LANGUAGES else ENGLISH


def t(text: str, /, **values: Any) -> str:
    """A text in the language in use, its fields filled in as ``str.format`` does."""
    code = language()
    found = text if code in {ENGLISH, PSEUDO} else catalogue(code).get(text, text)
    said = found.format(**values) if values else found
    return f"⟦{said}⟧" if code == PSEUDO else said


def later(text: str) -> str:
    """Mark a text of a table, which is translated where it is shown."""
    return text


@functools.cache
def catalogue(code: str) -> dict[str, str]:
    """English texts and what they are in a language: ``texts/CODE.json``, and a file for each part of it in ``texts/CODE/``."""
    folder = resources.files("studio.core").joinpath("texts")
    texts: dict[str, str] = json.loads(folder.joinpath(f"{code}.json").read_text(encoding="utf-8"))
    parts = folder.joinpath(code)
    for part in sorted(parts.iterdir(), key=lambda file: file.name) if parts.is_dir() else []:
        texts |= json.loads(part.read_text(encoding="utf-8"))
    return texts


def _short(locale: str) -> str:
    """``zh`` of ``zh_CN.UTF-8``."""
    return locale.replace("-", "_").partition("_")[0].partition(".")[0].lower()
