"""Tables as text: csv and tsv."""

from __future__ import annotations

import csv
import io
import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from studio.core.errors import DataError
from studio.data.readers.base import Damage, Raw, ReadOptions
from studio.data.readers.encoding import HALVES, open_text

# Lines that one quoted value may span before it is taken for one that nobody closed; fewer once there was one.
_LONGEST = 20_000
_LONGEST_AFTER = 1_000
# Letters and rows at the beginning of a file by which the separator is told where its header holds several.
_HEAD, _LOOKED_AT = 1 << 16, 50


class _Lines:
    """The lines of a file, some of which are read once more after a damaged row; knows those of the row at hand."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._again = stream, list[str]()
        self.number = 0
        self.row: list[str] = []
        self.longest = _LONGEST

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.row) >= self.longest:
            raise StopIteration
        line = self._again.pop() if self._again else next(self._stream)
        self.number += 1
        self.row.append(line)
        return line

    def back(self) -> None:
        """All lines of the row but its first one are read again."""
        self._again += reversed(self.row[1:])
        self.number -= len(self.row) - 1
        self.row = self.row[:1]


def read_csv(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A table with a header line; the separator is the one its header uses, of several that which most rows agree with.

    After a row that is not valid csv, reading goes on at the next line that has as many values as the header; between tabs, a
    line with the right number of values is read as it stands, its quotes included.

    Raises:
        DataError: two columns have the same name.
    """
    csv.field_size_limit(sys.maxsize)
    with open_text(path, options, HALVES) as stream:
        separator, skipped = separator_of(stream, tabs=path.suffix.lower() == ".tsv", said=options.delimiter)
        lines = _Lines(stream)
        lines.number = skipped
        reader = csv.reader(lines, delimiter=separator, strict=True)
        rows = 0
        header = list(options.header) if options.header else None
        while True:
            lines.row = []
            try:
                values = next(reader)
                if header is None:
                    header = header_names(path, values)
                    continue
            except StopIteration:
                break
            except csv.Error as error:
                rows += 1
                if header and (plain := _unquoted(lines, separator, len(header))):
                    yield Raw(f"row {rows:,}", dict(zip(header, plain, strict=True)))
                    reader = csv.reader(lines, delimiter=separator, strict=True)
                    continue
                yield _broken(error, lines, rows, separator, len(header or ()))
                reader = csv.reader(lines, delimiter=separator, strict=True)
                continue
            if not values:
                continue
            rows += 1
            if len(values) == len(header):
                yield Raw(f"row {rows:,}", dict(zip(header, values, strict=True)))
            else:
                yield Damage(f"row {rows:,}", f"has {len(values)} values, the header has {len(header)} (line {lines.number})")
    if not rows:
        yield Damage.of_file("has a header and no rows")


def separator_of(stream: TextIO, *, tabs: bool, said: str | None = None) -> tuple[str, int]:
    """What stands between values, and how many lines say so before the header (Excel's ``sep=;``); the stream is left there.

    Args:
        tabs: the file's name says so. said: a person did.
    """
    first = stream.readline()
    told = re.fullmatch(r'"?sep=(.)"?\s*', first)
    if told:
        return said or told.group(1), 1
    stream.seek(0)
    if said or tabs:
        return said or "\t", 0
    found = [separator for separator in ",;\t|" if separator in first]
    if len(found) < 2:
        return "".join(found) or ",", 0
    head = stream.read(_HEAD)
    stream.seek(0)
    return max(found, key=lambda separator: (_fitting(head, separator), first.count(separator))), 0


def _fitting(head: str, separator: str) -> float:
    """Share of the rows at the beginning of a file that have as many values as its header, if this stands between them."""
    rows = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
    widths = [len(values) for values in itertools.islice(rows, _LOOKED_AT) if values]
    # The last one may be cut.
    return sum(width == widths[0] for width in widths[1:]) / len(widths)


def header_names(path: Path, values: Sequence[Any]) -> list[str]:
    """Names of columns; those without one are called by their place.

    Raises:
        DataError: two columns have the same name.
    """
    named = [str(name).strip() if name is not None else "" for name in values]
    names = [name or f"column {number}" for number, name in enumerate(named, start=1)]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        places = ", ".join(str(number) for number, name in enumerate(names, start=1) if name == doubled)
        raise DataError(f"{path} has several columns called {doubled!r} (columns {places}). Give each a name of its own.")
    return names


def _unquoted(lines: _Lines, separator: str, width: int) -> list[str] | None:
    """The values of a row between tabs whose quotes are only text, as most programs write tsv; leaves the lines after it."""
    values = lines.row[0].rstrip("\r\n").split("\t") if separator == "\t" and lines.row else []
    if len(values) != width:
        return None
    lines.back()
    return values


def _broken(error: csv.Error, lines: _Lines, rows: int, separator: str, width: int) -> Damage:
    """The damage of a row that is not valid csv; leaves the lines at the next that looks like a row."""
    open_end = "unexpected end" in str(error)
    last = lines.number
    alone = len(lines.row) == 1
    lines.back()
    first, skipped = lines.number, 0
    while True:
        lines.row = []
        line = next(lines, None)
        if line is None:
            break
        if _width(line, separator) == width:
            lines.row = ["", line]
            lines.back()
            break
        skipped += 1
    if open_end:
        lines.longest = _LONGEST_AFTER
        reason = "the file is cut off inside a quoted value" if alone else "opens a quoted value that is never closed"
    else:
        reason = f"is not valid csv: {error}"
    where = f"(line {last if alone or not open_end else first})"
    after = f"; {skipped:,} line{'s' if skipped > 1 else ''} after it could not be read" if skipped else ""
    return Damage(f"row {rows:,}", f"{reason} {where}{after}")


def _width(line: str, separator: str) -> int:
    """Values in a line on its own; 0 where it is not valid."""
    try:
        return len(next(csv.reader([line], delimiter=separator, strict=True), ()))
    except csv.Error:
        return 0
