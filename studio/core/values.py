"""JSON values with a function applied to the texts in them. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def with_values(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with every text in it, keys included, changed by a function; a number that it would change becomes text."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return _with_keys({key: with_values(inner, change) for key, inner in value.items()}, change)
    if isinstance(value, list):
        return [with_values(inner, change) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        changed = change(str(value))
        return value if changed == str(value) else changed
    return value


def _with_keys(value: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """An object with its keys changed; of keys that become one, all but the first get a number."""
    changed: dict[str, Any] = {}
    for key, inner in value.items():
        new, number = change(key) if isinstance(key, str) else key, 1
        while new in changed:
            number += 1
            new = f"{change(key)} {number}"
        changed[new] = inner
    return changed
