"""Trees of replies, as OpenAssistant publishes them: a prompt, the replies to it, the replies to those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_tree(value: Mapping[str, Any]) -> bool:
    """True for a prompt with replies in it."""
    prompt = value.get("prompt")
    return isinstance(prompt, Mapping) and "text" in prompt and isinstance(prompt.get("replies"), list)


def read_tree(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The best path through a tree: at each turn the reply of the lowest rank, the first one where none is ranked."""
    turns: list[dict[str, Any]] = []
    node: Mapping[str, Any] | None = value["prompt"]
    while node is not None:
        role = node.get("role") or ("prompter", "assistant")[len(turns) % 2]
        turns.append({"role": role, "content": node.get("text")})
        replies = [reply for reply in node.get("replies") or () if isinstance(reply, Mapping) and not reply.get("deleted")]
        node = min(replies, key=_rank) if replies else None
    return turns


def _rank(reply: Mapping[str, Any]) -> float:
    """Place of a reply among its siblings; those without one come last."""
    rank = reply.get("rank")
    return float(rank) if isinstance(rank, int | float) else float("inf")
