"""Claude's ``conversations.json``: turns under ``chat_messages``, with branches where a question was asked anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.chat.exports.base import Heard, inner_list, word

PROGRAM = "Claude"


def is_claude(value: Mapping[str, Any]) -> bool:
    """True for a conversation: its messages have a sender and an id of their own."""
    turns = value.get("chat_messages")
    if not isinstance(turns, list) or "uuid" not in value:
        return False
    return all(isinstance(turn, dict) and "sender" in turn for turn in turns)


def read_claude(value: Mapping[str, Any], heard: Heard) -> dict[str, Any]:
    """A row of ``messages``, thoughts kept apart. What follows a picture or a file that is not text is left out."""
    every = value["chat_messages"]
    path = _path(every)
    if len(every) > len(path):
        heard.left["messages of other branches"] += len(every) - len(path)
    turns: list[dict[str, Any]] = []
    for number, message in enumerate(path):
        if any(isinstance(one, dict) for one in inner_list(message, "files")) and not message.get("attachments"):
            heard.left["messages from a picture or a file on"] += len(path) - number
            break
        turn = _turn(message, heard)
        if not turn["content"]:
            continue
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1] = {**turns[-1], **turn, "content": f"{turns[-1]['content']}\n\n{turn['content']}"}
        else:
            turns.append(turn)
    heard.programs[PROGRAM] += 1
    facts = {"title": value.get("name"), "id": value.get("uuid"), "began": value.get("created_at")}
    return {"messages": turns, "program": PROGRAM, **{key: fact for key, fact in facts.items() if fact}}


def _path(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The branch that the newest message ends; all messages where none names its parent."""
    by_id = {identity: one for one in messages if (identity := word(one, "uuid"))}
    if not any(word(one, "parent_message_uuid") in by_id for one in messages):
        return list(messages)
    path: list[Mapping[str, Any]] = []
    node: Mapping[str, Any] | None = max(messages, key=lambda one: word(one, "created_at"))
    while node is not None and node not in path:
        path.append(node)
        node = by_id.get(word(node, "parent_message_uuid"))
    return path[::-1]


def _turn(message: Mapping[str, Any], heard: Heard) -> dict[str, Any]:
    """One turn: its texts, the text of what was attached, its thoughts; calls of tools are counted."""
    blocks = [block for block in inner_list(message, "content") if isinstance(block, dict)]
    texts = [word(block, "text") for block in blocks if block.get("type") == "text"]
    thoughts = [word(block, "thinking") for block in blocks if block.get("type") == "thinking"]
    other = sum(word(block, "type") not in {"text", "thinking"} for block in blocks)
    if other:
        heard.left["calls of tools and their results"] += other
    if not blocks:
        texts = [word(message, "text")]
    texts += [word(one, "extracted_content") for one in inner_list(message, "attachments") if isinstance(one, dict)]
    role = "assistant" if message["sender"] == "assistant" else "user"
    thought = "\n\n".join(text.strip() for text in thoughts if text.strip())
    content = "\n\n".join(text.strip() for text in texts if text.strip())
    return {"role": role, "content": content, **({"reasoning_content": thought} if thought and role == "assistant" else {})}
