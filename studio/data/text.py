"""Text repaired: what was decoded with the wrong table, control characters, decomposed letters."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any

# Control characters that no text needs (tab, newline stay), line ends of other systems, and what ftfy looks for outside ASCII:
# byte-order marks and other invisible marks, ligatures, surrogates, the C1 range.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u206a-\u206f\ud800-\udfff\ufb00-\ufb06\ufeff\ufff9-\uffff]")


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


# Characters that take no room and say nothing on their own: zero-width marks, soft hyphen, fillers, the empty Braille cell.
_INVISIBLE_SIGNS = (
    "\u00ad\u034f\u115f\u1160\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2800\u3164\ufe0e\ufe0f\ufeff"
)
_INVISIBLE = re.compile(f"[{_INVISIBLE_SIGNS}]")


def without_invisible(text: str) -> str:
    """Text without the characters that nobody sees."""
    if text.isascii() or not any(sign in text for sign in _INVISIBLE_SIGNS):
        return text
    return _INVISIBLE.sub("", text)


def is_blank(text: str) -> bool:
    """True for a text in which nothing can be seen."""
    seen = text.strip()
    return not seen or (not seen.isascii() and not without_invisible(seen).strip())
