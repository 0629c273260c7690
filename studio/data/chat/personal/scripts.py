"""What borders an address or a number, in scripts with blanks between words and without."""

from __future__ import annotations

import re

Span = tuple[int, int]

# Letters of scripts with blanks between words. Chinese, Japanese, Korean and Thai stand right beside an address or a number, so
# they neither belong to it nor border it; \w and \b would take them for its letters.
BEYOND_ASCII = "\u00c0-\u02af\u0370-\u058f"
LETTERS = f"A-Za-z0-9_{BEYOND_ASCII}"
START, END = f"(?<![{LETTERS}])", f"(?![{LETTERS}])"
# Of a number: no digit before it, also none with a sign between that would make both one number (``1.5``, ``12-34``).
NUMBER_START, NUMBER_END = f"(?<![{LETTERS}])(?<![0-9][.,/:-])", f"(?![{LETTERS}])(?![.,/:-][0-9])"
# Full-width signs are found as those that they stand for.
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
# Random identifiers (RFC 9562), whose runs of digits are no number of anybody.
_UUID = re.compile(f"{START}[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}{END}")


def searchable(text: str) -> str:
    """Text of the same length in which full-width signs are narrow and random identifiers blotted out."""
    text = text if text.isascii() else text.translate(_NARROW)
    return _UUID.sub(lambda found: "x" * len(found.group()), text) if text.count("-") >= 4 else text


def digits_of(text: str) -> str:
    """The ASCII digits of a text."""
    return "".join(sign for sign in text if sign in "0123456789")
