"""Markdown as cards are written in: the cards of Runs and of Datasets; and such a card as HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

_HEAD = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_REMARK = re.compile(r"<!--.*?-->", re.DOTALL)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Lines of a Markdown table; bars inside cells are escaped, and a cell is one line."""

    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(columns), "|" + "---|" * len(columns), *(line(row) for row in rows)]


def markdown_html(text: str, picture: Callable[[str], str | None] = lambda _path: None) -> str:
    """A card as HTML that runs nothing: HTML in it is shown as text, links lead to web pages and places of the page only.

    The YAML head that hubs read and remarks are left out.

    Args:
        picture: address of a picture that the text names; None leaves it out.
    """
    from markdown_it import MarkdownIt

    tokens = (reader := MarkdownIt("js-default")).parse(_REMARK.sub("", _HEAD.sub("", text)))
    for token in tokens:
        for child in token.children or []:
            if child.type == "image":
                address = picture(str(child.attrs["src"]))
                child.attrs["src"] = address or ""
                child.type = "image" if address else "text"
            elif child.type == "link_open" and not str(child.attrs["href"]).startswith(("https://", "http://", "#")):
                # What lies beside the card has no address here.
                child.attrs.pop("href")
            elif child.type == "link_open":
                child.attrs |= {"rel": "noopener noreferrer", "target": "_blank"}
    return str(reader.renderer.render(tokens, reader.options, {}))
