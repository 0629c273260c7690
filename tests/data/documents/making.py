"""Small files of every kind, made by real libraries or byte by byte: a pdf with sizes and places, a docx, an epub, a notebook."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Placed = tuple[int, float, str]
"""A line of a page: size of its letters, distance from the lower edge, text."""


def write_pdf(path: Path, pages: Sequence[Sequence[Placed]], *, title: str | None = None, encrypted: bool = False) -> Path:
    """A PDF 1.4 with one font (ISO 32000-1, annex H.3), a content stream per page and a table of its objects."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, lines in enumerate(pages):
        drawn = "".join(f"BT /F1 {size} Tf 72 {height} Td ({_escaped(text)}) Tj ET\n" for size, height, text in lines)
        page = f"/Contents {5 + 2 * number} 0 R /Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] {page} >>")
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}endstream")
    objects.append(f"<< /Title ({_escaped(title or '')}) >>")
    data, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    lock = "/Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <" + "00" * 32 + "> /U <" + "00" * 32 + "> >>"
    trailer = f"/Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R {lock if encrypted else ''} /ID [<00><00>]"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< {trailer} >>\nstartxref\n{len(data)}\n%%EOF\n"
    path.write_bytes(data + end.encode())
    return path


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def page_of(heading: str, *paragraphs: Sequence[str], top: float = 780) -> list[Placed]:
    """A page with a large heading and paragraphs of lines, parted by a gap."""
    lines: list[Placed] = [(20, top, heading)]
    height = top - 40
    for paragraph in paragraphs:
        for line in paragraph:
            lines.append((11, height, line))
            height -= 13
        height -= 14
    return lines


def write_docx(path: Path, *, title: str = "", macros: bool = False) -> Path:
    """A Word document with headings, a paragraph, a list and a table."""
    import docx

    document = docx.Document()
    document.core_properties.title = title
    document.add_heading("Laundry", level=1)
    document.add_paragraph("The laundry room is open from seven in the morning until nine in the evening.")
    document.add_heading("What it costs", level=2)
    for line in ("A wash costs two coins.", "Drying costs one coin."):
        document.add_paragraph(line, style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for place, text in enumerate(("Machine", "Coins", "Dryer", "1")):
        table.cell(place // 2, place % 2).text = text
    document.save(str(path))
    if macros:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("word/vbaProject.bin", b"macro")
    return path


WEB_PAGE = """<html><head><title>House rules</title><style>p {color: red}</style></head><body>
<nav><a href="/">Home</a> | About</nav>
<main><h1>House rules</h1><p>Put paper into the blue bin and glass into the green bin beside the gate, never on the street.</p>
<h2>Quiet hours</h2><p>Between ten in the evening and seven in the morning the yard is quiet, and music stays
inside the flats.</p>
<table><tr><th>Bin</th><th>Colour</th></tr><tr><td>Paper</td><td>blue</td></tr></table>
<pre><code>open = 7
close = 21</code></pre></main><footer>Copyright of the owner</footer><script>alert(1)</script></body></html>
"""


def write_epub(path: Path, chapters: Sequence[str], *, title: str = "A book") -> Path:
    """An EPUB book whose spine turns the order of its manifest around."""
    names = [f"chapter-{number}.xhtml" for number in range(len(chapters))]
    items = "".join(f'<item id="c{number}" href="{name}"/>' for number, name in reversed(list(enumerate(names))))
    spine = "".join(f'<itemref idref="c{number}"/>' for number in range(len(names)))
    with zipfile.ZipFile(path, "w") as archive:
        container = '<rootfiles><rootfile full-path="in/book.opf"/></rootfiles>'
        archive.writestr(
            "META-INF/container.xml",
            f'<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">{container}</container>',
        )
        about = f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></metadata>'
        parts = f"{about}<manifest>{items}</manifest><spine>{spine}</spine>"
        archive.writestr("in/book.opf", f'<package xmlns="http://www.idpf.org/2007/opf">{parts}</package>')
        for name, text in zip(names, chapters, strict=True):
            page = f'<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><body>{text}</body></html>'
            archive.writestr(f"in/{name}", page)
    return path


def write_notebook(path: Path, *cells: dict[str, Any]) -> Path:
    """A notebook of format 4."""
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"language": "python"}}, "cells": list(cells)}
    path.write_text(json.dumps(book), encoding="utf-8")
    return path
