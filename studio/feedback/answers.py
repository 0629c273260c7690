"""What an answer is beside its words: its thought, its calls of tools, and the tools it could call. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.core.values import with_values

Beside = Mapping[str, Any]
"""``reasoning_content``, ``tool_calls`` and ``tools``, each only where it holds something."""
Turn = tuple[str, ...]
"""A turn that can be compared: role, content, and as JSON what else it holds, where it does."""


def beside_of(turn: Mapping[str, Any], tools: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any] | None:
    """What stands beside the words of a turn; None where they are all."""
    found = {key: turn[key] for key in ("reasoning_content", "tool_calls") if turn.get(key)}
    return {**found, **({"tools": list(tools)} if tools else {})} or None


def as_turns(messages: Sequence[Mapping[str, Any]] | None) -> tuple[Turn, ...]:
    """Messages as turns that can be compared."""
    turns = []
    for message in messages or ():
        more = {key: value for key, value in message.items() if key not in {"role", "content"} and value is not None}
        turns.append((message["role"], message["content"], *([canonical(more)] if more else ())))
    return tuple(turns)


def as_messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Such turns as messages again."""
    return [{"role": turn[0], "content": turn[1], **(json.loads(turn[2]) if len(turn) > 2 else {})} for turn in turns]


def cleaned_turn(turn: Turn, clean: Callable[[str], str]) -> Turn:
    """A turn with a function applied to all its texts, those in its calls included."""
    return (turn[0], clean(turn[1]), *(cleaned_json(text, clean) for text in turn[2:]))


def cleaned_json(text: str, clean: Callable[[str], str]) -> str:
    """JSON text with a function applied to every text in it."""
    return canonical(with_values(json.loads(text), clean))


def canonical(value: Any) -> str:
    """JSON text, the same for the same value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
