"""Text files by their encoding, checked before they are read: a wrong one is named with the first byte that does not fit."""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import Any

from studio.core.errors import DataError
from studio.data.readers.base import ReadOptions

_CHUNK = 1 << 20


def check_encoding(path: Path, encoding: str) -> None:
    """Decode a whole file once, in pieces.

    Raises:
        DataError: names the first byte that does not belong, or an encoding nobody knows.
    """
    try:
        decoder = codecs.getincrementaldecoder(with_mark(encoding))()
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


def with_mark(encoding: str) -> str:
    """UTF-8 with or without its byte-order mark."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding


def open_text(path: Path, options: ReadOptions) -> io.TextIOWrapper:
    """A text stream whose bytes were checked."""
    check_encoding(path, options.encoding)
    return path.open("r", encoding=with_mark(options.encoding), newline="")


class AsUtf8:
    """A readable stream of UTF-8 bytes over a file in any encoding; counts what was read."""

    def __init__(self, path: Path, encoding: str) -> None:
        self._plain = with_mark(encoding) == "utf-8-sig"
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
