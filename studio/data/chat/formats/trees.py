"""Trees of replies, as OpenAssistant publishes them: a prompt, the replies to it, the replies to those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

OTHER_REPLIES = "other_replies"
"""Key of ``meta`` for the number of replies that do not lie on the path that was read."""


def is_tree(value: Mapping[str, Any]) -> bool:
    """True for a prompt with replies in it."""
    prompt = value.get("prompt")
    return isinstance(prompt, Mapping) and "text" in prompt and isinstance(prompt.get("replies"), list)


def is_reply(value: Any) -> bool:
    """True for a row that is one message of a tree and names the one it answers."""
    return isinstance(value, Mapping) and {"message_id", "parent_id", "text", "role"} <= value.keys()


def grown_trees(messages: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, dict[str, Any] | None]]:
    """The trees that messages make up, in the order of their prompts, each with the place of its prompt.

    A message whose parent is not among them gives its place and None.
    """
    nodes: dict[str, dict[str, Any]] = {str(value["message_id"]): {**value, "replies": []} for _, value in messages}
    prompts: list[tuple[str, dict[str, Any] | None]] = []
    for place, value in messages:
        node, parent = nodes[str(value["message_id"])], value["parent_id"]
        # A table writes a parent that is not there as null, as nothing or as NaN.
        if parent is None or parent == "" or parent != parent:
            prompts.append((place, {"prompt": node, "message_tree_id": value.get("message_tree_id", value["message_id"])}))
        elif str(parent) in nodes:
            nodes[str(parent)]["replies"].append(node)
        else:
            prompts.append((place, None))
    return prompts


def replies_in(value: Mapping[str, Any]) -> int:
    """Messages of a tree, its prompt included; deleted ones are none."""
    waiting, count = [value["prompt"]], 0
    while waiting:
        node = waiting.pop()
        count += 1
        waiting += [reply for reply in node.get("replies") or () if isinstance(reply, Mapping) and not reply.get("deleted")]
    return count


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
    return float(rank) if isinstance(rank, int | float) and rank == rank else float("inf")
