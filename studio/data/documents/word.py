"""Word documents (.docx, .docm) through mammoth: headings, lists and tables. Macros are not looked at, let alone run."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from studio.core.errors import DataError
from studio.core.extras import require
from studio.data.documents.base import EXTRA, Document
from studio.data.documents.markdown import titled
from studio.data.documents.markup import markdown_of
from studio.data.documents.packed import opened_zip

_MACROS = "word/vbaProject.bin"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
# Files of Word before 2007, and encrypted ones of any age, begin with this (MS-CFB, 2.2).
_COMPOUND_FILE = bytes.fromhex("d0cf11e0a1b11ae1")


def read_word(path: Path) -> Document:
    """A Word document; footnotes and comments come where mammoth puts them, pictures are left out.

    Raises:
        DataError: it is damaged, encrypted, in the form of Word before 2007, or too large.
        MissingExtraError: mammoth is not installed.
    """
    mammoth: Any = require("mammoth", feature=f"reading {path.name}", extra=EXTRA)
    html: Any = require("lxml.html", feature=f"reading {path.name}", extra=EXTRA)
    with path.open("rb") as stream:
        if stream.read(8) == _COMPOUND_FILE:
            raise DataError(f"{path} is encrypted, or of Word before 2007. Save a copy without a password as .docx.")
    with opened_zip(path, "a Word document") as archive:
        names = archive.namelist()
        title = _title(archive) if "docProps/core.xml" in names else None
        try:
            with path.open("rb") as stream:
                found = mammoth.convert_to_html(stream, convert_image=mammoth.images.img_element(lambda _image: {}))
        except (ExpatError, ValueError, KeyError, OSError, AttributeError) as error:
            raise DataError(f"{path} is damaged or no Word document ({error}). Save it again.") from error
    text = markdown_of(html.fragment_fromstring(found.value, create_parent="div")) if found.value else ""
    notes = [f"{path.name} holds macros, which were not looked at"] if _MACROS in names else []
    return titled(text, title, notes)


def _title(archive: zipfile.ZipFile) -> str | None:
    """The title in the document's properties."""
    try:
        # The parser behind it refuses entities that grow (expat from 2.4.1 on).
        found = ElementTree.fromstring(archive.read("docProps/core.xml")).findtext(_TITLE)
    except ElementTree.ParseError:
        return None
    return found.strip() if found and found.strip() else None
