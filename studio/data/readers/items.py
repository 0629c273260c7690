"""JSON values one after the other, read on after one that is damaged: what ijson, which stops there, cannot do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from studio.data.readers.base import Damage, Raw, ReadOptions
from studio.data.readers.encoding import HALVES, open_text

_CHUNK = 1 << 20
_BETWEEN = re.compile(r"[\s,]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]|"', re.DOTALL)
_DECODER = json.JSONDecoder()


def read_items(path: Path, options: ReadOptions, opening: str, *, after: int = 0, reason: str = "") -> Iterator[Raw | Damage]:
    """The values of an array, or values that follow each other without one.

    Args:
        opening: pattern of what stands before the first value.
        after: so many values are known and left out.
        reason: why the first damaged value cannot be read, where that is known already.
    """
    row = 0
    with open_text(path, options, HALVES) as stream:
        text, ended = stream.read(_CHUNK), False
        found = re.compile(opening).search(text)
        place = found.end() if found else 0
        while True:
            place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]
            if place >= len(text) and not ended:
                text, place, ended = _more(stream.read(max(_CHUNK, len(text))), text, place)
                continue
            if place >= len(text) or text[place] == "]":
                return
            try:
                value, stop = _DECODER.raw_decode(text, place)
                outcome: Raw | Damage = Raw(f"row {row + 1:,}", value)
                if stop == len(text) and not ended and not isinstance(value, dict | list | str):
                    # A number may go on in the next piece.
                    text, place, ended = _more(stream.read(_CHUNK), text, place)
                    continue
            except (ValueError, RecursionError) as error:
                if not ended and (_end_of(text, place) is None):
                    text, place, ended = _more(stream.read(max(_CHUNK, len(text))), text, place)
                    continue
                end = _end_of(text, place)
                said = reason or f"is not valid JSON ({error})"
                cut = "is cut off: the file ends in the middle of it"
                outcome, stop = (
                    Damage(f"row {row + 1:,}", cut if end is None else said),
                    len(text) if end is None else max(end, place + 1),
                )
                reason = ""
            row, place = row + 1, stop
            if row > after:
                yield outcome


def _more(piece: str, text: str, place: int) -> tuple[str, int, bool]:
    """The text that is left with the next piece of the file behind it; whether the file has ended."""
    return text[place:] + piece, 0, not piece


def _end_of(text: str, start: int) -> int | None:
    """Where the object or list that starts here ends, by its brackets alone; None where it does not."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        sign = token.group()
        if sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
            if depth <= 0:
                return token.end() if depth == 0 else token.start()
        elif sign == '"':
            return None
    return None
