"""OpenAI's newer route, ``/v1/responses``: checked as a chat is, and read for the feedback store. Standard library only.

Nothing is kept between two requests: vLLM's store for it has no bounds, so it stays off and a client sends the whole talk.
"""

from __future__ import annotations

from typing import Any

from studio.serve.limits import ROLES, Limits, RefusedError, check_tools, known_role, only_known, whole_number
from studio.serve.requests import Facts, arguments_as_trained, hold_grammar, part_of, tools_as_trained

FIELDS = {
    "model", "input", "instructions", "max_output_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop",
    "stop_token_ids", "stream", "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "top_logprobs",
    "ignore_eos", "skip_special_tokens", "include_stop_str_in_output", "text", "tools", "tool_choice", "parallel_tool_calls",
    "reasoning", "chat_template_kwargs", "user",
}  # fmt: skip
# Taken, because client libraries send them, and without a meaning here.
DROPPED = {"include", "truncation", "stream_options", "max_tool_calls", "prompt_cache_retention"}
_KEPT = {"previous_response_id", "conversation", "background", "prompt"}
_ITEMS = {"message", "function_call", "function_call_output", "reasoning"}
_TEXTS = {"input_text", "output_text", "refusal", "text", "reasoning_text", "summary_text"}


def check_response(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """A request within the limits, in plain text, that needs nothing kept.

    Raises:
        RefusedError: it asks for more.
    """
    for name in _KEPT & set(request):
        if request.pop(name):
            raise RefusedError(
                400,
                "nothing_kept",
                f"This server keeps no responses, so {name!r} is not taken: send the whole talk as input.",
                name,
            )
    request = {name: value for name, value in request.items() if name not in DROPPED}
    only_known(request, FIELDS)
    whole_number(request, "max_output_tokens", limits.max_tokens)
    if request.get("max_output_tokens") is None:
        request["max_output_tokens"] = limits.max_tokens
    _only_text(request.get("input"))
    check_tools(request.get("tools"), named=lambda tool: tool)
    return {**request, "store": False}


def _only_text(value: Any) -> None:
    """Refuse items that make the server fetch or run something."""
    if isinstance(value, str) and value:
        return
    if not isinstance(value, list) or not value:
        raise RefusedError(400, "invalid_value", "input must be a text or a list of items.", "input")
    for number, item in enumerate(value):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message":  # a result is an item of its own here
            known_role(item.get("role"), f"input.{number}", ROLES[:-1])
        parts = [*_parts(item, "content"), *_parts(item, "output"), *_parts(item, "summary")] if kind in _ITEMS else [None]
        if any(not isinstance(part, dict) or part.get("type") not in _TEXTS for part in parts):
            raise RefusedError(400, "not_text", "This server takes text, calls of functions and their results only.", "input")


def _parts(item: dict[str, Any], field: str) -> list[Any]:
    """The parts of a field of an item, where it has parts."""
    value = item.get(field)
    return value if isinstance(value, list) else []


def response_as_trained(request: dict[str, Any], name: str, speech: Facts, identity: str) -> dict[str, Any]:
    """As :func:`studio.serve.requests.as_trained`, for this route.

    Args:
        identity: what vLLM is to call the response.
    Raises:
        RefusedError: it wants tools or arguments that the run does not have.
    """
    request = {**request, "request_id": identity}
    effort = part_of(request.pop("reasoning", None), "effort")
    if effort is not None:
        request["reasoning_effort"] = effort
    arguments_as_trained(request, name, speech)
    tools_as_trained(request, name, speech)
    if speech.get("thinking") == "drop" and isinstance(request["input"], list):
        request["input"] = [item for item in request["input"] if item.get("type") != "reasoning"]
    form = part_of(part_of(request.get("text"), "format"), "type")
    hold_grammar(request, speech, bound=form not in {None, "text"})
    return request


def read_response(document: dict[str, Any]) -> dict[str, Any]:
    """Text, end and token counts of an answer, or of the event that closes a stream; empty for any other event."""
    whole = document.get("response") if str(document.get("type")) in {"response.completed", "response.incomplete"} else document
    if not isinstance(whole, dict) or not isinstance(whole.get("output"), list):
        return {}
    usage = whole.get("usage") or {}
    pairs = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    found: dict[str, Any] = {ours: usage[theirs] for ours, theirs in pairs if isinstance(usage.get(theirs), int)}
    said = [
        str(part.get("text", ""))
        for item in whole["output"]
        if item.get("type") == "message"
        for part in item.get("content") or ()
        if part.get("type") == "output_text"
    ]
    reason = (whole.get("incomplete_details") or {}).get("reason")
    end = "length" if reason == "max_output_tokens" else "stop"
    return found | {"finish": end} | ({"text": "".join(said)} if said else {})


def talk_of(request: dict[str, Any]) -> list[dict[str, Any]]:
    """What was asked, as messages; a call or its result is a turn of its own."""
    turns = [{"role": "system", "content": request["instructions"]}] if request.get("instructions") else []
    value = request.get("input")
    if isinstance(value, str):
        return [*turns, {"role": "user", "content": value}]
    for item in value or ():
        role = {"function_call": "assistant", "function_call_output": "tool"}.get(item.get("type", "message"), item.get("role"))
        content = item.get("content") or item.get("output") or item.get("arguments") or ""
        turns.append({"role": str(role or "assistant"), "content": content})
    return turns
