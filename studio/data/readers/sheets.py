"""Rows of workbooks: sheets of xlsx and ods files, row by row; one sheet, the named one or the only one that holds something."""

from __future__ import annotations

import contextlib
import functools
import itertools
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, iterparse

from studio.core.errors import DataError, StudioError, UserError, nearest
from studio.data.readers.base import Damage, Raw, ReadOptions
from studio.data.readers.csv import header_names
from studio.data.readers.xml import refuse_entities

Cells = tuple[Any, ...]
# A workbook is a zip archive of XML, in which a small file can unpack to anything.
_RATIO, _SMALL = 300, 512 << 20
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
# Spreadsheets repeat empty rows and cells to the end of the sheet; what holds something is repeated at most so often.
_REPEATED = 100_000


def read_xlsx(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """Rows of a sheet of an xlsx file, under its first line that is not empty."""
    yield from _rows(path, options)


def read_ods(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """Rows of a sheet of an ods file, under its first line that is not empty."""
    yield from _rows(path, options)


def _rows(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """Rows as objects; columns without any value are left out, and a row keeps its number in the sheet."""
    number = 0
    names, lines = sheet_lines(path, options.sheet, options.header)
    for number, cells in lines:
        values = {name: value for name, value in zip(names, cells, strict=False) if name is not None}
        yield Raw(f"row {number:,}", {name: _plain(value) for name, value in values.items()})
    if not number:
        yield Damage.of_file("has a line of names and no rows")


def _plain(value: Any) -> Any:
    """A cell as JSON could hold it: moments as text, whole numbers without a point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    return value if value is None or isinstance(value, str | bool | int | float) else _moment(value)


def _moment(value: Any) -> str:
    """A date without a time where a cell holds midnight, as people see it."""
    if isinstance(value, datetime) and (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0):
        return value.date().isoformat()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def sheet_lines(
    path: Path, sheet: str | None = None, header: Sequence[str] | None = None
) -> tuple[list[str | None], Iterator[tuple[int, Cells]]]:
    """Names of the columns of a sheet, None for one without a name or value, and its rows with their numbers, counted from 1.

    Empty rows are left out. Formulas count as the values that were saved with them.

    Args:
        sheet: which one; None takes the only one that holds something. header: names, where the sheet has none.
    Raises:
        DataError: the file is damaged, two columns have one name, or several sheets hold something and none was named.
        UserError: there is no such sheet.
    """
    open_book = _open_ods if path.suffix.lower() == ".ods" else _open_xlsx
    with _sound(path):
        _check_archive(path)
        book = open_book(path)
        name = _chosen(path, {title: _holds(lines) for title, lines in book.items()}, sheet)
    filled = ((cells, _width(cells)) for cells in _guarded(path, book[name]()))
    lines = (cells[:width] for cells, width in filled if width)
    first = () if header is not None else next(lines, ())
    named = list(header) if header is not None else header_names(path, first) if first else []
    rest = list(itertools.islice(lines, 1))
    _check_width(path, named, rest, header)
    empty = {place for place, cell in enumerate(first) if cell is None}
    names: list[str | None] = [None if place in empty else title for place, title in enumerate(named)]
    return names, _numbered(path, itertools.chain(rest, lines), names)


def _numbered(path: Path, lines: Iterator[Cells], names: list[str | None]) -> Iterator[tuple[int, Cells]]:
    """Rows as wide as the names; what stands beside them has no name, which is said and not cut off."""
    for number, cells in enumerate(lines, start=1):
        beside = next((place for place, cell in enumerate(cells) if cell is not None and _name_at(names, place) is None), None)
        if beside is not None:
            raise DataError(
                f"{path}: row {number:,} holds {str(cells[beside])[:40]!r} in column {beside + 1}, which has no name in the "
                "first line. Name the column, or clear it."
            )
        yield number, (*cells, *([None] * (len(names) - len(cells))))


def _name_at(names: list[str | None], place: int) -> str | None:
    """Name of a column, None beyond the last one."""
    return names[place] if place < len(names) else None


def _check_width(path: Path, named: Sequence[str], first: list[Cells], header: Sequence[str] | None) -> None:
    """Refuse names that are not as many as columns."""
    if header is not None and first and len(first[0]) != len(named):
        raise UserError(f"{path} has {len(first[0])} columns and 'header' names {len(named)}. Name each of them once.")


def _width(cells: Cells) -> int:
    """Cells up to the last one that holds something."""
    return max((place for place, cell in enumerate(cells, start=1) if cell is not None and cell != ""), default=0)


def _holds(lines: Callable[[], Iterator[Cells]]) -> bool:
    """True for a sheet with a line of names and a row at least."""
    return sum(1 for _ in itertools.islice((cells for cells in lines() if _width(cells)), 2)) == 2


def _chosen(path: Path, sheets: dict[str, bool], asked: str | None) -> str:
    """The sheet that is meant."""
    if asked is not None:
        if asked not in sheets:
            raise UserError(f"{path} has no sheet {asked!r}.{nearest(asked, sheets)} Sheets: {', '.join(sheets)}.")
        return asked
    full = [name for name, holds in sheets.items() if holds]
    if len(full) > 1:
        raise DataError(f"{path} has several sheets with rows: {', '.join(full)}. Say which is meant: sheet: {full[0]}")
    if not sheets:
        raise DataError(f"{path} has no sheet with cells. Add one with a first line of names and rows below it.")
    return full[0] if full else next(iter(sheets))


@contextlib.contextmanager
def _sound(path: Path) -> Iterator[None]:
    """What a library says of a damaged workbook, as one sentence."""
    try:
        yield
    except (StudioError, MemoryError):
        raise
    except Exception as error:  # openpyxl raises whatever its parts stumble over, from KeyError to lxml's own errors
        kind = path.suffix.lower().removeprefix(".")
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as an {kind} file ({said}). Save it again, or as csv.") from error


def _guarded(path: Path, lines: Iterator[Cells]) -> Iterator[Cells]:
    """Lines, which are read as they are asked for."""
    with _sound(path):
        yield from lines


def _check_archive(path: Path) -> None:
    """Refuse a workbook that unpacks to far more than its size, or whose parts declare entities."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(item.file_size for item in archive.infolist())
        for item in archive.infolist():
            if item.filename.endswith((".xml", ".rels")):
                with archive.open(item) as stream:
                    refuse_entities(path, stream)
    if unpacked > max(_SMALL, _RATIO * path.stat().st_size):
        raise DataError(
            f"{path} unpacks to {unpacked >> 20:,} MB from {path.stat().st_size:,} bytes, which is what a zip bomb does. "
            "Save it again, or as csv."
        )


def _open_xlsx(path: Path) -> dict[str, Callable[[], Iterator[Cells]]]:
    """Sheets of an xlsx file by name; each call reads one anew."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)

    def lines(name: str) -> Iterator[Cells]:
        sheet = book[name]
        # The size that a file states may be wrong; without it all cells are read.
        sheet.reset_dimensions()
        for cells in sheet.iter_rows(values_only=True):
            yield tuple(None if cell == "" else cell for cell in cells)

    return {sheet.title: functools.partial(lines, sheet.title) for sheet in book.worksheets}


def _open_ods(path: Path) -> dict[str, Callable[[], Iterator[Cells]]]:
    """Sheets of an ods file by name; each call reads one anew."""
    names = [table.get(f"{_TABLE}name", "") for table in _elements(path, f"{_TABLE}table")]
    return {name: functools.partial(_ods_lines, path, name) for name in names}


def _elements(path: Path, tag: str) -> Iterator[Element]:
    """Elements of a kind as they begin."""
    with zipfile.ZipFile(path) as archive, archive.open("content.xml") as stream:
        for _, element in iterparse(stream, events=["start"]):
            if element.tag == tag:
                yield element


def _ods_lines(path: Path, name: str) -> Iterator[Cells]:
    """Lines of a sheet; each is forgotten once it was given."""
    inside = False
    with zipfile.ZipFile(path) as archive, archive.open("content.xml") as stream:
        for event, element in iterparse(stream, events=["start", "end"]):
            if element.tag == f"{_TABLE}table" and event == "start":
                inside = element.get(f"{_TABLE}name", "") == name
            elif element.tag == f"{_TABLE}table-row" and event == "end":
                if inside:
                    cells = _ods_cells(element)
                    times = int(element.get(f"{_TABLE}number-rows-repeated", "1")) if _width(cells) else 1
                    yield from itertools.repeat(cells, min(times, _REPEATED))
                element.clear()


def _ods_cells(row: Element) -> Cells:
    """Values of a row without the empty cells at its end; hidden parts of merged cells are empty."""
    cells: list[Any] = []
    for cell in row:
        if cell.tag not in {f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"}:
            continue
        value = _ods_value(cell)
        times = int(cell.get(f"{_TABLE}number-columns-repeated", "1"))
        cells += [value] * min(times, 1024 if value is None else 16384)
    return tuple(cells[: _width(tuple(cells))])


def _ods_value(cell: Element) -> Any:
    """Value of a cell by the type that the file gives it."""
    kind = cell.get(f"{_OFFICE}value-type")
    if kind in {"float", "percentage", "currency"}:
        return float(cell.get(f"{_OFFICE}value", "nan"))
    if kind == "boolean":
        return cell.get(f"{_OFFICE}boolean-value") == "true"
    if kind == "date":
        return datetime.fromisoformat(cell.get(f"{_OFFICE}date-value", ""))
    lines = ["".join(_ods_text(paragraph)) for paragraph in cell if paragraph.tag == f"{_TEXT}p"]
    return "\n".join(lines) or None


def _ods_text(element: Element) -> Iterator[str]:
    """Text of a paragraph, with the blanks, tabs and line ends that have elements of their own; without remarks."""
    yield element.text or ""
    for child in element:
        if child.tag == f"{_TEXT}s":
            yield " " * min(int(child.get(f"{_TEXT}c", "1")), 10_000)
        elif child.tag in {f"{_TEXT}tab", f"{_TEXT}line-break"}:
            yield "\t" if child.tag == f"{_TEXT}tab" else "\n"
        elif child.tag != f"{_OFFICE}annotation":
            yield from _ods_text(child)
        yield child.tail or ""
