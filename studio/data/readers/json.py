"""JSON, streamed: an array, an object that holds one, one object; and JSON lines, whatever the file is called."""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import ijson

from studio.core.errors import DataError
from studio.data.readers.base import Damage, Raw, ReadOptions
from studio.data.readers.document import list_of_objects, rows_of
from studio.data.readers.encoding import HALVES, AsUtf8, check_encoding, known, open_text, with_mark
from studio.data.readers.items import read_items
from studio.data.readers.oddities import look_through

_CHUNK = 1 << 20
# Files up to this size are looked through for a second list of rows.
_WHOLE = 32 << 20
_LONGEST_LINE = 512 << 20


def read_json(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A JSON array, an object that holds one, one row, or JSON lines under the wrong name."""
    if _holds_lines(path):
        yield from read_jsonl(path, options)
        return
    check_encoding(path, known(options), HALVES)
    odd, deep = look_through(AsUtf8(path, known(options)))
    if deep:
        yield Damage.of_file("is nested too deeply to be read")
        return
    found = options.records or _list_key(path, options)
    if found and not options.records:
        _refuse_several(path, options)
    if found is None:
        yield from _read_json_object(path, options)
        return
    if odd:
        yield from read_items(path, options, _opening(found))
        return
    stream = AsUtf8(path, known(options))
    row = 0
    try:
        prefix = "item" if found == "" else f"{found}.item"
        for value in ijson.items(stream, prefix, use_float=True):
            row += 1
            yield Raw(f"row {row:,}", value)
    except ijson.IncompleteJSONError as error:
        if "premature EOF" in str(error) or "Incomplete" in str(error):
            size = path.stat().st_size
            yield Damage(f"row {row + 1:,}", f"is cut off: the file ends in the middle of it, at byte {size:,}", row == 0)
            row += 1
        else:
            yield from _read_on(path, options, found, row, error, stream)
            return
    except ijson.JSONError as error:
        yield from _read_on(path, options, found, row, error, stream)
        return
    finally:
        stream.close()
    if row == 0:
        key = f" under {found!r}" if found else ""
        yield Damage.of_file(f"holds no rows{key}")


def _read_on(path: Path, options: ReadOptions, found: str, row: int, error: Exception, stream: AsUtf8) -> Iterator[Raw | Damage]:
    """Go on after so many rows, the next of which ijson cannot read (``NaN``, which Python writes, is read)."""
    reason = f"is not valid JSON ({_first_line(error)}, before byte {stream.position:,})"
    yield from read_items(path, options, _opening(found), after=row, reason=reason)


def _opening(found: str) -> str:
    """Pattern of what stands before the first row."""
    return r"\A\s*\[" if found == "" else rf'"{re.escape(found.rpartition(".")[2])}"\s*:\s*\['


def _first_line(error: Exception) -> str:
    """First line of a parser's message, without its prefix."""
    return str(error).strip().splitlines()[0].removeprefix("lexical error: ").removeprefix("parse error: ")


def _holds_lines(path: Path) -> bool:
    """True when a .json file has one whole object per line, more than one of them."""
    with path.open("rb") as stream:
        first = stream.readline(_CHUNK * 8).strip()
        second = stream.readline(_CHUNK * 8).strip()
    if not (first.startswith(b"{") and first.endswith(b"}") and second.startswith(b"{")):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _list_key(path: Path, options: ReadOptions) -> str | None:
    """Where the rows lie: '' for a top-level array, a key, or None when the file is one object (or not JSON)."""
    stream = AsUtf8(path, known(options))
    candidate: str | None = None
    try:
        if stream.read(_CHUNK).lstrip()[:1] == b"[":
            return ""
        stream.close()
        stream = AsUtf8(path, known(options))
        # Without use_float a number of thousands of digits ends the process inside yajl.
        for prefix, event, _ in ijson.parse(stream, use_float=True):
            if event == "start_array" and prefix and "." not in prefix:
                candidate = prefix
            elif candidate is not None and prefix == f"{candidate}.item":
                if event == "start_map" and candidate not in options.one_row:
                    return candidate
                candidate = None
    except (ijson.JSONError, UnicodeDecodeError):
        return None
    finally:
        stream.close()
    return None


def _refuse_several(path: Path, options: ReadOptions) -> None:
    """A file with several lists of rows, and nobody said which one is meant; very large files are not looked at.

    Raises:
        DataError: names the keys.
    """
    if path.stat().st_size > _WHOLE:
        return
    with open_text(path, options, HALVES) as stream:
        try:
            value = json.load(stream)
        except (ValueError, RecursionError):
            return
    lists = [key for key, inner in value.items() if list_of_objects(inner) and key not in options.one_row]
    if len(lists) > 1:
        raise DataError(
            f"{path} holds rows under several keys: {', '.join(lists)}. Say in the source which are meant, for example "
            f"records: {lists[0]}; a source for each reads them all."
        )


def _read_json_object(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A file that holds one object: one row, or a document of several."""
    with open_text(path, options, HALVES) as stream:
        try:
            value = json.load(stream)
        except json.JSONDecodeError as error:
            if error.msg == "Extra data" and error.doc[error.pos :].lstrip()[:1] in {"{", "["}:
                yield from read_items(path, options, r"\A")
                return
            where = "is cut off" if error.pos >= len(error.doc.rstrip()) else "is not valid JSON"
            yield Damage(f"line {error.lineno}", f"{where}: {error.msg} (column {error.colno})", whole=True)
            return
        except (ValueError, RecursionError) as error:
            yield Damage.of_file(f"is not valid JSON: {error}")
            return
    yield from rows_of(value, options)


def read_jsonl(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """One JSON value per line; each bad line is damage of its own."""
    if (opening := _opening_of_document(path, options)) is not None:
        yield from read_items(path, options, opening)
        return
    rows = 0
    encoding = known(options)
    with path.open("rb") as stream:
        for number, line, start in _lines(stream, path, encoding):
            place = f"line {number:,}"
            if line is None:
                yield Damage(place, f"is longer than {_LONGEST_LINE >> 20:,} MB, which no row is")
                rows += 1
                continue
            try:
                text = line.decode(with_mark(encoding) if number == 1 else encoding, HALVES)
                if not text.strip():
                    continue
                yield Raw(place, json.loads(text.rstrip("\r\n")))
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                named = f" (the file's encoding is not certain: {options.doubt}; name the right one)" if options.doubt else ""
                yield Damage(
                    place, f"is not {encoding.upper()} text: byte {start + error.start} of the file is 0x{byte:02x}{named}"
                )
            except RecursionError:
                yield Damage(place, "is nested too deeply to be read")
            except ValueError as error:
                detail = (
                    f"{error.msg.removesuffix(' at')} at column {error.colno}"
                    if isinstance(error, json.JSONDecodeError)
                    else str(error)
                )
                cut = "is cut off: " if not line.endswith(b"\n") else "is not valid JSON: "
                yield Damage(place, f"{cut}{detail}")
            rows += 1
    if not rows:
        yield Damage.of_file("holds no rows")


def _opening_of_document(path: Path, options: ReadOptions) -> str | None:
    """What stands before the values of a .jsonl file that holds no lines: an array, or objects over several lines."""
    if _is_wide(known(options)):
        return None
    with path.open("rb") as stream:
        starts = [line.strip().removeprefix(codecs.BOM_UTF8) for line in itertools.islice(filter(bytes.strip, stream), 2)]
    if not starts or starts[0][:1] not in {b"[", b"{"}:
        return None
    if starts[0] in {b"[", b"{"} or starts[0] in {b"[{", b"[ {"}:
        return r"\A\s*\[" if starts[0][:1] == b"[" else r"\A"
    if starts[0][:1] == b"[" and (len(starts) == 1 or not starts[0].endswith(b"]")):
        try:
            value = json.loads(starts[0])
        except (ValueError, RecursionError):
            return r"\A\s*\[" if len(starts) == 2 and starts[1][:1] in {b"{", b"]", b"["} else None
        if list_of_objects(value) and not options.list_is_row(value):
            return r"\A\s*\["
    return None


def _is_wide(encoding: str) -> bool:
    """True for encodings whose line ends are no single byte."""
    return encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32"))


def _lines(stream: BinaryIO, path: Path, encoding: str) -> Iterator[tuple[int, bytes | None, int]]:
    """Number, bytes and start of each line, None for one that is too long; encodings with wide characters are decoded first."""
    start = 0
    if _is_wide(encoding):
        check_encoding(path, encoding, HALVES)
        with path.open("r", encoding=encoding, errors=HALVES) as text:
            for number, line in enumerate(text, start=1):
                yield number, line.encode(encoding, HALVES), 0
        return
    number = 0
    while data := stream.readline(_LONGEST_LINE):
        number += 1
        whole = data.endswith(b"\n") or len(data) < _LONGEST_LINE
        yield number, data if whole else None, start
        start += len(data)
        while not whole and (data := stream.readline(_CHUNK)):
            start += len(data)
            whole = data.endswith(b"\n")
