"""Making a text harmless before a page shows it as markdown: no tag, no picture, no link that runs code.

The first of three walls; Gradio's sanitizer and the page's content security policy stand behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
# A run of backticks that no backslash escapes, up to the next run of the same length in the same paragraph.
_CODE_SPAN = re.compile(r"(?<![\\`])(`+)(?!`)((?:(?!\n\s*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
# Where a link's address begins, unless it begins as an address may: of the web, of mail, of a place on this page or server.
_ADDRESS = r"(?!https?://|mailto:|tel:|#|/)"
_LINK = re.compile(rf"(\]\(\s*){_ADDRESS}|(^\s{{0,3}}\[[^\]\n]+\]:\s*){_ADDRESS}", re.IGNORECASE | re.MULTILINE)


def inert(text: str) -> str:
    """Markdown in which code, lists, tables and plain links work, and nothing can run, load or embed.

    Tags are shown as the characters they are. A picture becomes a link to it, so that nothing is fetched before the person asks.
    """
    parts = []
    for is_code, part in _blocks(text):
        parts.append(part if is_code else _inert_prose(part))
    return "".join(parts)


def _blocks(text: str) -> Iterator[tuple[bool, str]]:
    """Runs of lines, and whether they stand in a fenced block; a block that is not closed yet reaches to the end."""
    fence = ""
    held: list[str] = []
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if fence:
            held.append(line)
            if mark and mark[1][0] == fence[0] and len(mark[1]) >= len(fence) and not line[mark.end() :].strip():
                yield True, "".join(held)
                fence, held = "", []
        elif mark and not (mark[1][0] == "`" and "`" in line[mark.end() :]):
            if held:
                yield False, "".join(held)
            # What follows the mark names the language and goes into the page; only a plain word is let through.
            word = re.match(r"\s*[\w+#.-]*", line[mark.end() :])
            rest = word[0].rstrip() if word else ""
            fence, held = mark[1], [line[: mark.end()] + rest + "\n"]
        else:
            held.append(line)
    if held:
        yield bool(fence), "".join(held)


def _inert_prose(text: str) -> str:
    """Text outside of fenced blocks; spans of code are left as they are."""
    parts = []
    position = 0
    for span in _CODE_SPAN.finditer(text):
        parts += [_defused(text[position : span.start()]), span[0]]
        position = span.end()
    return "".join([*parts, _defused(text[position:])])


def _defused(text: str) -> str:
    """Text without tags, pictures and links that run code."""
    text = text.replace("<", "&lt;")
    text = text.replace("![", "[picture: ")
    # As a place on this page, whatever follows cannot be run.
    return _LINK.sub(lambda found: f"{found[0]}#", text)
