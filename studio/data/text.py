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
