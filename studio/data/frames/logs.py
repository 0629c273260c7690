"""Whole tables from logs: a row for each line, its stamp as a time; lines that are written otherwise are counted and listed."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from studio.core.errors import DataError
from studio.data.frames.base import BadRow, Frame, FrameOptions, plain_columns
from studio.data.frames.log_lines import FORMS, TIME_NAMES, Fields, Form, pairs_of
from studio.data.readers import ReadOptions
from studio.data.readers.encoding import check_encoding, known, settled, with_mark
from studio.data.readers.packed import kind_of, plain_file

LOG_ENDINGS = frozenset({".log", ".txt", ".out", ".err", ".jsonl", ".ndjson", "", *(f".{number}" for number in range(10))})
"""Endings of the files of a folder that are read as logs; a file that is named itself may have any."""
_TRIED, _ENOUGH = 200, 0.5
_LONGEST = 1 << 20
# What belongs to the line above it: the frames of a stack, and what a program writes around them.
_CONTINUES = re.compile(r"\s|Traceback \(|Caused by:|\.\.\. \d+ more")
_NUMBER = re.compile(r"\d{9,14}(?:\.\d+)?")
_NO_YEAR = re.compile(r"(?P<month>[A-Z][a-z]{2}) (?P<day>[ \d]\d) (?P<time>\d\d:\d\d:\d\d)")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


@dataclass
class _Lines:
    """Lines that were read. numbers: their places in the file, from 1. joined: lines that belong to the one above."""

    rows: list[Fields] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    joined: int = 0


def read_log_frame(path: Path, options: FrameOptions) -> Frame:
    """A table of a log; the form is the one that most of its first lines are written in.

    Raises:
        DataError: the lines are written in no form that is known, or their stamps have no year and none was said.
    """
    notes: list[str] = []
    asked = settled(path, ReadOptions(encoding=options.encoding, note=notes.append), by_line=True)
    notes += _stray_bytes(path, known(asked))
    form = form_of(itertools.islice(_lines(path, known(asked)), _TRIED))
    if form is None:
        first = next((line for _, line in _lines(path, known(asked)) if line.strip()), "")
        what = ", ".join(one.what for one in FORMS)
        raise DataError(f"{path} is written in no form of log that is known; its first line is {first[:80]!r}. Known: {what}.")
    read = _read(_lines(path, known(asked)), form)
    notes.append(f"read as a log: {form.what}, {len(read.rows):,} of its lines")
    if read.joined:
        notes.append(f"{read.joined:,} lines (of stacks and their like) were joined to the line above them")
    if form.name == "stamped" and (taken := [pairs_of(row["message"]) for row in read.rows]) and all(taken):
        read.rows = [
            {**{key: value for key, value in row.items() if key != "message"}, **_renamed(pairs or {}, row)}
            for row, pairs in zip(read.rows, taken, strict=True)
        ]
    return _frame(path, read, options.year, notes)


def _renamed(pairs: Fields, row: Fields) -> Fields:
    """Pairs beside the other fields of a line, whose names they may not take."""
    return {f"{key}_" if key in row and key != "message" else key: value for key, value in pairs.items()}


def form_of(lines: Iterator[tuple[int, str]]) -> Form | None:
    """The form that most of some lines are written in; None where that is less than half of those that begin a row."""
    own = [line for _, line in lines if line.strip() and not _CONTINUES.match(line)]
    counts = {form.name: sum(form.read(line) is not None for line in own) for form in FORMS}
    best = max(FORMS, key=lambda form: counts[form.name])
    return best if own and counts[best.name] >= _ENOUGH * len(own) else None


@dataclass(frozen=True)
class LogSeen:
    """What the first lines of a log show. form: how they are written; no_year: their stamps have none."""

    form: str
    no_year: bool


def log_seen(path: Path) -> LogSeen | None:
    """How a text in UTF-8 is written that may be a log, packed or not; None where it is none."""
    if kind_of(path) not in LOG_ENDINGS:
        return None
    with plain_file(path) as plain:
        first = list(itertools.islice(_lines(plain, "utf-8"), _TRIED))
    form = form_of(iter(first))
    rows = [row for _, line in first if (row := form.read(line))] if form else []
    return LogSeen(form.what, any(_NO_YEAR.fullmatch(str(row.get("time"))) for row in rows)) if form else None


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Lines by number, without their ends; bytes that are no letter stay visible."""
    with path.open("r", encoding=with_mark(encoding), errors="backslashreplace", newline="\n") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(_LONGEST), ""), start=1):
            yield number, line.rstrip("\r\n")


def _stray_bytes(path: Path, encoding: str) -> list[str]:
    """A line where bytes do not belong to the encoding."""
    try:
        check_encoding(path, encoding)
    except DataError:
        return [f"bytes that are no {encoding.upper()} stand as \\xNN in its values"]
    return []


