"""Rows of a document that is read whole: YAML, or a single JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from studio.data.readers.base import Damage, Raw, ReadOptions


def rows_of(value: Any, options: ReadOptions) -> Iterator[Raw | Damage]:
    """Rows of a document that was read whole (YAML, a single JSON object)."""
    if options.records is not None:
        keys = f" (its keys are {', '.join(map(str, list(value)[:10]))})" if isinstance(value, dict) and value else ""
        value = value.get(options.records) if isinstance(value, dict) else None
        if not isinstance(value, list):
            yield Damage.of_file(f"has no list under {options.records!r}{keys}")
            return
    if isinstance(value, dict):
        rows = options.unfold(value)
        if rows is None:
            lists = [key for key, inner in value.items() if list_of_objects(inner) and key not in options.one_row]
            rows = value[lists[0]] if len(lists) == 1 else [value]
    elif isinstance(value, list):
        rows = value
    else:
        yield Damage.of_file(f"holds {type(value).__name__}, not rows")
        return
    if not rows:
        yield Damage.of_file("holds no rows")
    for number, row in enumerate(rows, start=1):
        yield Raw(f"row {number:,}", row)


def list_of_objects(value: Any) -> bool:
    """True for a list whose first item is an object."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)
