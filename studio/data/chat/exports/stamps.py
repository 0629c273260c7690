"""Stamps of WhatsApp's lines: when a message was sent, written in the style of the phone's language (Unicode CLDR)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

# Android: ``31.12.23, 22:15 - Ida: text``; iOS: ``[31.12.23, 22:15:33] Ida: text``. A word may stand before the hour (French
# ``à``, Chinese and Korean halves of the day), AM or PM after it, with narrow blanks and invisible marks of direction.
_PART = r"[\u200e\u200f]?(?:\s?[./-]\s?|\s?[年月년월]\s?|\s(?:thg|tháng)\s|, tháng )"
_DATE = rf"\d{{1,4}}{_PART}\d{{1,2}}(?:{_PART}|, )\d{{1,4}}(?:\.|\s?[日일])?(?:\s?г\.)?"
# A date with the name of its month, and perhaps small words: ``5 janv. 2023``, ``2 de abril de 2014``, ``Apr 2, 2014``.
_WORDED = r"(?=[^\n:\[\]]{0,40}[^\W\d_][^\n:\[\]]{0,40}\s)[^\s:\[\]][^\n:\[\]]{3,40}?"
_CLOCK = r"(?P<hour>\d{1,2})(?:[:.]|\s?h\s?)(?P<minute>\d{1,2})(?:(?:[:.]|\s?min\s?)(?P<second>\d{1,2})(?:\s?s)?)?(?![\d:])"
_START, _END = r"[\u200e\u200f\u202a]*(?P<open>\[)?", r"(?(open)\]|(?:\s+-|,))\s(?P<rest>.*)"
_HALF = r"(?:\.?\s?(?P<after>[^\s\d:\[\]-][^\d:\[\],-]{0,20}?))?"
_BEFORE = r"[,،]?\s+(?:(?P<before>[^\s\d:\[\]-][^\d:\[\]]{0,16}?)\s?)?"
_NUMERIC = re.compile(rf"{_START}(?P<date>{_DATE}){_BEFORE}{_CLOCK}{_HALF}{_END}", re.DOTALL)
# Vietnamese and a few others say the hour first.
_HOUR_FIRST = re.compile(rf"{_START}{_CLOCK}{_HALF},?\s+(?P<date>{_DATE})(?P<before>){_END}", re.DOTALL)
_NAMED = re.compile(rf"{_START}(?P<date>{_WORDED}){_BEFORE}{_CLOCK}{_HALF}{_END}", re.DOTALL)
# What Unicode's tables do not hold, or not in this form.
_AFTERNOON = ("p", "下午", "晚上", "午後", "오후", "م", "μμ")
_MORNING = ("a", "上午", "早上", "凌晨", "午前", "오전", "ص", "πμ")
# WhatsApp began in 2009; the year of Thailand's calendar is 543 ahead.
_FIRST_YEAR, _BUDDHIST, _LEAST_BUDDHIST = 2009, 543, 2500

_APART = frozenset(
    {"ar_DZ", "ar_IQ", "ar_JO", "ar_MA", "ar_MR", "bn_IN", "de_AT", "en_GB", "es_MX", "es_PE", "fa_AF", "fr_CA", "fr_MA",
     "sr_Cyrl_ME", "sr_Latn_ME"}
)  # fmt: skip

Triple = tuple[int, int, int]
"""Year, month and day."""


def stamp_of(line: str) -> re.Match[str] | None:
    """The stamp that a line begins with: ``date``, ``before``, ``hour``, ``minute``, ``second``, ``after`` and ``rest``."""
    found = _NUMERIC.match(line) or _HOUR_FIRST.match(line)
    if found is not None:
        return found
    named = _NAMED.match(line)
    return named if named is not None and _languages_of(named["date"]) else None


def times_of(stamps: Sequence[re.Match[str]]) -> list[float | None]:
    """Seconds since 1970 of each stamp of a file, in the time of this machine: an export says no zone, and only distances count.

    The order of day, month and year, and the language of the names of months, are those in which the stamps run forward.
    """
    return [_seconds(stamp, date) for stamp, date in zip(stamps, _dates(stamps), strict=True)]


def _dates(stamps: Sequence[re.Match[str]]) -> list[Triple | None]:
    """The dates of a file, all read in one way."""
    texts = [stamp["date"] for stamp in stamps]
    distinct = list(dict.fromkeys(texts))
    american = bool(stamps) and "/" in texts[0] and _plain(stamps[0]["after"] or "").startswith(("a", "p"))
    readings = [
        {text: _read(text, order, language) for text in distinct}
        for language in _languages(distinct)
        for order in (("mdy", "dmy", "ymd") if american else ("dmy", "mdy", "ymd"))
    ]
    run = [text for text, _ in itertools.groupby(texts)]
    # The likeliest first, which wins where others do as well.
    best = min(readings, key=lambda reading: _mistakes([reading[text] for text in run]))
    return [best[text] for text in texts]


def _mistakes(dates: Sequence[Triple | None]) -> tuple[int, int]:
    """How many dates cannot be, and how often they run backwards."""
    latest = datetime.now().year + 1
    wrong = sum(date is None or not (_FIRST_YEAR <= date[0] <= latest and _exists(date)) for date in dates)
    known = [date for date in dates if date is not None]
    return wrong, sum(later < earlier for earlier, later in itertools.pairwise(known))


def _languages(dates: Sequence[str]) -> list[str]:
    """Languages in which all named months of a file are known, one for each way to read them; ``""`` where no month is named."""
    named = [_languages_of(date) for date in dates if len(_numbers(date)) == 2]
    if not named:
        return [""]
    shared = sorted(set.intersection(*(set(found) for found in named)))
    return list({tuple(found[language] for found in named): language for language in reversed(shared)}.values()) or [""]


def _read(date: str, order: str, language: str) -> Triple | None:
    """One date.

    Args:
        order: of day, month and year where no length tells the year.
        language: of the names of months.
    """
    numbers = _numbers(date)
    if len(numbers) == 3:
        order = "ymd" if numbers[0] > 31 else "dmy" if numbers[2] > 99 and order == "ymd" else order
        parts = dict(zip(order, numbers, strict=True))
    elif len(numbers) == 2 and language:
        parts = {"m": _languages_of(date)[language], **dict(zip("yd" if numbers[0] > 31 else "dy", numbers, strict=True))}
    else:
        return None
    year = parts["y"] if parts["y"] > 99 else 2000 + parts["y"]
    return year - _BUDDHIST if year >= _LEAST_BUDDHIST else year, parts["m"], parts["d"]


def _exists(date: Triple) -> bool:
    """True for a day of the calendar."""
    try:
        datetime(*date)
    except ValueError:
        return False
    return True


def _numbers(date: str) -> list[int]:
    """The numbers of a date as they are written."""
    return [int(number) for number in re.findall(r"\d+", date)]


def _seconds(stamp: re.Match[str], date: Triple | None) -> float | None:
    """Seconds since 1970; None for what is no time."""
    hour = int(stamp["hour"])
    half = _half(stamp["after"] or stamp["before"] or "")
    if half == "pm" and hour < 12:
        hour += 12
    elif half == "am" and hour == 12:
        hour = 0
    try:
        return datetime(*(date or (0, 0, 0)), hour % 24, int(stamp["minute"]), int(stamp["second"] or 0)).timestamp()
    except (ValueError, OverflowError):
        return None


def _half(word: str) -> str | None:
    """``am`` or ``pm`` where a word names a half of the day."""
    plain = _plain(word)
    if plain in _halves():
        return _halves()[plain]
    if plain.startswith(_AFTERNOON):
        return "pm"
    return "am" if plain.startswith(_MORNING) and plain != "à" else None


def _plain(word: str) -> str:
    """A word as words are compared."""
    return re.sub(r"[\s.'’׳॰\u200e\u200f]", "", word).casefold()


def _languages_of(date: str) -> Mapping[str, int]:
    """The month that a date names, by the languages in which it does; empty for anything that is no date."""
    numbers = re.findall(r"\d+", date)
    words = [_plain(word) for word in re.findall(r"[^\s\d,،/-]+", date)]
    if len(numbers) != 2 or len(words) > 5 or not any(int(number) <= 31 for number in numbers):
        return {}
    found: dict[str, int] = {}
    # Names of several words before those of one.
    for length in range(min(3, len(words)), 0, -1):
        for start in range(len(words) - length + 1):
            found = {**_months().get("".join(words[start : start + length]), {}), **found}
    return found


@cache
def _months() -> dict[str, dict[str, int]]:
    """Numbers of months by name and language; of a name of several words also by the longest, where that says one month only."""
    found: dict[str, dict[str, int]] = {}
    for language, locale in _locales():
        named: dict[str, set[int]] = {}
        for context, width in itertools.product(("format", "stand-alone"), ("abbreviated", "wide")):
            for number, name in locale.months[context][width].items():
                for word in {_plain(name), _plain(max(re.split(r"\s", name), key=len))}:
                    named.setdefault(word, set()).add(number)
        for word, numbers in named.items():
            if len(word) > 1 and len(numbers) == 1 and not any(sign.isdigit() for sign in word):
                found.setdefault(word, {})[language] = next(iter(numbers))
    return found


@cache
def _halves() -> dict[str, str]:
    """``am`` and ``pm`` by the words for them; one that is both, in two languages, is neither."""
    found: dict[str, set[str]] = {}
    for _, locale in _locales():
        for context, width in itertools.product(("format", "stand-alone"), ("abbreviated", "wide", "narrow")):
            for half, name in locale.day_periods.get(context, {}).get(width, {}).items():
                if half in {"am", "pm"}:
                    found.setdefault(_plain(name), set()).add(half)
    return {word: next(iter(halves)) for word, halves in found.items() if len(halves) == 1}


@cache
def _locales() -> list[tuple[str, Any]]:
    """Unicode's locales by name: languages, and those of territories that call months otherwise than their language."""
    from babel import Locale, localedata

    known = ((name, Locale.parse(name)) for name in sorted(localedata.locale_identifiers()))
    return [(name, locale) for name, locale in known if locale.territory is None or name in _APART]
