"""Steps that repair text: Unicode and whitespace."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any

from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict, with_contents

# Control characters that no text needs (tab, newline stay), line ends of other systems, and what ftfy looks for outside ASCII:
# byte-order marks and other invisible marks, ligatures, surrogates, the C1 range.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u206a-\u206f\ud800-\udfff\ufb00-\ufb06\ufeff\ufff9-\uffff]")

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


def repair_text(text: str) -> str:
    """Text without mojibake, control characters and decomposed letters."""
    odd = _ODD.search(text) is not None
    if text.isascii():
        return _fix(text) if odd else text
    if odd or not unicodedata.is_normalized("NFC", text) or _is_bad(text):
        return _fix(text)
    return text


@functools.cache
def _ftfy() -> tuple[Any, Any, Any]:
    """Ftfy's functions and the settings used here, imported when first needed."""
    import ftfy
    from ftfy.badness import is_bad

    config = ftfy.TextFixerConfig(
        unescape_html=False, uncurl_quotes=False, fix_character_width=False, explain=False, normalization="NFC"
    )
    return ftfy.fix_text, is_bad, config


def _fix(text: str) -> str:
    """Repair with the settings above; lone surrogates, which no file can hold, become the replacement character."""
    fix_text, _, config = _ftfy()
    fixed: str = fix_text(text, config)
    return fixed.encode("utf-8", "replace").decode() if not fixed.isascii() else fixed


def _is_bad(text: str) -> bool:
    """Ask ftfy's test for text that was decoded with the wrong table."""
    _, is_bad, _ = _ftfy()
    return bool(is_bad(text))


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
