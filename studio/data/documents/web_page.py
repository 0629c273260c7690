"""Web pages (.html, .htm): the main text by trafilatura, without menus, banners and footers; headings, tables and code stay."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from studio.core.errors import DataError
from studio.core.extras import require
from studio.data.documents.base import EXTRA, Document, check_size
from studio.data.documents.markdown import titled
from studio.data.documents.markup import markdown_of
from studio.language.scripts import words_of

_MOST = 20 << 20
# A page of fewer words is read whole where less than this share of it is told apart as main text.
_SHORT, _MOST_OF = 100, 0.9
# Of a page of a few words trafilatura may keep the text and lose the headings.
_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)


def read_web_page(path: Path) -> Document:
    """A saved web page. Nothing that it names (pictures, frames, scripts) is fetched or run.

    Raises:
        DataError: it is no page, or larger than 20 MB.
        MissingExtraError: trafilatura is not installed.
    """
    trafilatura: Any = require("trafilatura", feature=f"reading {path.name}", extra=EXTRA)
    html: Any = require("lxml.html", feature=f"reading {path.name}", extra=EXTRA)
    # It warns of pages that it takes for empty; what is read of them is said here.
    logging.getLogger("trafilatura").setLevel(logging.ERROR)
    check_size(path, _MOST)
    data = path.read_bytes()
    tree = trafilatura.load_html(data) if data.strip() else None
    if tree is None:
        return _unread(path, html, data)
    found = tree.findtext(".//title")
    title = " ".join(found.split()) if found and found.strip() else None
    text = trafilatura.extract(
        data, output_format="markdown", include_tables=True, include_formatting=True, include_comments=False, deduplicate=False
    )
    return _chosen(path.name, text or "", markdown_of(tree), title)


def _chosen(name: str, main: str, whole: str, title: str | None) -> Document:
    """The main text, or all of a page that is too short for trafilatura to tell it apart; what was left out is said."""
    kept, total = len(words_of(main)), len(words_of(whole))
    flat = _HEADING.search(whole) and not _HEADING.search(main)
    if (kept >= _MOST_OF * total and not flat) or (total >= _SHORT and kept >= total / 2):
        return titled(main, title)
    if total < _SHORT:
        return titled(whole, title, [f"{name}: the page is too short to tell its main text apart, so all of it was read"])
    return titled(main, title, [f"{name}: {kept:,} of {total:,} words were taken for the page's main text"])


def _unread(path: Path, html: Any, data: bytes) -> Document:
    """A page that trafilatura does not take for one: a fragment, or no page at all."""
    if not data.strip():
        return Document((), None, (f"{path.name} is empty",))
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is no web page: it holds bytes that no text has. Save the page again.")
    try:
        return titled(markdown_of(html.fromstring(data)), None)
    except (ValueError, html.etree.ParserError) as error:
        raise DataError(f"{path} is no web page ({error}). Save the page again.") from error
