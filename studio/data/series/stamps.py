"""From the texts of a column to stamps: one way of writing them per column, and nothing guessed that can be read in two ways."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from studio.core.errors import DataError

_DATE = r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})"
_CLOCK = r"(?:[T ]\s*(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?))?"
_ZONE = r"\s*(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
_ISO = re.compile(_DATE + _CLOCK + _ZONE)
_LOCAL = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + _CLOCK)
_MONTH = re.compile(r"(\d{4})([-/.M])(\d{1,2})")
_QUARTER = re.compile(r"(\d{4})[- ]?Q([1-4])")
_DIGITS = re.compile(r"\d+(?:\.0)?")
_EPOCH: dict[int, Literal["s", "ms"]] = {10: "s", 13: "ms"}
_NAMED = 5


@dataclass
class Stamps:
    """Moments of a column, without a zone (UTC where one was named); NaT where there is none. reasons: why, by place."""

    times: pd.DatetimeIndex
    reasons: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_stamps(values: pd.Series, rows: Sequence[int], column: str, where: str, form: str | None) -> Stamps:
    """Read a column of moments.

    Args:
        rows: number of each row in its file, for messages. where: what file it is.
        form: how they are written, as strptime has it; None finds it.
    Raises:
        DataError: they are written in two ways, or may be read in two.
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return _of_zone(pd.DatetimeIndex(values).tz_localize(None), pd.DatetimeIndex(values).tz_convert(None), column)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return Stamps(pd.DatetimeIndex(values).as_unit("us"), dict.fromkeys(np.flatnonzero(values.isna()), "no stamp"))
    texts = [_text(value) for value in values]
    if form is not None:
        return _as_said(texts, rows, column, where, form)
    kinds = {text: _kind(text) for text in dict.fromkeys(texts)}
    counts = Counter(kinds[text] for text in texts if kinds[text] is not None)
    if not counts:
        raise DataError(f"{where}: the column {column!r} holds no stamp (its first value is {texts[0]!r}). Name it: columns.time")
    kind = counts.most_common(1)[0][0]
    if len(counts) > 1:
        others = [place for place, text in enumerate(texts) if kinds[text] not in (None, kind)]
        raise DataError(_two_ways(texts, others, rows, column, where, next(text for text in texts if kinds[text] == kind)))
    known = [text for text in kinds if kinds[text] is not None]
    read, local = _read(str(kind), known, column, where)
    place = {text: number for number, text in enumerate(known)}
    order = np.array([place.get(text, -1) for text in texts])
    found = _of_zone(_at(local, order), _at(read, order), column) if local is not None else Stamps(_at(read, order))
    missing = np.flatnonzero(found.times.isna())
    found.reasons = {int(one): "no stamp" if order[one] < 0 else "the stamp is no date" for one in missing}
    return found


