"""What a web page says of itself: its letters, its links, its licence, its date, and whether it may be used."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.extras import require
from studio.data.readers.guessing import find_encoding
from studio.data.web.addresses import plain_address

EXTRA = "web"
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.I)
_META = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?([\w.:-]+)", re.I)
_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses/(?P<kind>[a-z-]+)|publicdomain/(?P<free>zero|mark))/(?P<version>\d\.\d)", re.I
)
# WHATWG: pages that say the one mean the other.
_MEANT = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252"}
# What asks not to be used: robots' directives in the page or the header, and the W3C's reservation for text and data mining.
_RESERVED = frozenset({"noai", "noindex", "none"})


@dataclass(frozen=True)
class PageFacts:
    """links: addresses of other pages in their order; licence: as the page states it; date: as it states it, ISO."""

    links: tuple[str, ...] = ()
    licence: str | None = None
    date: str | None = None


def as_utf8(data: bytes, content_type: str) -> tuple[bytes, str]:
    """A page in UTF-8 and a note where its letters are others than were said.

    A byte-order mark wins; what is sound UTF-8 is UTF-8 whatever was said; then the header, then the page, then what the bytes
    look like where that is certain.

    Raises:
        ValueError: which encoding it is in is not certain.
    """
    said = [name for found in (_CHARSET.search(content_type), _META.search(data[:4096])) if found for name in [_name(found[1])]]
    marked = next((name for mark, name in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")) if data.startswith(mark)), None)
    tried = [marked] if marked else ([] if b"\0" in data else ["utf-8-sig"]) + said
    for name in tried:
        try:
            text = data.decode(name)
        except (LookupError, UnicodeDecodeError):
            continue
        other = said and name == "utf-8-sig" and said[0] not in {"utf-8", "utf8"} and not data.isascii()
        return text.encode("utf-8", "replace"), _told(said[0], "utf-8") if other else _told(said[0], name) if _lied(
            said, name
        ) else ""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "page.txt"
        file.write_bytes(data)
        found = find_encoding(file).encoding
    if found is None or found == "utf-8":
        raise ValueError("its encoding is not certain")
    return data.decode(found, "replace").encode("utf-8", "replace"), _told(said[0] if said else "nothing", found)


def _name(found: str | bytes) -> str:
    """An encoding as Python calls it."""
    text = (found.decode("ascii", "replace") if isinstance(found, bytes) else found).lower()
    return _MEANT.get(text, text)


def _lied(said: list[str], name: str) -> bool:
    """True where another encoding was said than the one in which the bytes are sound."""
    return bool(said) and name != "utf-8-sig" and name != said[0]


def _told(said: str, found: str) -> str:
    """What people should know of letters that were not as it was said."""
    return f"says {said} and was read as {found}"


def reserved_by(headers: Mapping[str, str], data: bytes = b"") -> str | None:
    """Why a page may not be used, as it says itself in its header or its ``meta`` elements; None where it does not."""
    said = {part.split(":")[-1].strip() for part in headers.get("x-robots-tag", "").lower().split(",")}
    mining = headers.get("tdm-reservation", "").strip()
    for name, content in _metas(data):
        said |= {part.strip() for part in content.lower().split(",")} if name in {"robots", "finetuning-studio"} else set()
        mining = content.strip() if name == "tdm-reservation" else mining
    word = next((word for word in sorted(_RESERVED) if word in said), None)
    return f"says {word} to robots" if word else "reserves text and data mining" if mining == "1" else None


def _metas(data: bytes) -> list[tuple[str, str]]:
    """Names and contents of the ``meta`` elements of a page."""
    tree = _tree(data)
    if tree is None:
        return []
    return [(str(one.get("name", "")).strip().lower(), str(one.get("content", ""))) for one in tree.iter("meta")]


def _tree(data: bytes) -> Any:
    """A page as elements; None for what is none."""
    html: Any = require("lxml.html", feature="reading web pages", extra=EXTRA)
    if not data.strip():
        return None
    try:
        return html.document_fromstring(data, parser=html.HTMLParser(encoding="utf-8", no_network=True))
    except (ValueError, html.etree.ParserError):
        return None


def facts_of(data: bytes, address: str) -> PageFacts:
    """What an HTML page in UTF-8 says.

    Args:
        address: of the page, from which its links are meant.
    """
    tree = _tree(data)
    if tree is None:
        return PageFacts()
    trafilatura: Any = require("trafilatura", feature="reading web pages", extra=EXTRA)
    logging.getLogger("htmldate").setLevel(logging.ERROR)
    told = trafilatura.extract_metadata(tree, extensive=False)
    licence = _licence_of(tree) or (told.license if told else None)
    return PageFacts(_links_of(tree, address), licence, _date_of(tree) or None)


def _links_of(tree: Any, address: str) -> tuple[str, ...]:
    """Pages that a page leads to, each once; not those that it asks robots not to follow."""
    if any({"nofollow", "none"} & {part.strip() for part in content.lower().split(",")} for content in _robots(tree)):
        return ()
    base = next((str(one.get("href")) for one in tree.iter("base") if one.get("href")), "")
    start = plain_address(base, address) or address
    links = [
        plain_address(str(one.get("href")), start)
        for one in tree.iter("a")
        if one.get("href") and "nofollow" not in str(one.get("rel", "")).lower().split()
    ]
    return tuple(dict.fromkeys(link for link in links if link))


def _robots(tree: Any) -> list[str]:
    """What a page tells robots."""
    return [str(one.get("content", "")) for one in tree.iter("meta") if str(one.get("name", "")).strip().lower() == "robots"]


def _licence_of(tree: Any) -> str | None:
    """The licence that a page links to as its own; those of Creative Commons by their short names."""
    for one in tree.iter("a", "link"):
        target = str(one.get("href", "")).strip()
        if "license" not in str(one.get("rel", "")).lower().split() or not target:
            continue
        found = _COMMONS.search(target)
        if found is None:
            return " ".join(str(one.text_content() if one.tag == "a" else "").split())[:80] or target[:200]
        kind = f"CC-{found['kind'].upper()}" if found["kind"] else "CC0" if found["free"].lower() == "zero" else "PDM"
        return f"{kind}-{found['version']}"
    return None


def _date_of(tree: Any) -> str:
    """The day on which a page says that it was changed or published; nothing is guessed from its text."""
    names = ("article:modified_time", "article:published_time", "dcterms.modified", "dcterms.date", "date", "last-modified")
    said: dict[str, str] = {}
    for one in tree.iter("meta"):
        name = str(one.get("property") or one.get("name") or one.get("http-equiv") or "").strip().lower()
        said.setdefault(name, str(one.get("content", "")).strip())
    dates = [said.get(name, "") for name in names] + [str(one.get("datetime", "")) for one in tree.iter("time")]
    return next((found[0] for date in dates if (found := re.match(r"\d{4}-\d{2}-\d{2}", date))), "")
