"""Books (.epub): the chapters in reading order, each an XHTML page inside a zip file."""

from __future__ import annotations

import posixpath
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from studio.core.errors import DataError
from studio.core.extras import require
from studio.data.documents.base import EXTRA, Document
from studio.data.documents.markdown import titled
from studio.data.documents.markup import markdown_of
from studio.data.documents.packed import opened_zip

_CONTAINER = "META-INF/container.xml"
_RIGHTS = "META-INF/rights.xml"


def read_book(path: Path) -> Document:
    """An EPUB 2 or 3 book (W3C EPUB 3.3: container, package, spine).

    Raises:
        DataError: it is damaged, protected or too large.
        MissingExtraError: lxml is not installed.
    """
    html: Any = require("lxml.html", feature=f"reading {path.name}", extra=EXTRA)
    with opened_zip(path, "an EPUB book") as archive:
        if _RIGHTS in archive.namelist():
            raise DataError(f"{path} is protected against copying. Use a book without protection.")
        package = _package_place(path, archive)
        root = _parsed(path, archive, package)
        pages = _spine(root, posixpath.dirname(package))
        missing = [page for page in pages if page not in archive.namelist()]
        if missing:
            raise DataError(f"{path} is damaged: it names {missing[0]!r} and does not hold it. Save it again.")
        chapters = [_chapter(html, archive.read(page)) for page in pages]
    found = root.find(".//{*}metadata/{*}title")
    title = " ".join(found.text.split()) if found is not None and found.text else None
    return titled("\n\n".join(chapters), title)


def _chapter(html: Any, data: bytes) -> str:
    """A page as markdown; one that holds nothing is empty."""
    try:
        return markdown_of(html.fromstring(data)) if data.strip() else ""
    except html.etree.ParserError:
        return ""


def _package_place(path: Path, archive: zipfile.ZipFile) -> str:
    """Where the package file of a book lies in it."""
    found = _parsed(path, archive, _CONTAINER).find(".//{*}rootfile")
    if found is None or not found.get("full-path"):
        raise DataError(f"{path} is damaged: its container names no package. Save it again.")
    return str(found.get("full-path"))


def _parsed(path: Path, archive: zipfile.ZipFile, name: str) -> Any:
    """An XML file of a book, with no entity resolved."""
    from lxml import etree

    try:
        return etree.fromstring(archive.read(name), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise DataError(f"{path} is damaged: {name} is no XML ({error}). Save it again.") from error


def _spine(root: Any, folder: str) -> list[str]:
    """Places of the pages in reading order; those that a book marks as not part of the reading are left out."""
    places = {item.get("id"): item.get("href") for item in root.findall(".//{*}manifest/{*}item")}
    listed = [item.get("idref") for item in root.findall(".//{*}spine/{*}itemref") if item.get("linear") != "no"]
    return [posixpath.normpath(posixpath.join(folder, unquote(places[name]))) for name in listed if places.get(name)]
