"""A client's request as the run behind the model was trained: its template's arguments, tools, thoughts. Standard library only.

What a template can do is read from the ``speech`` of a model in the models file (:class:`studio.adapters.chat.speech.Speech` as
JSON).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from studio.models.chat.thoughts import thought_in_text, without_thought
from studio.serve.limits import RefusedError

Facts = Mapping[str, Any]
_KWARGS = "chat_template_kwargs"


def prompt_opens(speech: Facts, arguments: Mapping[str, Any]) -> bool:
    """Whether a prompt made with these arguments ends inside a thought."""
    for name, values in (speech.get("switches") or {}).items():
        if name in arguments and json.dumps(arguments[name]) in values:
            return bool(values[json.dumps(arguments[name])])
    return bool(speech.get("opened"))


def as_trained(request: dict[str, Any], name: str, speech: Facts) -> dict[str, Any]:
    """A chat request with the run's arguments and thoughts, and tools only where they are understood.

    Args:
        name: of the model, for messages.
    Raises:
        RefusedError: it wants or holds calls of tools that are not served, or sets an argument that the run does not leave to
            clients.
    """
    if "syntax" in speech and not speech["syntax"] and any(message.get("tool_calls") for message in request["messages"]):
        raise RefusedError(
            400, "tools_not_served", f"The chat template of {name} writes no calls of tools. Leave tool_calls out.", "messages"
        )
    request = {**request, "messages": [_turn(message, speech) for message in request["messages"]]}
    arguments_as_trained(request, name, speech)
    tools_as_trained(request, name, speech)
    hold_grammar(request, speech, bound=part_of(request.get("response_format"), "type") not in {None, "text"})
    return request


def part_of(value: Any, name: str) -> Any:
    """A field of an object; None where it is no object, which is vLLM's to refuse."""
    return value.get(name) if isinstance(value, dict) else None


def hold_grammar(request: dict[str, Any], speech: Facts, *, bound: bool) -> None:
    """Let a grammar hold from the first token where no thought is open.

    vLLM would wait for the end of a thought that the prompt has not opened, and the grammar would hold for nothing.

    Args:
        bound: whether the answer is to have a form; a forced call has one in any case.
    """
    forced = request.get("tool_choice") == "required" or isinstance(request.get("tool_choice"), dict)
    if (bound or forced) and speech.get("mark") and not prompt_opens(speech, request.get(_KWARGS) or {}):
        request["include_reasoning"] = False


def _turn(message: Any, speech: Facts) -> Any:
    """A turn with its thought where training had it."""
    if message["role"] != "assistant":
        return message
    if "reasoning" in message:  # vLLM's own name for it, which its answers carry
        message = {key: value for key, value in message.items() if key != "reasoning"} | (
            {} if message.get("reasoning_content") else {"reasoning_content": message["reasoning"]}
        )
    if speech.get("thinking") == "drop":
        return without_thought(message)
    if message.get("reasoning_content") and not speech.get("written") and isinstance(message.get("content") or "", str):
        return thought_in_text(message, speech.get("mark") or "<think>")
    return message


def arguments_as_trained(request: dict[str, Any], name: str, speech: Facts) -> None:
    """The run's arguments below the client's, of which only some are the client's to set.

    Raises:
        RefusedError: names what is allowed.
    """
    given = request.pop(_KWARGS, None) or {}
    if not isinstance(given, dict):
        raise RefusedError(
            400, "invalid_value", "chat_template_kwargs must be an object of names and values.", "chat_template_kwargs"
        )
    if request.get("reasoning_effort") is not None:
        # vLLM hands it to the template, where it is an argument like any other.
        given = {"reasoning_effort": request["reasoning_effort"], **given}
    request.pop("reasoning_effort", None)
    allowed = list(speech.get("client_arguments") or ())
    for argument, value in given.items():
        if argument not in allowed:
            may = f"It leaves to clients: {', '.join(allowed)}." if allowed else "It leaves none to clients."
            raise RefusedError(
                400,
                "argument_not_allowed",
                f"{name} answers with the template arguments it was trained with, so {argument[:80]!r} cannot be set. {may}",
                _KWARGS,
            )
        if not isinstance(value, bool | int | float | str):
            raise RefusedError(
                400, "invalid_value", f"{argument} must be a text, a number, true or false.", "chat_template_kwargs"
            )
        if argument in (speech.get("yes_no") or ()) and not isinstance(value, bool):
            raise RefusedError(400, "invalid_value", f"{argument} must be true or false.", _KWARGS)
    if merged := {**(speech.get("arguments") or {}), **given}:
        request[_KWARGS] = merged


def tools_as_trained(request: dict[str, Any], name: str, speech: Facts) -> None:
    """Take tools only where vLLM can read the calls; an empty list, or none to be called, is no wish for them.

    Raises:
        RefusedError: says why there are none.
    """
    if request.get("tools") in (None, []):
        request.pop("tools", None)
        if request.get("tool_choice") in (None, "none", "auto"):
            request.pop("tool_choice", None)
            request.pop("parallel_tool_calls", None)
            return
    wanted = "tools" if request.get("tools") else "tool_choice"
    if speech.get("no_tools"):
        raise RefusedError(
            400, "tools_not_served", f"{name} is served without tools: {speech['no_tools']}. Leave {wanted} out.", wanted
        )
    if wanted == "tool_choice":
        raise RefusedError(400, "invalid_value", "tool_choice asks for a call, and the request has no tools.", "tool_choice")
