"""Turns as an OpenAI-compatible server takes them, and what its reply says: text, thought and calls told apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from studio.evals.evidence import Answer, Message, Tool
from studio.models.chat.answers import Answered, read_answer
from studio.models.chat.probing import opened_by
from studio.models.chat.templates import ChatTemplate
from studio.models.chat.thoughts import THOUGHTS, split_thought
from studio.models.chat.tool_syntax import Calls
from studio.models.openai_replies import text_of

# What the chat completions of OpenAI and vLLM know of a turn; how much it trains is no business of a server.
_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content")


def sent(messages: Sequence[Message]) -> list[Message]:
    """Turns as a request has them: arguments of calls as JSON text, and an id for every call and its result."""
    turns: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        turn = {key: message[key] for key in _KEYS if message.get(key) is not None}
        if message.get("tool_calls"):
            waiting = [str(call.get("id") or f"call_{len(turns)}_{place}") for place, call in enumerate(message["tool_calls"])]
            turn["tool_calls"] = [_sent_call(*both) for both in zip(message["tool_calls"], waiting, strict=True)]
        if message["role"] == "tool":
            identity = str(message.get("tool_call_id") or (waiting[0] if waiting else "call"))
            turn["tool_call_id"] = identity
            waiting = [other for other in waiting if other != identity]
        turns.append(turn)
    return turns


def _sent_call(call: Mapping[str, Any], identity: str) -> dict[str, Any]:
    """A call as a request has it."""
    function = call["function"]
    arguments = json.dumps(function["arguments"], ensure_ascii=False)
    return {"id": identity, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def replied(
    choice: Mapping[str, Any],
    tools: Sequence[Tool],
    tokenizer: PreTrainedTokenizerBase | None,
    template: ChatTemplate | None,
    url: str,
) -> Answered:
    """What one choice of a chat completion says.

    A server without a parser leaves thoughts and calls in the text; they are then told apart here, calls only where the template
    is known.

    Raises:
        EndpointError: it holds something other than text.
    """
    message: Mapping[str, Any] = choice["message"]
    text, thought = text_of(message, url)
    found = calls_of(message.get("tool_calls"))
    if thought or found.calls or found.broken:
        return Answered(text, thought, found.calls, found.broken)
    # A server whose template opens the thought leaves only its end in the text.
    lone = next((mark for mark, end in THOUGHTS.items() if end in text and mark not in text), "")
    if tokenizer is None or template is None:
        inner, rest = split_thought(text, lone)
        return Answered(rest.strip(), inner)
    mark = opened_by(template, tokenizer) or ""
    # The server may have taken the thought off, or been told to have none: only a thought that is seen was opened.
    opened = mark if mark and (THOUGHTS[mark] in text or choice.get("finish_reason") == "length") else lone
    return read_answer(template, tokenizer, text, tools=tools, opened=opened, calls=bool(tools))


def calls_of(given: Any) -> Calls:
    """The ``tool_calls`` of a reply, and those that name no tool or whose arguments are no JSON object."""
    found = Calls()
    for call in given or ():
        function = (call.get("function") if isinstance(call, Mapping) else None) or {}
        try:
            found.add(function.get("name"), function.get("arguments") or "{}", call.get("id"))
        except (ValueError, AttributeError):
            found.broken.append(json.dumps(call, ensure_ascii=False))
    return found


def answer_from(answered: Answered, tokens: int, truncated: bool) -> Answer:
    """An answer as evidence."""
    return Answer(answered.content, tokens, truncated, answered.reasoning_content, answered.tool_calls, answered.broken_calls)
