"""Calls of tools against those that were due: names and arguments are compared as values, never as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.evals.evidence import Answer, Question, Tool

Call = Mapping[str, Any]
"""As OpenAI writes it, its arguments an object."""


@dataclass(frozen=True)
class Judged:
    """What became of one row. Each is None where the row says nothing about it.

    valid_json: what was called can be read. known_tool: it was offered. right_tool: just the tools that were due were called.
    right_arguments: with just the arguments that were due. no_call: an answer came without a call where none was due.
    right: the last two in one.
    """

    valid_json: bool | None = None
    known_tool: bool | None = None
    right_tool: bool | None = None
    right_arguments: bool | None = None
    no_call: bool | None = None
    right: bool | None = None


def judge(question: Question, answer: Answer | None) -> Judged:
    """Compare the calls of an answer with those that the row holds. Calls side by side may come in any order.

    An answer that is empty or never got beyond its thought has called nothing and said nothing, and is wrong either way.
    """
    if answer is None:
        return Judged()
    made, broken = answer.tool_calls, answer.broken_calls
    offered = {name_of(tool) for tool in question.tools}
    tool = Counter(map(name_of, made)) == Counter(map(name_of, question.calls)) and not broken
    arguments = tool and same_calls(made, question.calls, question.tools)
    quiet = not made and not broken and not answer.only_thought and not answer.empty
    return Judged(
        valid_json=not broken if made or broken else None,
        known_tool=all(name_of(call) in offered for call in made) if made else None,
        right_tool=tool if question.calls else None,
        right_arguments=arguments if question.calls else None,
        no_call=None if question.calls else quiet,
        right=arguments if question.calls else quiet,
    )


def judge_tool(question: Question, answer: Answer | None, name: str) -> tuple[bool, bool] | None:
    """The same for one tool that was due: called as often as it should be, and with the right arguments."""
    if answer is None:
        return None
    made, due = ([call for call in calls if name_of(call) == name] for calls in (answer.tool_calls, question.calls))
    return len(made) == len(due), same_calls(made, due, question.tools)


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
