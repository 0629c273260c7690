"""What of a text is written for people: without code between fences and without tables, whose lines and signs mean something."""

from __future__ import annotations

import re
from collections.abc import Callable

# CommonMark 0.31, section 4.5: a fence is three or more backticks or tildes, indented by three at most; it ends at one as
# long, or at the end of the text.
_FENCED = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*(?:\n|\Z)(?:.*?)(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_TABLE_LINE = re.compile(r"^[ \t]*\|.*\|[ \t]*(?:\n|\Z)", re.MULTILINE)


def has_code(text: str) -> bool:
    """True where a fence may stand."""
    return "```" in text or "~~~" in text


def without_code(text: str) -> str:
    """Text with a blank instead of each block of code."""
    return _FENCED.sub(" ", text) if has_code(text) else text


def prose(text: str) -> str:
    """Text without blocks of code and without tables."""
    bare = without_code(text)
    return _TABLE_LINE.sub("", bare) if "|" in bare else bare


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Text with a function applied to what stands outside blocks of code; these stay as they are."""
    if not has_code(text):
        return change(text)
    parts: list[str] = []
    position = 0
    for block in _FENCED.finditer(text):
        parts += [change(text[position : block.start()]), block.group()]
        position = block.end()
    return "".join([*parts, change(text[position:])])
