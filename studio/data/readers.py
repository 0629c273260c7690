"""From one file to raw rows, streamed. What cannot be read is yielded as damage with its place and reason, never swallowed."""

from __future__ import annotations

import codecs
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ijson
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from studio.core.errors import DataError
from studio.data.chat.documents import read_document

_CHUNK = 1 << 20
# Keys under which one conversation, not a list of them, lies in a JSON object.
TURN_KEYS = ("messages", "conversations", "conversation", "items", "turns", "dialog")


@dataclass(frozen=True)
class Raw:
    """A row as it was found. place: ``line 3``, ``row 3``; value: what the file holds there."""

    place: str
    value: Any


@dataclass(frozen=True)
class Damage:
    """Something that is not a row. place: where in the file; reason: one clause."""

    place: str
    reason: str


@dataclass(frozen=True)
class ReadOptions:
    """encoding of text; records: key of the list of rows in JSON and YAML; prompt: question made for document sections."""

    encoding: str = "utf-8"
    records: str | None = None
    prompt: str = "{heading}"


Reader = Callable[[Path, ReadOptions], Iterator[Raw | Damage]]


def read_file(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """Rows of one file, in order, in bounded memory for csv, json, jsonl and parquet.

    Raises:
        DataError: the file cannot be opened, is of no known kind, or is not in the encoding that was named.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is of no known kind. Known: {', '.join(sorted(READERS))}.")
    try:
        if path.stat().st_size == 0:
            yield Damage("the file", "is empty")
            return
        yield from reader(path, options)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read by this user.") from None


def check_encoding(path: Path, encoding: str) -> None:
    """Decode a whole file once, in pieces.

    Raises:
        DataError: names the first byte that does not belong, or an encoding nobody knows.
    """
    try:
        decoder = codecs.getincrementaldecoder(_with_mark(encoding))()
    except LookupError:
        raise DataError(f"encoding {encoding!r} is not known to Python. Usual ones: utf-8, cp1252, latin-1, utf-16.") from None
    before = 0
    with path.open("rb") as stream:
        first = stream.read(4)
        stream.seek(0)
        while True:
            chunk = stream.read(_CHUNK)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise DataError(_encoding_sentence(path, encoding, before - pending + error.start, error, first)) from None
            if not chunk:
                return
            before += len(chunk)


def _encoding_sentence(path: Path, encoding: str, position: int, error: UnicodeDecodeError, first: bytes) -> str:
    """One sentence for a wrong encoding; a UTF-16 mark gives the answer away."""
    sixteen = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    advice = "utf-16" if sixteen else "cp1252"
    byte = error.object[error.start]
    return (
        f"{path} is not {encoding.upper()} text: byte {position} is 0x{byte:02x}. "
        f"Save it as UTF-8, or name its encoding in the recipe (encoding: {advice})."
    )


def _with_mark(encoding: str) -> str:
    """UTF-8 with or without its byte-order mark."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding


def _open_text(path: Path, options: ReadOptions) -> io.TextIOWrapper:
    """A text stream whose bytes were checked."""
    check_encoding(path, options.encoding)
    return path.open("r", encoding=_with_mark(options.encoding), newline="")


class _AsUtf8:
    """A readable stream of UTF-8 bytes over a file in any encoding; counts what was read."""

    def __init__(self, path: Path, encoding: str) -> None:
        self._plain = _with_mark(encoding) == "utf-8-sig"
        self._stream: Any = path.open("rb") if self._plain else path.open("r", encoding=encoding)
        self.position = 0
        if self._plain and self._stream.read(3) != codecs.BOM_UTF8:
            self._stream.seek(0)

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` units of the file, as UTF-8."""
        chunk = self._stream.read(size)
        data: bytes = chunk if self._plain else chunk.encode()
        self.position += len(data)
        return data

    def close(self) -> None:
        """Close the file below."""
        self._stream.close()


def _read_json(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A JSON array, an object that holds one, one conversation, or JSON lines under the wrong name."""
    if _holds_lines(path):
        yield from _read_jsonl(path, options)
        return
    check_encoding(path, options.encoding)
    found = options.records or _list_key(path, options)
    if found is None:
        yield from _read_json_object(path, options)
        return
    stream = _AsUtf8(path, options.encoding)
    row = 0
    try:
        prefix = "item" if found == "" else f"{found}.item"
        for value in ijson.items(stream, prefix, use_float=True):
            row += 1
            yield Raw(f"row {row:,}", value)
    except ijson.IncompleteJSONError as error:
        if "premature EOF" in str(error) or "Incomplete" in str(error):
            size = path.stat().st_size
            yield Damage(f"row {row + 1:,}", f"the file is cut off in the middle of this row, at byte {size:,}")
        else:
            yield Damage(f"row {row + 1:,}", f"is not valid JSON ({_first_line(error)}, before byte {stream.position:,})")
        row += 1
    except ijson.JSONError as error:
        yield Damage(f"row {row + 1:,}", f"is not valid JSON ({_first_line(error)}, before byte {stream.position:,})")
        row += 1
    finally:
        stream.close()
    if row == 0:
        key = f" under {found!r}" if found else ""
        yield Damage("the file", f"holds no rows{key}")


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
    except ValueError:
        return False
    return True


def _list_key(path: Path, options: ReadOptions) -> str | None:
    """Where the rows lie: '' for a top-level array, a key, or None when the file is one object (or not JSON)."""
    stream = _AsUtf8(path, options.encoding)
    candidate: str | None = None
    try:
        for prefix, event, _ in ijson.parse(stream):
            if prefix == "" and event == "start_array":
                return ""
            if event == "start_array" and prefix and "." not in prefix:
                candidate = prefix
            elif candidate is not None and prefix == f"{candidate}.item":
                if event == "start_map" and candidate not in TURN_KEYS:
                    return candidate
                candidate = None
    except ijson.JSONError:
        return None
    finally:
        stream.close()
    return None


def _read_json_object(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A file that holds one object: one conversation, or a chatterbot document."""
    with _open_text(path, options) as stream:
        try:
            value = json.load(stream)
        except json.JSONDecodeError as error:
            where = "is cut off" if error.pos >= len(error.doc.rstrip()) else "is not valid JSON"
            yield Damage(f"line {error.lineno}", f"{where}: {error.msg} (column {error.colno})")
            return
    yield from _rows_of(value, options)


def _rows_of(value: Any, options: ReadOptions) -> Iterator[Raw | Damage]:
    """Rows of a document that was read whole (YAML, a single JSON object)."""
    if options.records is not None:
        value = value.get(options.records) if isinstance(value, dict) else None
        if not isinstance(value, list):
            yield Damage("the file", f"has no list under {options.records!r}")
            return
    if isinstance(value, dict):
        conversations = value.get("conversations")
        if isinstance(conversations, list) and any(isinstance(turns, list) for turns in conversations):
            extra = {key: other for key, other in value.items() if key != "conversations"}
            rows: list[Any] = [{"conversation": turns, **extra} for turns in conversations]
        else:
            lists = [key for key, inner in value.items() if _list_of_objects(inner) and key not in TURN_KEYS]
            rows = value[lists[0]] if len(lists) == 1 else [value]
    elif isinstance(value, list):
        rows = value
    else:
        yield Damage("the file", f"holds {type(value).__name__}, not rows")
        return
    if not rows:
        yield Damage("the file", "holds no rows")
    for number, row in enumerate(rows, start=1):
        yield Raw(f"row {number:,}", row)


def _list_of_objects(value: Any) -> bool:
    """True for a list whose first item is an object."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _read_jsonl(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """One JSON value per line; each bad line is damage of its own."""
    rows = 0
    with path.open("rb") as stream:
        for number, line, start in _lines(stream, path, options):
            place = f"line {number:,}"
            try:
                text = line.decode(_with_mark(options.encoding) if number == 1 else options.encoding)
                if not text.strip():
                    continue
                yield Raw(place, json.loads(text.rstrip("\r\n")))
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                yield Damage(
                    place,
                    f"is not {options.encoding.upper()} text: byte {start + error.start} of the file is 0x{byte:02x} "
                    "(name the file's encoding in the recipe, for example encoding: cp1252)",
                )
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
        yield Damage("the file", "holds no rows")


def _lines(stream: BinaryIO, path: Path, options: ReadOptions) -> Iterator[tuple[int, bytes, int]]:
    """Number, bytes and start of each line; encodings with wide characters are decoded first."""
    start = 0
    if options.encoding.lower().startswith(("utf-16", "utf-32", "utf16", "utf32")):
        check_encoding(path, options.encoding)
        with path.open("r", encoding=options.encoding) as text:
            for number, line in enumerate(text, start=1):
                yield number, line.encode(options.encoding), 0
        return
    for number, data in enumerate(stream, start=1):
        yield number, data, start
        start += len(data)


def _read_csv(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A table with a header line; the separator is the one its header uses most."""
    csv.field_size_limit(sys.maxsize)
    with _open_text(path, options) as stream:
        header_line = stream.readline()
        stream.seek(0)
        default = "\t" if path.suffix.lower() == ".tsv" else ","
        separator = max([default, ",", ";", "\t"], key=header_line.count) if path.suffix.lower() != ".tsv" else "\t"
        lines = csv.reader(stream, delimiter=separator, strict=True)
        rows = 0
        try:
            header = [name.strip() for name in next(lines, [])]
            for values in lines:
                if not values:
                    continue
                rows += 1
                if len(values) == len(header):
                    yield Raw(f"row {rows:,}", dict(zip(header, values, strict=True)))
                else:
                    yield Damage(
                        f"row {rows:,}", f"has {len(values)} values, the header has {len(header)} (line {lines.line_num})"
                    )
        except csv.Error as error:
            rows += 1
            cut = "unexpected end" in str(error)
            reason = "the file is cut off inside a quoted value" if cut else f"is not valid csv: {error}"
            yield Damage(f"row {rows:,}", f"{reason} (line {lines.line_num})")
    if not rows:
        yield Damage("the file", "has a header and no rows")


def _read_parquet(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A parquet table, batch by batch."""
    del options
    row = 0
    try:
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1024):
                for value in batch.to_pylist():
                    row += 1
                    yield Raw(f"row {row:,}", value)
    except (pa.ArrowException, OSError) as error:
        yield Damage(f"row {row + 1:,}", f"the parquet file is cut off or damaged ({str(error).splitlines()[0]})")
        return
    if row == 0:
        yield Damage("the file", "holds no rows")


def _read_yaml(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A YAML document; every value is read as text, so that the answer ``No`` does not become false."""
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    with _open_text(path, options) as stream:
        try:
            value = yaml.load(stream, Loader=loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            yield Damage(f"line {mark.line + 1 if mark else 1}", f"is not valid YAML: {getattr(error, 'problem', error)}")
            return
    yield from _rows_of(value, options)


def _read_document(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A text or markdown file: its sections, or the questions and answers written out in it."""
    with _open_text(path, options) as stream:
        text = stream.read()
    rows = read_document(text, path.stem, markdown=path.suffix.lower() in {".md", ".markdown"}, prompt=options.prompt)
    if not rows:
        yield Damage("the file", "holds no text")
    for number, row in enumerate(rows, start=1):
        yield Raw(f"section {number:,}", row)


READERS: dict[str, Reader] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".txt": _read_document,
    ".md": _read_document,
    ".markdown": _read_document,
}