def _read(lines: Iterator[tuple[int, str]], form: Form) -> _Lines:
    """Every line, as a row, as more of the row above, or as one that is written otherwise."""
    read, stack = _Lines(), False
    for number, line in lines:
        fields = form.read(line)
        if fields is not None:
            read.rows.append(fields)
            read.numbers.append(number)
            stack = False
        elif not line.strip():
            continue
        elif read.rows and isinstance(read.rows[-1].get("message"), str) and (stack or _CONTINUES.match(line)):
            read.rows[-1]["message"] += f"\n{line}"
            read.joined += 1
            stack = True
        else:
            read.bad.append(BadRow(number, f"is not written as the others are ({form.what})", line[:200]))
    return read


def _frame(path: Path, read: _Lines, year: int | None, notes: list[str]) -> Frame:
    """Lines as columns, the stamps as times; a line whose stamp is no date is none."""
    names = list(dict.fromkeys(name for row in read.rows for name in row))
    stamp = next((name for known in TIME_NAMES for name in names if name.lower() == known), None)
    names = [stamp, *(name for name in names if name != stamp)] if stamp else names
    columns = plain_columns(pd.DataFrame({name: pd.Series([row.get(name) for row in read.rows], dtype=object) for name in names}))
    numbers = np.array(read.numbers, dtype=np.int64)
    if stamp is None:
        notes.append(f"no column holds a stamp (looked for {', '.join(TIME_NAMES)})")
        return Frame(columns, numbers, read.bad, notes)
    texts = [str(row.get(stamp) if row.get(stamp) is not None else "") for row in read.rows]
    times = _times(path, texts, year, notes)
    lost = times.isna().to_numpy()
    for place in np.flatnonzero(lost).tolist():
        read.bad.append(BadRow(read.numbers[place], f"has the stamp {texts[place][:40]!r}, which is no date"))
    columns[stamp] = times
    read.bad.sort(key=lambda one: one.number)
    return Frame(columns[~lost].reset_index(drop=True), numbers[~lost], read.bad, notes)


def _times(path: Path, texts: Sequence[str], year: int | None, notes: list[str]) -> pd.Series:
    """Stamps as times [n]: in UTC where they say their zone, else as they stand; NaT for what is no date."""
    if any(map(_NO_YEAR.fullmatch, texts)):
        return _without_year(path, texts, year, notes)
    if texts and all(map(_NUMBER.fullmatch, texts)):
        unit: Literal["ms", "s"] = "ms" if float(texts[0]) > 1e11 else "s"
        notes.append(f"its stamps are read as {'milliseconds' if unit == 'ms' else 'seconds'} since 1970, in UTC")
        return pd.Series(pd.to_datetime([float(text) for text in texts], unit=unit, utc=True).as_unit("us"))
    series = pd.Series(texts, dtype="str")
    if series.str.fullmatch(r"\d\d/\w{3}/.*").any():
        return pd.to_datetime(series, format="%d/%b/%Y:%H:%M:%S %z", utc=True, errors="coerce").dt.as_unit("us")
    plain = series.str.replace("/", "-").str.replace(",", ".").str.replace(r" ([+-]\d\d:?\d\d)$", r"\1", regex=True)
    zoned = plain.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True) & plain.str.contains(":")
    times = pd.to_datetime(plain, format="ISO8601", utc=True, errors="coerce").dt.as_unit("us")
    if zoned.any():
        notes += [] if zoned.all() else [f"{int((~zoned).sum()):,} stamps say no zone and are read as UTC, for others say theirs"]
        return times
    notes.append("its stamps say no zone and are read as they stand")
    return times.dt.tz_localize(None)


def _without_year(path: Path, texts: Sequence[str], year: int | None, notes: list[str]) -> pd.Series:
    """Stamps of syslog: the year is said for the first line, and counts on where December is followed by January."""
    if year is None:
        raise DataError(f"{path}: its stamps have no year ({texts[0]!r}). Say that of the first line in the source: year: 2026.")
    values: list[datetime | None] = []
    before = 0
    for text in texts:
        moment = _in_year(text, year)
        # Half a year back begins the next year; half a year on is a line of the year before that came late.
        if moment is not None and before and moment.month > before + 6:
            moment = _in_year(text, year - 1)
        elif moment is not None:
            year += 1 if moment.month < before - 6 else 0
            before, moment = moment.month, _in_year(text, year)
        values.append(moment)
    notes.append(
        "its stamps say no zone and are read as they stand; the year is as the source says, and counts on after December"
    )
    return pd.Series(pd.to_datetime(pd.Series(values, dtype=object), errors="coerce").dt.as_unit("us"))


def _in_year(text: str, year: int) -> datetime | None:
    """``Nov 30 00:12:31`` of a year; None for what is no date in it."""
    found = _NO_YEAR.fullmatch(text)
    if found is None or found["month"] not in _MONTHS:
        return None
    hour, minute, second = map(int, found["time"].split(":"))
    with contextlib.suppress(ValueError):
        return datetime(year, _MONTHS.index(found["month"]) + 1, int(found["day"]), hour, minute, second)
    return None
