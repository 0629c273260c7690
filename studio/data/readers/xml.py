"""XML: the element that repeats is the row. Entities of the file's own are refused, and nothing outside it is opened."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError, iterparse
from xml.parsers import expat

from studio.core.errors import DataError, nearest
from studio.data.readers.base import Damage, Raw, ReadOptions

_DEEPEST = 200
_CHUNK = 1 << 16

Place = tuple[str, ...]


class _Begun(Exception):  # noqa: N818 - not an error: what comes before the first element has been seen
    """The first element begins."""


def read_xml(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """Rows: the elements called ``records``, or those that repeat and hold other elements or attributes.

    Attributes and elements inside become columns; one that repeats inside a row becomes a list; namespaces are left out.

    Raises:
        DataError: the file declares entities, no element repeats, or several do and none was named.
    """
    with path.open("rb") as stream:
        refuse_entities(path, stream)
    place = _place_of_rows(path, options.records)
    number = 0
    try:
        for element in _elements(path, place, options.records):
            number += 1
            yield Raw(f"row {number:,}", _value(element))
    except ParseError as error:
        yield Damage(f"row {number + 1:,}", f"is cut off or not valid XML ({error})", number == 0)
        return
    if not number:
        yield Damage.of_file("holds no rows: no element repeats")


def refuse_entities(path: Path, stream: IO[bytes]) -> None:
    """Refuse a file that declares entities before anything is read that could use one.

    Args:
        path: for the message.
    Raises:
        DataError: names the first entity.
    """

    def declared(name: str, *_: Any) -> None:
        raise DataError(
            f"{path} declares the entity {name!r}, and files that declare entities are not read: they can grow without end or "
            "name other files. Write the text out, and remove the declaration."
        )

    def begun(*_: Any) -> None:
        raise _Begun

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = declared
    parser.StartElementHandler = begun
    try:
        while chunk := stream.read(_CHUNK):
            parser.Parse(chunk, False)
    except (_Begun, expat.ExpatError):
        # What is not XML is told where it is read.
        return


def _walk(path: Path) -> Iterator[tuple[str, Element, Place]]:
    """Events with the names of the elements around; what was read is forgotten by whoever reads."""
    around: list[str] = []
    for event, element in iterparse(path, events=["start", "end"]):
        if event == "start":
            around.append(_name(element.tag))
            if len(around) > _DEEPEST:
                raise DataError(f"{path} is nested deeper than {_DEEPEST} elements, which no table is. Save its rows flat.")
        yield event, element, tuple(around)
        if event == "end":
            around.pop()


def _place_of_rows(path: Path, asked: str | None) -> Place | None:
    """Names that lead to the rows, None where they were named.

    Raises:
        DataError: several kinds of elements repeat, or the one that was named is not there.
    """
    counts: Counter[Place] = Counter()
    filled: set[Place] = set()
    names: set[str] = set()
    # Where the file is cut off the rows before that are known; that it is, is told when they are read.
    with contextlib.suppress(ParseError):
        for event, element, place in _walk(path):
            if event == "start":
                counts[place] += 1
                names.add(place[-1])
                filled |= {place} if element.attrib else set()
                filled |= {place[:-1]} if len(place) > 1 else set()
            else:
                element.clear()
    if asked is not None:
        if asked not in names:
            raise DataError(f"{path} has no element {asked!r}.{nearest(asked, names)} It has {', '.join(sorted(names)[:20])}.")
        return None
    repeated = [place for place, count in counts.items() if count > 1 and place in filled and len(place) > 1]
    # Of elements inside one another the outer ones are the rows.
    outer = [place for place in repeated if not any(place[:end] in repeated for end in range(1, len(place)))]
    if len(outer) > 1:
        found = ", ".join(f"{place[-1]} ({counts[place]:,})" for place in outer)
        raise DataError(f"{path} has several elements that repeat: {found}. Say which are the rows: records: {outer[0][-1]}")
    if outer:
        return outer[0]
    return next((place for place, count in counts.items() if count == 1 and len(place) == 2 and place in filled), None)


def _elements(path: Path, place: Place | None, asked: str | None) -> Iterator[Element]:
    """The elements that are rows; none inside another one, each forgotten once it was given."""
    if place is None and asked is None:
        # Reads to the end, so that a file that is cut off is told so.
        for _, element, _ in _walk(path):
            element.clear()
        return
    inside: Place | None = None
    parents: list[Element] = []
    for event, element, around in _walk(path):
        if event == "start":
            parents.append(element)
            if inside is None and (around == place or (asked is not None and around[-1] == asked)):
                inside = around
            continue
        parents.pop()
        if inside == around:
            inside = None
            yield element
        if inside is None:
            element.clear()
            if parents:
                parents[-1].remove(element)


def _value(element: Element) -> Any:
    """Text of an element that holds nothing else, or text with marks in it; else an object of its attributes and elements."""
    text = "".join([element.text or "", *(child.tail or "" for child in element)]).strip()
    if not element.attrib and (text or not len(element)):
        return "".join(element.itertext())
    value: dict[str, Any] = {_name(key): text for key, text in element.attrib.items()}
    for child in element:
        name = _name(child.tag)
        name = f"{name} (element)" if name in element.attrib else name
        inner = _value(child)
        if name not in value:
            value[name] = inner
        elif isinstance(value[name], _Several):
            value[name].append(inner)
        else:
            value[name] = _Several([value[name], inner])
    if text:
        value["text" if "text" not in value else "text (element)"] = text
    return value


class _Several(list[Any]):
    """Elements of one name."""


def _name(tag: str) -> str:
    """Name without its namespace."""
    return tag.rpartition("}")[2]
