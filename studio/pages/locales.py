"""The reader's language: which one it is, and how it writes numbers, dates, sizes and durations (Unicode CLDR, by Babel)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request

from studio.core.translation import ENGLISH, LANGUAGES, PSEUDO, language

COOKIE = "studio-language"


def wanted_language(request: Request) -> str:
    """The language of a request: as chosen in the address or before, else the first of the browser's that we speak."""
    chosen = (request.query_params.get("lang"), request.cookies.get(COOKIE))
    for code in (*chosen, *_accepted(request.headers.get("accept-language", ""))):
        short = (code or "").replace("_", "-").partition("-")[0].lower()
        if short in LANGUAGES or short == PSEUDO:
            return short
    return language()


def _accepted(header: str) -> Iterable[str]:
    """Languages of ``Accept-Language``, the most wanted first (RFC 9110, 12.5.4)."""
    found = []
    for part in header.split(","):
        name, _, weight = part.strip().partition(";q=")
        try:
            found.append((-float(weight or 1), name))
        except ValueError:
            continue
    return [name for weight, name in sorted(found, key=lambda pair: pair[0]) if weight < 0]


def _locale() -> str:
    """Babel's name of the language in use."""
    code = language()
    return code if code in LANGUAGES else ENGLISH


def number(value: Any, digits: int = 4) -> str:
    """A number with so many significant digits and the reader's separators; a dash for none."""
    from babel.numbers import format_decimal

    if value is None:
        return "–"
    if isinstance(value, int):
        return str(format_decimal(value, locale=_locale()))
    rounded = float(f"{value:.{digits}g}")
    return str(format_decimal(rounded, format="#,##0.##########", locale=_locale()))


def percent(value: float | None, digits: int = 1) -> str:
    """A share as the reader writes it."""
    from babel.numbers import format_percent

    return "–" if value is None else str(format_percent(value, format=f"#,##0.{'0' * digits}%", locale=_locale()))


def size(count: float | None) -> str:
    """Bytes: ``1.5 GB``, powers of 1,000."""
    if count is None:
        return "–"
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= power:
            return f"{number(count / power, 3)} {unit}"
    return f"{number(int(count))} B"


def moment(text: str | None) -> datetime | None:
    """A time of a record; None where it has none, or no time at all."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def when(text: str | None) -> str:
    """A time of a record in this machine's zone, as the reader writes it."""
    from babel.dates import format_datetime

    found = moment(text)
    return _told(format_datetime(found.astimezone(), format="medium", locale=_locale())) if found else "–"


def ago(text: str | None) -> str:
    """How long ago: ``5 minutes ago``."""
    from babel.dates import format_timedelta

    found = moment(text)
    if found is None:
        return "–"
    return _told(format_timedelta(found - datetime.now(UTC), add_direction=True, granularity="second", locale=_locale()))


def duration(seconds: float | None) -> str:
    """A length of time: ``2 min``."""
    from babel.dates import format_timedelta

    if seconds is None:
        return "–"
    return _told(format_timedelta(timedelta(seconds=round(seconds)), threshold=1.5, format="short", locale=_locale()))


def _told(words: object) -> str:
    """Words that Babel has in the reader's language; between brackets in the pseudo-language."""
    return f"⟦{words}⟧" if language() == PSEUDO else str(words)
