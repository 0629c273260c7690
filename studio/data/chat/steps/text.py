"""Steps that repair text: Unicode and whitespace."""

from __future__ import annotations

import re

from studio.data.chat.prose import has_code, outside_code
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict, with_texts
from studio.data.text import repair_text

# What may stand at the end of a line without being seen.
_BLANKS = " \t\u00a0\u3000"


class Unicode(RowStep):
    """Mis-decoded text repaired with ftfy, control characters removed, NFC.

    ftfy is asked only where its own badness test, a control character or a decomposed letter speaks for damage: it is
    the slow part. HTML entities, curly quotes and full-width characters stay, since they may be meant.
    Source: https://ftfy.readthedocs.io/en/latest/config.html
    """

    def judge(self, row: ChatRow) -> Verdict:
        """Never drops."""
        return with_texts(row, repair_text)


class Whitespace(RowStep):
    """Turns trimmed, line ends stripped, runs of empty lines shortened; indentation stays, a first line's too (code)."""

    def __init__(self, empty_lines: int = 1) -> None:
        """``empty_lines``: longest run of empty lines that is left."""
        self._ends = re.compile(f"[{_BLANKS}]+(?=\n)")
        self._too_many = "\n" * (empty_lines + 2)
        self._runs = re.compile(f"\n{{{empty_lines + 2},}}")

    def judge(self, row: ChatRow) -> Verdict:
        """Never drops."""
        return with_texts(row, self._cleaned)

    def _cleaned(self, text: str) -> str:
        """One turn; blocks of code stay as they are, but for the line ends of other systems."""
        text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
        if not has_code(text):
            return _keep_indent(self._clean(text))
        return _keep_indent(outside_code(text, self._clean))

    def _clean(self, text: str) -> str:
        """Text outside code."""
        if any(f"{blank}\n" in text for blank in _BLANKS):
            text = self._ends.sub("", text)
        if self._too_many in text:
            text = self._runs.sub(self._too_many[1:], text)
        return text


def _keep_indent(text: str) -> str:
    """Text without blanks around it; a first line keeps its indentation where others have some too, or where it is deep."""
    bare = text.strip()
    lead = text[: len(text) - len(text.lstrip())].rpartition("\n")[2]
    if len(lead.expandtabs(4)) < 2 or not bare:
        return bare
    _, several, rest = bare.partition("\n")
    deep = any(line[:1] in {" ", "\t"} for line in rest.split("\n")) if several else len(lead.expandtabs(4)) >= 4
    return lead + bare if deep else bare
