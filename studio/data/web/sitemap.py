"""Sitemaps (sitemaps.org): the addresses that a site lists itself, as XML, as an index of further ones, or one on a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError, iterparse

from studio.core.errors import DataError
from studio.data.readers.xml import refuse_entities

_MOST = 50_000
"""Addresses of one sitemap, as the protocol has it."""


@dataclass(frozen=True)
class Sitemap:
    """What one sitemap lists. pages, further: addresses of pages and of other sitemaps; note: what is wrong with it."""

    pages: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    note: str = ""


def read_sitemap(path: Path) -> Sitemap:
    """The addresses of a sitemap; a damaged one gives those before the damage, and says so. Entities are refused."""
    with path.open("rb") as stream:
        if not stream.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            return _of_lines(path)
        stream.seek(0)
        try:
            refuse_entities(path, stream)
        except DataError:
            return Sitemap(note="declares entities and is not read")
    found: dict[str, list[str]] = {"url": [], "sitemap": []}
    note, around = "", [""]
    try:
        for event, element in iterparse(path, events=["start", "end"]):
            name = element.tag.rpartition("}")[2].lower()
            if event == "start":
                around.append(name)
                continue
            around.pop()
            if name == "loc" and around[-1] in found and element.text:
                found[around[-1]].append(element.text.strip())
            elif name in found:
                element.clear()
            if len(found["url"]) + len(found["sitemap"]) >= _MOST:
                note = f"lists more than {_MOST:,} addresses; the rest was not read"
                break
    except ParseError as error:
        note = f"is cut off or not valid XML ({error})"
    return Sitemap(tuple(found["url"]), tuple(found["sitemap"]), note)


def _of_lines(path: Path) -> Sitemap:
    """One address on a line."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    pages = [line for line in lines if line.startswith(("http://", "https://"))]
    return Sitemap(tuple(pages[:_MOST]), note="" if pages else "lists no address")
