"""Steps that repair text: Unicode and whitespace."""

from __future__ import annotations

import re

from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict, with_contents
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
        return with_contents(row, [repair_text(turn["content"]) for turn in row.turns])


class Whitespace(RowStep):
    """Turns trimmed, line ends stripped, runs of empty lines shortened; indentation stays, it may be code."""

    def __init__(self, empty_lines: int = 1) -> None:
        """``empty_lines``: longest run of empty lines that is left."""
        self._ends = re.compile(f"[{_BLANKS}]+(?=\n)")
        self._too_many = "\n" * (empty_lines + 2)
        self._runs = re.compile(f"\n{{{empty_lines + 2},}}")

    def judge(self, row: ChatRow) -> Verdict:
        """Never drops."""
        return with_contents(row, [self._clean(turn["content"]) for turn in row.turns])

    def _clean(self, text: str) -> str:
        """One turn."""
        text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
        if any(f"{blank}\n" in text for blank in _BLANKS):
            text = self._ends.sub("", text)
        if self._too_many in text:
            text = self._runs.sub(self._too_many[1:], text)
        return text.strip()
