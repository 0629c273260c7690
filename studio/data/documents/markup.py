"""The elements of HTML as markdown: headings, paragraphs, lists, tables and code, without anything that only looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_HEADING = re.compile(r"h([1-6])")
_LEFT_OUT = {"script", "style", "head", "noscript", "template", "svg", "nav", "iframe", "button", "form", "input"}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "footer", "header", "h1", "h2", "h3", "h4", "h5", "h6", "html", "li", "main", "ol", "p", "pre", "section", "summary", "table",
    "ul",
}  # fmt: skip


def markdown_of(element: Any) -> str:
    """Markdown of an lxml element and all that is in it; blocks are parted by an empty line."""
    return "\n\n".join(block for block in _blocks(element) if block.strip())


def table_of(rows: list[list[str]]) -> str:
    """A markdown table [rows, columns]; short rows are filled up, the first one is the header."""
    width = max(map(len, rows))
    lines = [[*row, *[""] * (width - len(row))] for row in rows]
    drawn = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines]
    return "\n".join([drawn[0], "|" + "---|" * width, *drawn[1:]])


def _blocks(element: Any) -> Iterator[str]:
    """The blocks of an element in reading order; text beside blocks is a block of its own."""
    tag = _name(element)
    if tag in _LEFT_OUT:
        return
    if heading := _HEADING.fullmatch(tag):
        text = _inline(element)
        yield f"{'#' * int(heading.group(1))} {text}" if text else ""
    elif tag == "pre":
        yield "```\n" + "".join(element.itertext()).strip("\n") + "\n```"
    elif tag == "table":
        yield from _table(element)
    elif tag in {"ul", "ol"}:
        yield _list(element, 0)
    else:
        yield from _mixed(element)


def _mixed(element: Any) -> Iterator[str]:
    """Text and blocks of an element that may hold both."""
    waiting = [element.text or ""]
    for child in element:
        if _name(child) in _BLOCKS:
            yield _line("".join(waiting))
            waiting = []
            yield from _blocks(child)
        else:
            waiting.append(_running(child))
        waiting.append(child.tail or "")
    yield _line("".join(waiting))


def _table(element: Any) -> Iterator[str]:
    """A table as one block; one without rows is nothing."""
    rows = [[_inline(cell) for cell in row if _name(cell) in {"td", "th"}] for row in element.iter("tr")]
    filled = [row for row in rows if any(row)]
    if filled:
        yield table_of(filled)


def _list(element: Any, depth: int) -> str:
    """A list as one block, inner lists further to the right."""
    lines: list[str] = []
    number = 0
    for item in element:
        if _name(item) != "li":
            continue
        number += 1
        mark = f"{number}." if _name(element) == "ol" else "-"
        inner = [child for child in item if _name(child) in {"ul", "ol"}]
        lines.append("  " * depth + f"{mark} {_inline(item, without=inner)}")
        lines += [_list(child, depth + 1) for child in inner]
    return "\n".join(lines)


def _inline(element: Any, without: list[Any] | None = None) -> str:
    """The text of an element on one line, but for some of its children."""
    return _line(_running(element, without))


def _running(element: Any, without: list[Any] | None = None) -> str:
    """The text of an element as it runs; code stands between backticks, a line break is a blank."""
    tag = _name(element)
    if tag in _LEFT_OUT or element in (without or []):
        return ""
    if tag == "br":
        return " "
    inner = (element.text or "") + "".join(_running(child, without) + (child.tail or "") for child in element)
    if tag in _BLOCKS:
        inner += " "
    return f"`{inner}`" if tag == "code" and inner.strip() else inner


def _name(element: Any) -> str:
    """Name of an element without its namespace; a comment has none."""
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else "script"


def _line(text: str) -> str:
    """Text with its blanks and line ends as single blanks."""
    return " ".join(text.split())
