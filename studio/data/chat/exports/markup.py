"""Messages that exports hold as HTML, as what a person reads."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

_BLOCKS = frozenset({"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table"})
_FENCE = "```"


class _Text(HTMLParser):
    """The text of a piece of HTML, with lines where blocks end and fences around listings."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - as HTMLParser calls it
        """A block begins on a line of its own, an item of a list with a dash."""
        if tag == "pre":
            self.pieces.append(f"\n{_FENCE}\n")
        elif tag in _BLOCKS:
            self.pieces.append("\n- " if tag == "li" else "\n")

    def handle_endtag(self, tag: str) -> None:
        """A paragraph ends with an empty line."""
        if tag == "pre":
            self.pieces.append(f"\n{_FENCE}\n")
        elif tag in _BLOCKS:
            self.pieces.append("\n\n" if tag == "p" else "\n")

    def handle_data(self, data: str) -> None:
        """Text as it stands."""
        self.pieces.append(data)


def text_of_html(value: Any) -> str:
    """A text; of HTML what a person reads."""
    if not isinstance(value, str):
        return ""
    if not (("<" in value and "</" in value) or "<br" in value):
        return value.strip()
    parser = _Text()
    parser.feed(value)
    parser.close()
    kept: list[str] = []
    listing = False
    for line in "".join(parser.pieces).splitlines():
        listing ^= line == _FENCE
        plain = line.rstrip() if listing else " ".join(line.split())
        if plain == _FENCE and not listing and kept and not kept[-1]:
            kept.pop()
        if plain or (kept and kept[-1]):
            kept.append(plain)
    return "\n".join(kept).strip()
