"""Calls of tools, compared as values and never as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Call = Mapping[str, Any]
"""As OpenAI writes it, its arguments an object."""
Tool = Mapping[str, Any]
"""A function that a model may call, as OpenAI writes it."""


def same_calls(made: Sequence[Call], due: Sequence[Call], tools: Sequence[Tool]) -> bool:
    """True when both are the same calls, in any order. An argument that is left out has its default, where the tool names one."""
    defaults = {name_of(tool): _defaults(tool) for tool in tools}
    left = [_whole(call, defaults) for call in due]
    for call in made:
        name, arguments = _whole(call, defaults)
        place = next((i for i, other in enumerate(left) if other[0] == name and same_value(other[1], arguments)), None)
        if place is None:
            return False
        left.pop(place)
    return not left


def same_value(one: Any, other: Any) -> bool:
    """Equality of JSON values: keys in any order, 1 is 1.0; true is no number, and "1" is a text."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    return bool(one == other)


def name_of(thing: Call | Tool) -> str:
    """Name of the function in a call or a tool."""
    return str(thing.get("function", thing).get("name"))


def _whole(call: Call, defaults: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a call, with the defaults of what was left out."""
    name = name_of(call)
    return name, {**defaults.get(name, {}), **call["function"]["arguments"]}


def _defaults(tool: Tool) -> dict[str, Any]:
    """Arguments of a tool that have a default in its JSON schema."""
    properties = (tool.get("function", tool).get("parameters") or {}).get("properties") or {}
    return {name: schema["default"] for name, schema in properties.items() if isinstance(schema, Mapping) and "default" in schema}
