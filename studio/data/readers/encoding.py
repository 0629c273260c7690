"""Text files by their encoding, checked before they are read: a wrong one is named with the first byte that does not fit."""

from __future__ import annotations

import codecs
import contextlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from studio.core.errors import DataError, UserError
from studio.data.readers.base import ReadOptions
from studio.data.readers.guessing import find_encoding, misread

_CHUNK = 1 << 20
HALVES = "surrogatepass"
"""How bytes are decoded that stand for half a character, which some programs write in UTF-8 and UTF-16 as if it were one."""
_USUAL = "utf-8, gb18030, big5, shift_jis, euc-kr, cp1252, utf-16"
# Marks that say the order of bytes, which encodings of one order would read as a letter.
_MARKS = {
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
Options = TypeVar("Options", bound=ReadOptions)


def settled(path: Path, options: Options, *, by_line: bool = False) -> Options:
    """The options with the encoding of this file: the one that was named, or the one that was found, which is told.

    Args:
        by_line: the file's lines are judged one by one, so that a doubt does not stop all of them.
    Raises:
        UserError: there is no such encoding. DataError: it was not named and is not certain; shows how each candidate reads.
    """
    if options.encoding is not None:
        return replace(options, encoding=_named(path, options))
    found = find_encoding(path)
    if found.note:
        options.note(found.note)
    if found.encoding is None and not by_line:
        raise DataError(
            f"{path} is not UTF-8 text, and its encoding is not certain: {found.doubt}. Name the right one in the recipe's "
            "source, or save the file as UTF-8."
        )
    if found.encoding == "utf-8" and (said := misread(path, "utf-8")):
        options.note(said)
    return replace(options, encoding=found.encoding or "utf-8", doubt=found.doubt)


def _named(path: Path, options: ReadOptions) -> str:
    """The encoding that was named, as Python calls it; one whose mark the file has drops the mark."""
    given = options.encoding or ""
    try:
        name = codecs.lookup(given).name
        # Nothing at all would be decoded by any of Python's transformations of bytes.
        with contextlib.suppress(UnicodeDecodeError):
            bytes(4).decode(given)
    except (LookupError, ValueError):
        raise UserError(f"encoding {given!r} is no encoding of text. Usual ones: {_USUAL}.") from None
    if name in _MARKS:
        with path.open("rb") as stream:
            start = stream.read(4)
        return name[:6] if start.startswith(_MARKS[name]) else name
    if said := misread(path, name):
        options.note(said)
    return name


def check_encoding(path: Path, encoding: str, errors: str = "strict") -> None:
    """Decode a whole file once, in pieces.

    Args:
        errors: :data:`HALVES` lets half characters pass.
    Raises:
        DataError: names the first byte that does not belong.
    """
    decoder = codecs.getincrementaldecoder(with_mark(encoding))(errors)
    before = 0
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(_CHUNK)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                raise DataError(_encoding_sentence(path, encoding, before - pending, error)) from None
            if not chunk:
                return
            before += len(chunk)


def _encoding_sentence(path: Path, encoding: str, before: int, error: UnicodeError) -> str:
    """One sentence for a wrong encoding, with the one that fits where it is certain."""
    where, place = "it has no mark that says the order of its bytes", 0
    if isinstance(error, UnicodeDecodeError):
        place = before + error.start
        where = (
            f"byte {place} is 0x{error.object[error.start]:02x}"
            if error.start < len(error.object)
            else f"it ends at byte {place}"
        )
    found = find_encoding(path)
    remedy = f"name its encoding in the recipe (encoding: {found.encoding})"
    if found.encoding is None:
        remedy = f"name its encoding in the recipe ({found.doubt})"
    elif codecs.lookup(found.encoding) == codecs.lookup(encoding):
        line = "" if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")) else f" in line {_line_of(path, place):,}"
        return f"{path} is not {encoding.upper()} text throughout: {where}{line}. Repair that place, or save it anew as UTF-8."
    return f"{path} is not {encoding.upper()} text: {where}. Save it as UTF-8, or {remedy}."


def _line_of(path: Path, place: int) -> int:
    """The number of the line that a byte stands in."""
    with path.open("rb") as stream:
        return 1 + sum(stream.read(min(_CHUNK, place - start)).count(b"\n") for start in range(0, place, _CHUNK))


def with_mark(encoding: str) -> str:
    """UTF-8 with or without its byte-order mark."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding


def known(options: ReadOptions) -> str:
    """The encoding of options that were settled."""
    return options.encoding or "utf-8"


def open_text(path: Path, options: ReadOptions, errors: str = "strict") -> io.TextIOWrapper:
    """A text stream whose bytes were checked; the encoding is found where none was named.

    Args:
        errors: :data:`HALVES` for who mends half characters (:func:`studio.data.readers.repair.without_halves`).
    """
    encoding = known(options if options.encoding is not None else settled(path, options))
    check_encoding(path, encoding, errors)
    return path.open("r", encoding=with_mark(encoding), newline="", errors=errors)


class AsUtf8:
    """A readable stream of UTF-8 bytes over a file in any encoding; counts what was read."""

    def __init__(self, path: Path, encoding: str) -> None:
        self._plain = with_mark(encoding) == "utf-8-sig"
        self._stream: Any = path.open("rb") if self._plain else path.open("r", encoding=encoding, errors=HALVES)
        self.position = 0
        if self._plain and self._stream.read(3) != codecs.BOM_UTF8:
            self._stream.seek(0)

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` units of the file, as UTF-8."""
        chunk = self._stream.read(size)
        data: bytes = chunk if self._plain else chunk.encode("utf-8", HALVES)
        self.position += len(data)
        return data

    def close(self) -> None:
        """Close the file below."""
        self._stream.close()
