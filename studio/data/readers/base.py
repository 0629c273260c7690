"""What a reader of files gives: rows as they were found, and damage with its place and reason, never swallowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Raw:
    """A row as it was found. place: ``line 3``, ``row 3``; value: what the file holds there."""

    place: str
    value: Any


@dataclass(frozen=True)
class Damage:
    """Something that is not a row. place: where in the file; reason: one clause; whole: no row of the file can be had for it."""

    place: str
    reason: str
    whole: bool = False

    @classmethod
    def of_file(cls, reason: str) -> Damage:
        """A file that gives no row."""
        return cls("the file", reason, whole=True)


def _nothing(_document: Mapping[str, Any]) -> list[Any] | None:
    """Every object is what it looks like."""
    return None


def _never(_value: list[Any]) -> bool:
    """A list is no row."""
    return False


def _unheard(_note: str) -> None:
    """Nobody asked for notes."""


@dataclass(frozen=True)
class ReadOptions:
    """How files are read.

    encoding: of text, None to find it. records: key of the list of rows in JSON and YAML, or name of the elements in XML.
    one_row: keys whose list belongs to one row, and so is no list of rows. unfold: the rows of an object that holds several in a
    form of its own, None for any other object. list_is_row: whether a list on a line of its own is one row (a conversation) and
    no list of rows. delimiter: what stands between the values of a table, None to see it in the first line. header: names of the
    columns of a table without a line of names. sheet: of a workbook, None for the only one that holds something. note: is told
    what a person should know of a file. doubt: between which encodings nothing could decide, where lines are judged one by one.
    """

    encoding: str | None = None
    records: str | None = None
    one_row: tuple[str, ...] = ()
    unfold: Callable[[Mapping[str, Any]], list[Any] | None] = _nothing
    list_is_row: Callable[[list[Any]], bool] = _never
    delimiter: str | None = None
    header: tuple[str, ...] | None = None
    sheet: str | None = None
    note: Callable[[str], None] = _unheard
    doubt: str | None = None


Reader = Callable[[Path, Any], Iterator[Raw | Damage]]
"""Takes a file and :class:`ReadOptions`, or what a kind of rows makes of them."""
