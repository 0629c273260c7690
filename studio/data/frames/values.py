"""Text to numbers and to times: what cannot be read is told apart, never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

ISO = "ISO 8601"
_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y")
_WORDS = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")
FORMATS = (ISO, *(f"{day}{clock}" for day in (*_DATES, *_WORDS) for clock in _CLOCKS))
"""Forms of dates that are tried, as Python writes them."""
_SAMPLE = 2000
# The same places, read the other way round.
_OTHER_WAY = {"%d/%m": "%m/%d", "%m/%d": "%d/%m", "%d-%m": "%m-%d", "%m-%d": "%d-%m"}


@dataclass(frozen=True)
class NumberSigns:
    """How numbers are written."""

    decimal: str = "."
    thousands: str = ""


def to_numbers(texts: pd.Series, signs: NumberSigns) -> np.ndarray:
    """Numbers float64 [n]; NaN for what is no number, infinite for what is infinite or too large."""
    plain = texts.str.strip()
    if signs.thousands:
        # Only between groups of three: 1,5 stays no number where commas separate thousands.
        grouped = rf"(?<=\d){re.escape(signs.thousands)}(?=\d{{3}}(?:\D|$))"
        plain = plain.str.replace(grouped, "", regex=True)
    if signs.decimal != ".":
        plain = plain.where(~plain.str.contains(".", regex=False)).str.replace(signs.decimal, ".", regex=False)
    return pd.to_numeric(plain, errors="coerce").to_numpy(np.float64, na_value=np.nan)


@dataclass
class Times:
    """Texts as times.

    values: datetime64[us] [n], NaT for what is none or could be two. formats: how many were read in which form, the most frequent
    first, with an example. ambiguous: bool [n], read differently by two forms that both occur. doubtful: every text could be read
    with day and month changed round.
    """

    values: np.ndarray
    formats: dict[str, tuple[int, str]] = field(default_factory=dict)
    ambiguous: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    doubtful: bool = False


def to_times(texts: pd.Series, formats: tuple[str, ...], *, day_first: bool) -> Times:
    """Times of texts, each read in one of the forms that the column uses.

    A text that two forms of the column read differently (03/04/2021 where both 25/04/2021 and 04/25/2021 occur) is ambiguous.

    Args:
        formats: the forms that are allowed; empty tries all of :data:`FORMATS`.
        day_first: which form is taken where none of the texts decides between day first and month first.
    """
    places, distinct = pd.factorize(texts.str.strip())
    unique = pd.Series(distinct, dtype="str")
    readings: list[tuple[str, np.ndarray]] = []
    open_still = np.ones(len(unique), dtype=bool)
    for form in _promising(unique, formats, day_first):
        if not open_still.any():
            break
        if (~np.isnat(_read_as(unique[open_still], form))).any():
            values = _read_as(unique, form)
            readings.append((form, values))
            open_still &= np.isnat(values)
    found = np.full(len(unique), np.datetime64("NaT"), dtype="datetime64[us]")
    ambiguous = np.zeros(len(unique), dtype=bool)
    used: dict[str, tuple[int, str]] = {}
    counts = np.bincount(places[places >= 0], minlength=len(unique))
    for form, values in readings:
        both = ~np.isnat(values) & ~np.isnat(found)
        ambiguous |= both & (values != found)
        fresh = ~np.isnat(values) & np.isnat(found)
        found[fresh] = values[fresh]
        used[form] = (int(counts[fresh].sum()), str(unique[fresh.argmax()]))
    found[ambiguous] = np.datetime64("NaT")
    doubtful = len(readings) == 1 and _other_way_too(unique, *readings[0])
    rows = np.append(found, np.datetime64("NaT"))[places]
    return Times(rows, used, np.append(ambiguous, False)[places], doubtful)


def _promising(unique: pd.Series, formats: tuple[str, ...], day_first: bool) -> list[str]:
    """Forms in which texts can be read, those that read most of a sample first.

    Forms that read nothing of the sample come after them where most of it can be read: then a rare second form is worth
    looking for.
    """
    sample = unique.iloc[np.linspace(0, len(unique) - 1, min(len(unique), _SAMPLE)).astype(int)] if len(unique) else unique
    tried = formats or FORMATS
    counts = {form: int((~np.isnat(_read_as(sample, form))).sum()) for form in tried}

    def rank(form: str) -> tuple[int, bool]:
        month_first = form.startswith("%m")
        return -counts[form], month_first if day_first else not month_first

    ranked = sorted(tried, key=rank)
    most = max(counts.values(), default=0)
    return ranked if most >= len(sample) / 2 else [form for form in ranked if counts[form]]


def _read_as(texts: pd.Series, form: str) -> np.ndarray:
    """Times in UTC by one form; NaT where it does not fit."""
    read = pd.to_datetime(texts, format="ISO8601" if form == ISO else form, errors="coerce", utc=True)
    moments: np.ndarray = read.dt.tz_localize(None).to_numpy("datetime64[us]")
    return moments


def _other_way_too(unique: pd.Series, form: str, values: np.ndarray) -> bool:
    """True when every text that was read could be read with day and month changed round, and some would differ."""
    turned = _OTHER_WAY.get(form[:5])
    if turned is None:
        return False
    other = _read_as(unique, turned + form[5:])
    there = ~np.isnat(values)
    return bool((~np.isnat(other[there])).all() and (other[there] != values[there]).any())
