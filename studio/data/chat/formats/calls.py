"""Tools and calls of tools, in the forms of OpenAI, TRL, LLaMA-Factory, ms-swift and Hermes, as OpenAI writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from studio.data.chat.formats.base import ShapeError, is_filled, kind_of, parsed
from studio.data.chat.turns import Message

_HERMES_CALL = re.compile(r"\s*<tool_call>\s*(\{.*?\})\s*</tool_call>\s*", re.DOTALL)
_HERMES_RESULT = re.compile(r"\A\s*<tool_response>\s*(.*?)\s*</tool_response>\s*\Z", re.DOTALL)
_HERMES_TOOLS = re.compile(r"<tools>\s*(.*?)\s*</tools>", re.DOTALL)
_HERMES_OPENING = "You are a function calling AI model"


def read_tools(value: Any, where: str) -> list[dict[str, Any]]:
    """The tools of a row: a list, or JSON text of one; each with or without OpenAI's ``{"type": "function"}`` around it.

    Raises:
        ShapeError: it is something else.
    """
    value = parsed(value)
    if not is_filled(value):
        return []
    tools = value if isinstance(value, list) else [value]
    read: list[dict[str, Any]] = []
    for tool in map(parsed, tools):
        if not isinstance(tool, Mapping):
            raise ShapeError(f"holds {kind_of(tool)} in {where} where a list of tools is expected")
        function = tool.get("function", tool)
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise ShapeError(f"has a tool without a name in {where}")
        read.append({"type": "function", "function": _with_parameters(function)})
    return read


def _with_parameters(function: Mapping[str, Any]) -> dict[str, Any]:
    """A tool with its schema under the name that templates read, not under Anthropic's or MCP's."""
    named = dict(function)
    other = next((key for key in ("input_schema", "inputSchema") if key in named and "parameters" not in named), None)
    return named if other is None else {("parameters" if key == other else key): value for key, value in named.items()}


def read_calls(value: Any, where: str) -> list[dict[str, Any]]:
    """Calls of tools: a list, one call, or JSON text of either.

    Raises:
        ShapeError: it is something else; see :func:`read_call`.
    """
    value = parsed(value)
    return [read_call(parsed(call), where) for call in (value if isinstance(value, list) else [value])]


def read_call(call: Any, where: str) -> dict[str, Any]:
    """One call.

    Raises:
        ShapeError: it has no name, or its arguments are no JSON object.
    """
    if not isinstance(call, Mapping):
        raise ShapeError(f"holds {kind_of(call)} in {where} where a tool call (name and arguments) is expected")
    function = call.get("function", call)
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise ShapeError(f"has a tool call without a name in {where}")
    arguments = _read_arguments(function.get("arguments", function.get("parameters", function.get("args"))), name, where)
    identity = call.get("id")
    # A parquet table gives every call the arguments of all; those without a value are none of its own.
    return {
        "id": None if identity is None else str(identity),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _read_arguments(value: Any, name: str, where: str) -> dict[str, Any]:
    """The arguments of a call: an object, or text of one, maybe written into JSON twice.

    Raises:
        ShapeError: they are something else, or hold what JSON cannot (NaN).
    """
    for _ in range(2):
        if isinstance(value, str):
            value = _opened(value, name, where)
    if value is not None and not isinstance(value, Mapping):
        raise ShapeError(f"has a call of {name!r} in {where} whose arguments are {kind_of(value)}, not an object")
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise ShapeError(f"has a call of {name!r} in {where} whose arguments hold what JSON cannot ({error})") from None
    return dict(value or {})


def _opened(text: str, name: str, where: str) -> Any:
    """Text of arguments as a value; what Python writes is read too."""
    try:
        return json.loads(text) if text.strip() else {}
    except ValueError as error:
        value = parsed(text)
        if isinstance(value, str):
            raise ShapeError(f"has a call of {name!r} in {where} whose arguments are not JSON ({error})") from None
        return value


def between_objects(text: str) -> str:
    """JSON objects one after the other, with commas between them."""
    return re.sub(r"\}\s*\n\s*\{", "},{", text.strip())


def _listed(text: str) -> Any:
    """The tools in a system turn: a list, or objects on lines of their own (Qwen)."""
    value = parsed(text)
    return parsed(f"[{between_objects(text)}]") if isinstance(value, str) else value


def unfold_hermes(messages: list[Message], tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn calls written as text by Hermes (``<tool_call>{…}</tool_call>``) into calls; gives back the row's tools.

    Only where the row says what its tools are, in a column or in the system turn that Hermes puts before; else all stays text.

    Raises:
        ShapeError: a call or a tool written so cannot be read.
    """
    system = messages[0]["content"] if messages and messages[0]["role"] == "system" else ""
    listed = _HERMES_TOOLS.search(system)
    if not any("<tool_call>" in turn["content"] for turn in messages if turn["role"] == "assistant") or not (tools or listed):
        return tools
    found = tools or read_tools(_listed(listed.group(1)) if listed else None, "the system turn")
    calls = {
        index: [read_call(parsed(text), f"turn {index + 1}") for text in _HERMES_CALL.findall(turn["content"])]
        for index, turn in enumerate(messages)
        if turn["role"] == "assistant" and "<tool_call>" in turn["content"]
    }
    if not found or not all(calls.values()):
        return tools
    for index, read in calls.items():
        turn = messages[index]
        turn["content"] = _HERMES_CALL.sub("\n", turn["content"]).strip()
        turn["tool_calls"] = [*turn.get("tool_calls", ()), *read]
    for turn in messages:
        result = _HERMES_RESULT.match(turn["content"]) if turn["role"] == "tool" else None
        if result:
            turn["content"] = result.group(1)
    if listed and system.lstrip().startswith(_HERMES_OPENING):
        # The template of a base that knows tools writes this turn itself.
        messages.pop(0)
    return found
