"""Reading numbers: strictly, where a cell holds nothing else, and out of free answers. What is unclear is not read.

A point is a decimal point. A comma alone before three digits may be either (12,500): it is read only once ``decimal`` says
which. Blanks between groups of three digits are read in a cell, and in free text only where the comma is the decimal sign.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Literal

from studio.language.negation import affirmed
from studio.language.spelling import folded, unmarked

Decimal = Literal[".", ","]

# Digits with the signs that may stand between them: points, commas, apostrophes, underscores, blanks of Arabic and of print.
_RUN = r"\d[\d.,'_٫٬]*\d|\d"
# A letter or digit of a script that sets blanks between words; 是5个 holds the number 5, m5x none.
_PART = r"[^\W\u2e80-\u9fff\uac00-\ud7a3]"
_NUMBER = re.compile(rf"(?<!{_PART})(?<![.,])(?:(?<![)\]-])[-+](?=[\d.,]))?(?:[.,٫](?=\d))?(?:{_RUN})(?:[eE][-+]?\d+)?")
_SPACED = re.compile(r"(?<![\d.,])(\d{1,3})((?: \d{3})+)(?![\d'_]|[.,]\d{4})")
_MINUS = re.compile(
    r"(?:\b(?:minus|negative|moins|menos)\s+|(?:负|負|マイナス|零下)\s*|(?<![\w.,)\]–—-])[–—])(?=[.,]?\d)", re.IGNORECASE
)
# A dash and a blank before a number: a minus sign, a bullet or a pause.
_LOOSE = re.compile(r"(?<=\S) [-–—] (?=[.,]?\d)")
# A word or sign that makes another number of the one before it: a half, a unit that multiplies, a power.
_AFTER = re.compile(
    r"\s*(?:[/^²³½¼¾×]|\*\s*10|(?:thousand|million|billion|trillion|hundred|dozen|tusen|miljon(?:er)?|miljard(?:er)?|tausend|"
    r"millionen|milliarden|mille|millones|mil)\b|[千万億亿百萬]|(?:and a|och en) half)",
    re.IGNORECASE,
)


class Typed(str):
    """A number of a typed column as text: its decimal sign is the point, whatever the texts of others use."""

    __slots__ = ()


def strict_number(text: str | None, decimal: Decimal | None = None) -> float | None:
    """The number that a cell is; None where it is empty, holds anything else, or may be read in two ways."""
    if text is None:
        return None
    decimal = "." if isinstance(text, Typed) else decimal
    plain = _MINUS.sub("-", _joined(folded(text)))
    match = _NUMBER.fullmatch(plain)
    return _value(match.group(), decimal) if match else None


def free_number(text: str | None, decimal: Decimal | None = None) -> float | None:
    """The one number of an answer; None where there is none, several different ones, or one that is unclear or denied."""
    if text is None:
        return None
    plain = _MINUS.sub("-", folded(unmarked(text)))
    if _LOOSE.search(plain) or (decimal != "," and _SPACED.search(plain)):
        return None
    plain = _joined(plain) if decimal == "," else plain
    matches = list(_NUMBER.finditer(plain))
    denied = {match.span() for match in matches} - affirmed(plain, [match.span() for match in matches])
    found: set[float | None] = set()
    for match in matches:
        follows = plain[match.end() :]
        if match.span() in denied:
            found |= {None} if len(matches) == 1 else set()
        else:
            # 4th and 5kg are words, 1.5 million and 1/2 are other numbers: neither is read, and no other in their place.
            part = re.match(_PART, follows) or _AFTER.match(follows)
            found.add(None if part else _value(match.group(), decimal))
    return found.pop() if len(found) == 1 else None


def _joined(text: str) -> str:
    """Digits in groups of three without the blanks between the groups."""
    return _SPACED.sub(lambda match: match.group(1) + match.group(2).replace(" ", ""), text)


def _value(written: str, decimal: Decimal | None) -> float | None:
    """The value of one written number; None where its signs fit no number, or two."""
    head, _, power = written.lower().partition("e")
    sign = "-" if head.startswith("-") else ""
    plain = head.lstrip("+-").replace("٫", ".").replace("٬", "'")
    ungrouped = _ungrouped(plain, "'") if "'" in plain else _ungrouped(plain, "_") if "_" in plain else plain
    digits = ungrouped and _pointed(ungrouped, decimal)
    value = float(f"{sign}{digits}e{power or 0}") if digits else math.nan
    return value if math.isfinite(value) else None


def _pointed(plain: str, decimal: Decimal | None) -> str | None:
    """Digits with a decimal point at most, from digits with points and commas."""
    if "." in plain and "," in plain:
        last: Decimal = "." if plain.rfind(".") > plain.rfind(",") else ","
        return None if decimal not in (None, last) else _decided(plain, last)
    sign: Decimal = "," if "," in plain else "."
    if sign not in plain:
        return plain
    if decimal is not None:
        return _decided(plain, decimal)
    groups: Callable[[], str | None] = lambda: _ungrouped(plain, sign)  # noqa: E731 - used in two places below
    if plain.count(sign) > 1:
        return groups()
    if sign == "," and groups() is not None:
        return None
    return plain.replace(sign, ".")


def _decided(plain: str, decimal: Decimal) -> str | None:
    """The number where it is known which sign is the decimal one; None where the signs then stand wrongly."""
    other = "," if decimal == "." else "."
    whole, found, part = plain.partition(decimal)
    if decimal in part or other in part:
        return None
    if other in whole:
        ungrouped = _ungrouped(whole, other)
        if ungrouped is None:
            return None
        whole = ungrouped
    return f"{whole or 0}.{part}" if found else whole


def _ungrouped(plain: str, separator: str) -> str | None:
    """Digits without the separator of thousands; None where what it separates are not groups of three (then it is none)."""
    whole, point, part = plain, "", ""
    if separator in "'_":
        end = max(whole.rfind(separator) + 4, 0)
        whole, rest = plain[:end], plain[end:]
        point, part = rest[:1], rest[1:]
        if rest and (point not in ".," or not part.isdigit()):
            return None
    first, *others = whole.split(separator)
    fits = first.isdigit() and len(first) <= 3 and not first.startswith("0") and all(re.fullmatch(r"\d{3}", o) for o in others)
    return whole.replace(separator, "") + ("." + part if point else "") if fits else None