def looks_like_stamps(values: pd.Series) -> bool:
    """True where a column may be one of moments: its first values are dates, or years as numbers."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return True
    texts = [text for text in map(_text, values.head(20)) if text]
    kinds = {_kind(text) for text in texts}
    if not texts or None in kinds:
        return False
    if all(_DIGITS.fullmatch(text) for text in texts):
        return all(len(text) == 8 or 1000 <= float(text) < 3000 for text in texts)
    words = any(str(kind).startswith("words") for kind in kinds)
    return not any(_DIGITS.fullmatch(text) for text in texts) and (
        not words or pd.tseries.api.guess_datetime_format(texts[0]) is not None
    )


def _text(value: object) -> str:
    """A cell as text; nothing for a missing one."""
    if value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NaT:
        return ""
    text = str(value).strip()
    return text[:-2] if text.endswith(".0") and text[:-2].isdigit() else text


def _kind(text: str) -> str | None:
    """The way a moment is written; None for what is none."""
    if (found := _ISO.fullmatch(text)) is not None:
        return f"iso {found.group(2)}{' zone' if found.group(6) else ''}"
    if (found := _LOCAL.fullmatch(text)) is not None:
        return f"local {found.group(2)}"
    if (found := _MONTH.fullmatch(text)) is not None:
        return f"month {found.group(2)}"
    if _QUARTER.fullmatch(text):
        return "quarter"
    if text.isdigit():
        return f"digits {len(text)}"
    if not any(letter.isdigit() for letter in text):
        return None
    return "words " + re.sub(r"\d+", "0", re.sub(r"[^\W\d_]+", "a", text))


def _read(kind: str, texts: list[str], column: str, where: str) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex | None]:
    """Different texts of one kind as moments; where they name a zone, in UTC and as they stand."""
    way, _, detail = kind.partition(" ")
    if way == "iso":
        plain = [text.replace("/", "-").replace(".", "-", 2) if detail[0] in "/." else text for text in texts]
        if not detail.endswith("zone"):
            return _parsed(plain, "ISO8601"), None
        parts = [_ISO.fullmatch(text) for text in plain]
        local = [f"{found.group(0)[: found.start(6)].strip()}" for found in parts if found]
        signs = [text.replace("UTC", "Z").replace("GMT", "Z").replace(" Z", "Z") for text in plain]
        return pd.DatetimeIndex(pd.to_datetime(signs, format="ISO8601", utc=True, errors="coerce")).tz_convert(None).as_unit(
            "us"
        ), _parsed(local, "ISO8601")
    if way == "local":
        return _local(texts, detail, column, where), None
    if way == "month":
        return _parsed(texts, f"%Y{detail}%m"), None
    if way == "quarter":
        found = [_QUARTER.fullmatch(text) for text in texts]
        return _parsed([f"{one.group(1)}-{3 * int(one.group(2)) - 2:02d}" for one in found if one], "%Y-%m"), None
    if way == "digits":
        forms = {"4": "%Y", "6": "%Y%m", "8": "%Y%m%d"}
        if detail in forms:
            return _parsed(texts, forms[detail]), None
        if int(detail) in _EPOCH:
            return pd.DatetimeIndex(pd.to_datetime(np.array(texts, dtype=np.int64), unit=_EPOCH[int(detail)])).as_unit("us"), None
    guess = pd.tseries.api.guess_datetime_format(texts[0]) if way == "words" else None
    if guess is None:
        raise DataError(
            f"{where}: the stamps of {column!r} ({texts[0]!r}) are written in no known way. Say it with time_format, for example "
            "time_format: '%b %Y'."
        )
    return _parsed(texts, str(guess)), None


def _local(texts: list[str], separator: str, column: str, where: str) -> pd.DatetimeIndex:
    """``31.12.2020``, ``12/31/2020``: which number is the day follows from one above 12; between dots it is the first.

    Raises:
        DataError: it follows from none, or both ways stand in the column.
    """
    found = [one for one in map(_LOCAL.fullmatch, texts) if one]
    day_first = next((one.group(0) for one in found if int(one.group(1)) > 12), None)
    month_first = next((one.group(0) for one in found if int(one.group(3)) > 12), None)
    if day_first and month_first:
        raise DataError(
            f"{where}: the stamps of {column!r} are written in two formats, day first ({day_first}) and month first "
            f"({month_first}). Write them alike."
        )
    if not day_first and not month_first and separator != ".":
        raise DataError(
            f"{where}: {found[0].group(0)!r} in {column!r} may mean two days. Say which with time_format: "
            f"'%d{separator}%m{separator}%Y' or '%m{separator}%d{separator}%Y'."
        )
    day, month = (3, 1) if month_first else (1, 3)
    return _parsed(
        [f"{one.group(4)}-{int(one.group(month)):02d}-{int(one.group(day)):02d} {one.group(5) or ''}".strip() for one in found],
        "ISO8601",
    )


def _parsed(texts: list[str], form: str) -> pd.DatetimeIndex:
    """Texts in one form; NaT for what is no date (31 June)."""
    return pd.DatetimeIndex(pd.to_datetime(pd.Series(texts, dtype="str"), format=form, errors="coerce")).as_unit("us")


def _at(moments: pd.DatetimeIndex, order: np.ndarray) -> pd.DatetimeIndex:
    """Moments in the order of the rows; NaT for -1."""
    values = moments.to_numpy()
    taken = values[np.maximum(order, 0)] if len(values) else np.full(len(order), np.datetime64("NaT"), dtype="datetime64[us]")
    return pd.DatetimeIndex(np.where(order >= 0, taken, np.datetime64("NaT")))


def _of_zone(local: pd.DatetimeIndex, universal: pd.DatetimeIndex, column: str) -> Stamps:
    """Moments that name a zone: in UTC, unless they are days (one time of day in their zone, several in UTC)."""
    local, universal = local.as_unit("us"), universal.as_unit("us")
    missing = {int(place): "no stamp" for place in np.flatnonzero(universal.isna())}
    if len(set(local.dropna().time)) == 1 < len(set(universal.dropna().time)):
        note = f"the stamps of {column!r} name a time zone and are days in it, so the days are kept and the zone is left out"
        return Stamps(local, missing, [note])
    return Stamps(universal, missing, [f"the stamps of {column!r} name a time zone and were converted to UTC"])


def _as_said(texts: list[str], rows: Sequence[int], column: str, where: str, form: str) -> Stamps:
    """Moments in the form that the recipe names; a text that does not fit stops the build."""
    try:
        read = _parsed([text or "" for text in texts], form)
    except ValueError as error:
        raise DataError(
            f"time_format: {form!r} is no form of a stamp ({error}). Write it as strptime has it: '%d.%m.%Y'."
        ) from None
    missing = np.flatnonzero(read.isna())
    unlike = [int(place) for place in missing if any(letter.isdigit() for letter in texts[place])]
    if unlike:
        example = next((text for place, text in enumerate(texts) if not pd.isna(read[place])), form)
        raise DataError(_two_ways(texts, unlike, rows, column, where, example))
    return Stamps(read, {int(place): "no stamp" for place in missing})


def _two_ways(texts: list[str], others: list[int], rows: Sequence[int], column: str, where: str, example: str) -> str:
    """The sentence for a column whose moments are written in two ways."""
    named = ", ".join(f"row {rows[place]:,} {texts[place]!r}" for place in others[:_NAMED])
    more = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
    return (
        f"{where}: the stamps of {column!r} are written in two formats: most as {example!r}, but {named}{more}. Write them "
        "alike; time_format says which is meant, not both."
    )
