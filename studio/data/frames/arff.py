"""Whole tables from ARFF, the format of Weka and OpenML (waikato.github.io/weka-wiki/formats_and_processing/arff_stable)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from studio.core.errors import DataError
from studio.data.frames.base import BadRow, Frame, FrameOptions
from studio.data.readers import ReadOptions
from studio.data.readers.encoding import open_text, settled

_WORD = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_ATTRIBUTE = re.compile(rf"@attribute\s+({_WORD}|[^\s{{]+)\s*(\{{.*\}}|\S.*)", re.I)
_VALUE = re.compile(rf"\s*({_WORD}|[^,]*?)\s*(?:,|\t|$)")
_SPARSE = re.compile(rf"\s*(\d+)\s+({_WORD}|[^,]*?)\s*(?:,|$)")
_DIGITS = re.compile(r"[-+]?[\d.]+")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class _Attribute:
    """A column. nominal: its labels, None for numbers, text and dates."""

    name: str
    nominal: tuple[str, ...] | None

    @property
    def zero(self) -> str:
        """What a sparse row leaves out: 0, or the first label."""
        return self.nominal[0] if self.nominal else "0"


def read_arff_frame(path: Path, options: FrameOptions) -> Frame:
    """A table; ``?`` is a missing value, and rows in braces are sparse.

    Raises:
        DataError: no column is declared, two have one name, one is relational, or there is no ``@data``.
    """
    notes: list[str] = []
    asked = settled(path, ReadOptions(encoding=options.encoding, note=notes.append))
    values: list[list[str | None]] = []
    numbers: list[int] = []
    bad: list[BadRow] = []
    with open_text(path, asked) as stream:
        lines = (text for line in stream if (text := line.strip()) and not text.startswith("%"))
        attributes = _header(path, lines)
        for number, text in enumerate(lines, start=1):
            row = _row(text, attributes)
            if row is None:
                bad.append(BadRow(number, f"has not the {len(attributes)} values that are declared", text[:200]))
            else:
                values.append(row)
                numbers.append(number)
    columns = pd.DataFrame(
        {one.name: pd.Series([row[place] for row in values], dtype="str") for place, one in enumerate(attributes)}
    )
    digits = [one.name for one in attributes if one.nominal and all(map(_DIGITS.fullmatch, one.nominal))]
    if digits:
        notes.append(f"{', '.join(digits)}: declared as labels and written as numbers; say type: category to keep them labels")
    return Frame(columns, np.array(numbers, dtype=np.int64), bad, notes)


def _header(path: Path, lines: Iterator[str]) -> list[_Attribute]:
    """The columns that are declared, up to the line ``@data``."""
    attributes: list[_Attribute] = []
    begun = False
    for text in lines:
        begun = text.lower().startswith("@data")
        if begun:
            break
        attributes += [_declared(path, text)] if text.lower().startswith("@attribute") else []
    names = [one.name for one in attributes]
    if not begun or not names:
        raise DataError(f"{path} is no ARFF: it declares {len(names)} columns and has {'a' if begun else 'no'} line @data.")
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{path} has two columns called {doubled!r}. Rename one.")
    return attributes


def _declared(path: Path, text: str) -> _Attribute:
    """A column from its line."""
    found = _ATTRIBUTE.fullmatch(text)
    if found is None:
        raise DataError(f"{path}: {text[:80]!r} declares no column. Write: @attribute name numeric")
    kind = found[2].strip()
    if kind.lower().startswith("relational"):
        raise DataError(f"{path}: the column {_plain(found[1])!r} is relational, which no flat table is. Save its rows apart.")
    labels = tuple(map(str, filter(None, _values(kind[1:-1])))) if kind.startswith("{") else None
    return _Attribute(_plain(found[1]), labels)


def _row(text: str, attributes: list[_Attribute]) -> list[str | None] | None:
    """The values of a line; None where there are more or fewer than columns."""
    if text.startswith("{"):
        return _sparse(text[1 : text.rfind("}")], attributes) if "}" in text else None
    row = _values(text)
    return row if len(row) == len(attributes) else None


def _sparse(text: str, attributes: list[_Attribute]) -> list[str | None] | None:
    """A row of which only what is not zero is written."""
    row: list[str | None] = [one.zero for one in attributes]
    place = 0
    while place < len(text.rstrip()):
        found = _SPARSE.match(text, place)
        if found is None or int(found[1]) >= len(attributes):
            return None
        row[int(found[1])] = None if found[2] == "?" else _plain(found[2])
        place = found.end()
    return row


def _values(text: str) -> list[str | None]:
    """Values between commas; None for one that is missing."""
    row: list[str | None] = []
    place, more = 0, True
    while more:
        found = _VALUE.match(text, place)
        if found is None:
            return []
        row.append(None if found[1] in {"?", ""} else _plain(found[1]))
        place, more = found.end(), found[0].endswith((",", "\t"))
    return row if place == len(text) else []


def _plain(text: str) -> str:
    """A value without its quotes and what escapes them."""
    return _ESCAPED.sub(r"\1", text[1:-1]) if text[:1] in {"'", '"'} and len(text) > 1 else text
