"""A turn of a conversation: its keys, its text, and how a person is shown it.

``role`` is system, user, assistant or tool, ``content`` a text that may be empty. Only where there is something to say: ``name``,
``tool_calls`` (``[{"id": str | None, "type": "function", "function": {"name": str, "arguments": dict}}]``), ``tool_call_id``,
``reasoning_content`` and ``weight`` (0 to 1, how much an assistant's turn trains; absent means 1).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from studio.models.chat.raw_text import TEXT_ROLE as TEXT_ROLE  # callers of this module have both from here
from studio.models.chat.raw_text import is_text as is_text

Message = dict[str, Any]

ROLES = ("system", "user", "assistant", "tool")
EXTRAS = ("name", "tool_calls", "tool_call_id", "reasoning_content", "weight")
"""Keys beyond role and content, in the order in which they lie on disk."""


def is_plain(messages: Sequence[Message]) -> bool:
    """True when every turn is a role and a content and nothing else."""
    return all(len(turn) == 2 and turn["role"] != "tool" for turn in messages)


def as_json(value: Any) -> str:
    """A value as one line of JSON, letters of any script as they are."""
    return json.dumps(value, ensure_ascii=False)


def call_text(call: dict[str, Any]) -> str:
    """A tool call on one line: ``weather({"place": "Lund"})``."""
    return f"{call['function']['name']}({as_json(call['function']['arguments'])})"


def turn_text(turn: Message) -> str:
    """All that a turn says: its thoughts, its content and its calls."""
    if len(turn) == 2:
        return str(turn["content"])
    parts = [turn.get("reasoning_content"), turn["content"], *(call_text(call) for call in turn.get("tool_calls") or ())]
    return "\n".join(part for part in parts if part)


def shown_turn(turn: Message) -> dict[str, str]:
    """A turn as a person reads it: role and text, with what else it holds written out in square brackets."""
    if len(turn) == 2:
        return {"role": turn["role"], "content": turn["content"]}
    before, after = [], []
    if turn.get("name"):
        before.append(f"[name: {turn['name']}]")
    if turn.get("tool_call_id"):
        before.append(f"[result of {turn['tool_call_id']}]")
    if turn.get("weight", 1) != 1:
        before.append("[does not train]" if not turn["weight"] else f"[trains with weight {turn['weight']:g}]")
    if turn.get("reasoning_content"):
        before.append(f"[thought] {turn['reasoning_content']} [end of thought]")
    after += [f"[call{' ' + call['id'] if call.get('id') else ''}] {call_text(call)}" for call in turn.get("tool_calls") or ()]
    return {"role": turn["role"], "content": "\n".join([*before, *([turn["content"]] if turn["content"] else []), *after])}


def with_texts(turn: Message, change: Callable[[str], str]) -> Message:
    """A turn with its content and its thoughts changed by a function; calls stay as they are."""
    changed = {**turn, "content": change(turn["content"])}
    if turn.get("reasoning_content"):
        changed["reasoning_content"] = change(turn["reasoning_content"])
    return changed
