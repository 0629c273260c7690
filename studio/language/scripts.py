"""Scripts and words. Where a script has no blanks between words, each letter with its signs counts as a word of its own."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from functools import lru_cache

# Scripts written without blanks: Thai, Lao, Burmese, Khmer, kana, bopomofo, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3105-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
UNSPACED_SIGN = re.compile(f"[{_UNSPACED}]")
_BETWEEN_BLANKS = re.compile(r"\S+")
_ASCII_WORD = re.compile(r"\w+")
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")
# Combining signs (vowels of Devanagari, Bengali, Tamil; points of Arabic, Hebrew) belong to their word, but are no letters to re.
# Only below 0x10000, where re looks a sign up in a table (beyond it a search takes 30 s for 30 MB); those of emoji are left out.
MARK_SIGNS = "".join(
    chr(code)
    for code in (*range(0x300, 0x20D0), *range(0x2100, 0xFE00), 0xFB1E)
    if unicodedata.category(chr(code)).startswith("M")
)
MARKS = re.compile(f"[{MARK_SIGNS}]")
_UNSPACED_MARKS = "".join(sign for sign in MARK_SIGNS if UNSPACED_SIGN.match(sign))
# A letter with the signs on it, so that a Thai tone is no word.
_UNSPACED_LETTER = f"[{_UNSPACED}][{_UNSPACED_MARKS}]*"
_MARKED_WORD = re.compile(f"{_UNSPACED_LETTER}|(?:[^\\W{_UNSPACED}]|(?![{_UNSPACED}])[{MARK_SIGNS}])+")
_LETTER = re.compile(_UNSPACED_LETTER)
WORD_PATTERNS = {"ascii": _ASCII_WORD.pattern, "plain": _WORD.pattern, "marked": _MARKED_WORD.pattern, "marks": MARKS.pattern}
"""What :func:`words_of` looks for in lower case: in ASCII, in a text without any of ``marks``, and in one with."""

# First code points of the blocks of each script, after https://www.unicode.org/Public/UCD/latest/ucd/Scripts.txt; Kana stands for
# both of Japan's. Letters outside the named blocks belong to none.
_BLOCKS: tuple[tuple[int, str | None], ...] = (
    (0x0041, "Latin"), (0x02B0, None), (0x0370, "Greek"), (0x0400, "Cyrillic"), (0x0530, "Armenian"), (0x0590, "Hebrew"),
    (0x0600, "Arabic"), (0x0700, None), (0x0750, "Arabic"), (0x0780, None), (0x08A0, "Arabic"), (0x0900, "Devanagari"),
    (0x0980, "Bengali"), (0x0A00, "Gurmukhi"), (0x0A80, "Gujarati"), (0x0B00, "Odia"), (0x0B80, "Tamil"), (0x0C00, "Telugu"),
    (0x0C80, "Kannada"), (0x0D00, "Malayalam"), (0x0D80, "Sinhala"), (0x0E00, "Thai"), (0x0E80, "Lao"), (0x0F00, "Tibetan"),
    (0x1000, "Burmese"), (0x10A0, "Georgian"), (0x1100, "Hangul"), (0x1200, "Ethiopic"), (0x13A0, None), (0x1780, "Khmer"),
    (0x1800, "Mongolian"), (0x18B0, None), (0x1C80, "Cyrillic"), (0x1C90, "Georgian"), (0x1CC0, None), (0x1E00, "Latin"),
    (0x1F00, "Greek"), (0x2000, None), (0x2C60, "Latin"), (0x2C80, None), (0x2DE0, "Cyrillic"), (0x2E00, None), (0x3040, "Kana"),
    (0x3100, "Han"), (0x3130, "Hangul"), (0x3190, None), (0x31F0, "Kana"), (0x3200, None), (0x3400, "Han"), (0xA000, None),
    (0xA640, "Cyrillic"), (0xA6A0, None), (0xA720, "Latin"), (0xA800, None), (0xA8E0, "Devanagari"), (0xA900, None),
    (0xAA60, "Burmese"), (0xAA80, None), (0xAC00, "Hangul"), (0xD800, None), (0xF900, "Han"), (0xFB00, "Latin"), (0xFB13, None),
    (0xFB1D, "Hebrew"), (0xFB50, "Arabic"), (0xFE00, None), (0xFE70, "Arabic"), (0xFF00, None), (0xFF21, "Latin"),
    (0xFF66, "Kana"), (0xFFA0, None), (0x20000, "Han"), (0x32000, None),
)  # fmt: skip
_STARTS = [start for start, _ in _BLOCKS]
# Signs that are looked at: more does not change which script is the commonest.
_SAMPLE = 2000

LETTERS_PER_WORD = {"Han": 2, "Japanese": 2, "Thai": 4, "Lao": 4, "Khmer": 4, "Burmese": 4}
"""Letters that count as one word, by the name that :func:`script_of` gives, in scripts without blanks between words. Chinese
words have 1.5 to 2 letters on average, Japanese ones a little more, Thai ones 4 to 5."""


def words_of(text: str) -> list[str]:
    """Words in lower case, punctuation left out; letters of scripts without blanks one by one, with their signs."""
    lowered = text.lower()
    if lowered.isascii():
        return _ASCII_WORD.findall(lowered)
    return (_MARKED_WORD if MARKS.search(lowered) else _WORD).findall(lowered)


def word_places(text: str) -> list[tuple[int, int]]:
    """Where the words of :func:`words_of` begin and end in ``text.lower()``."""
    lowered = text.lower()
    pattern = _ASCII_WORD if lowered.isascii() else _MARKED_WORD if MARKS.search(lowered) else _WORD
    return [found.span() for found in pattern.finditer(lowered)]


def count_words(text: str) -> int:
    """Words as a person counts them: what stands between blanks, and each letter of a script without blanks."""
    if text.isascii() or not UNSPACED_SIGN.search(text):
        return sum(1 for _ in _BETWEEN_BLANKS.finditer(text))
    signs = sum(1 for sign in UNSPACED_SIGN.findall(text) if not unicodedata.category(sign).startswith("M"))
    return signs + sum(1 for piece in UNSPACED_SIGN.sub(" ", text).split() if _WORD.search(piece))


def spaced(text: str) -> str:
    """Text with blanks around every letter of a script without blanks; other text as it is."""
    return text if text.isascii() else _LETTER.sub(r" \g<0> ", text)


def composed(text: str) -> str:
    """Text in Unicode's form NFC: é as one sign and as e with an accent are the same letter."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=1 << 16)
def script_of(text: str) -> str | None:
    """The script that most letters of a text are in (``Latin``, ``Han``, ``Japanese``, ``Thai`` …); None without letters."""
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else None
    return commonest_script(Counter(_script(sign) for sign in text[:_SAMPLE] if sign.isalpha()))


def commonest_script(counts: Counter[str | None]) -> str | None:
    """The script of counted letters. Kana among Han is Japanese from a tenth on; a sign such as の in Chinese is not."""
    han, kana = counts.pop("Han", 0), counts.pop("Kana", 0)
    counts["Japanese" if kana * 10 > han else "Han"] += han + kana
    counts.pop(None, None)
    script, count = max(counts.items(), key=lambda item: item[1])
    return script if count else None


def _script(sign: str) -> str | None:
    """The script of one letter."""
    place = bisect_right(_STARTS, ord(sign)) - 1
    return _BLOCKS[place][1] if place >= 0 else None
