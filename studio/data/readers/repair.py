"""Half characters in what was read: lone surrogates, which JSON can write and no file of text can hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from studio.data.readers.base import Damage, Raw

_HALF = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")


def without_halves(value: Any) -> Any:
    """A value whose texts hold whole characters only: two halves that belong together become one, a lone one U+FFFD.

    The value itself is given back where nothing had to be done.
    """
    if isinstance(value, str):
        return _mended(value) if not value.isascii() and _HALF.search(value) else value
    if isinstance(value, dict):
        return _mended_object(value)
    if isinstance(value, list):
        items = [without_halves(inner) for inner in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    return value


def _mended_object(value: dict[Any, Any]) -> dict[Any, Any]:
    """An object of whole characters; names that have become the same get a number."""
    whole: dict[Any, Any] = {}
    same = True
    for key, inner in value.items():
        name, text = without_halves(key), without_halves(inner)
        same = same and name is key and text is inner
        taken = sum(name == known or str(known).startswith(f"{name}~") for known in whole) if name is not key else 0
        whole[f"{name}~{taken + 1}" if taken else name] = text
    return value if same else whole


def _mended(text: str) -> str:
    """Text of whole characters."""
    joined = _PAIR.sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _HALF.sub("\ufffd", joined)


def mended(found: Iterable[Raw | Damage], note: Callable[[str], None]) -> Iterator[Raw | Damage]:
    """What was found, with whole characters; how many rows had to be mended is told at the end."""
    repairs = Repairs()
    try:
        for one in found:
            yield repairs.of(one)
    finally:
        # Also where only the first rows are asked for.
        if repairs.note:
            note(repairs.note)


def mended_note(count: int, first: str = "") -> str:
    """What is said of rows that were mended."""
    rows = "1 row holds" if count == 1 else f"{count:,} rows hold"
    where = f"; first {first}" if first else ""
    return f"{rows} half a character (such as \\ud83d without its other half{where}); it was replaced by U+FFFD"


@dataclass
class Repairs:
    """Rows of one file, mended and counted."""

    rows: int = 0
    first: str = ""

    def of(self, found: Raw | Damage) -> Raw | Damage:
        """What was found, with whole characters."""
        if isinstance(found, Damage):
            return found
        value = without_halves(found.value)
        if value is found.value:
            return found
        self.rows += 1
        self.first = self.first or found.place
        return replace(found, value=value)

    @property
    def note(self) -> str | None:
        """What a person should know, None where nothing was mended."""
        return mended_note(self.rows, self.first) if self.rows else None
