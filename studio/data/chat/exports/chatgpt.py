"""ChatGPT's ``conversations.json``: a tree of messages under ``mapping``, of which the path to ``current_node`` is the talk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from studio.data.chat.exports.base import Heard, inner_list, inner_object, seconds_of, word

PROGRAM = "ChatGPT"
_ROLES = frozenset({"system", "user", "assistant"})
_TEXTS = frozenset({"text", "multimodal_text", "code"})
# Places of sources that only ChatGPT's own page can show: ``【4†source】``, and marks in Unicode's private area.
_CITED = re.compile("【\\d+(?::\\d+)?†[^】]*】|\ue200[^\ue201]*\ue201|[\ue200-\ue2ff]")


def is_chatgpt(value: Mapping[str, Any]) -> bool:
    """True for a conversation."""
    mapping = value.get("mapping")
    if not isinstance(mapping, dict) or not mapping:
        return False
    return all(isinstance(node, dict) and "message" in node for node in list(mapping.values())[:3])


def read_chatgpt(value: Mapping[str, Any], heard: Heard) -> dict[str, Any]:
    """A row of ``messages``. What follows a picture or a file is left out: the model that is trained sees neither."""
    turns: list[dict[str, Any]] = []
    path = _path(value)
    shown = sum(1 for node in value["mapping"].values() if isinstance(node, dict) and _is_spoken(node.get("message")))
    taken = 0
    for message in path:
        if not _is_spoken(message):
            heard.left["messages to and from tools, and hidden ones"] += bool(isinstance(message, dict) and _text(message))
            continue
        if _has_more_than_text(message):
            break
        taken += 1
        role, text = message["author"]["role"], _CITED.sub("", _text(message)).strip()
        if not text:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += f"\n\n{text}"
        else:
            turns.append({"role": role, "content": text})
    spoken = sum(map(_is_spoken, path))
    if shown > spoken:
        heard.left["messages of other branches"] += shown - spoken
    if spoken > taken:
        heard.left["messages from a picture or a file on"] += spoken - taken
    heard.programs[PROGRAM] += 1
    facts = {
        "title": value.get("title"),
        "id": value.get("conversation_id") or value.get("id"),
        "began": value.get("create_time"),
    }
    facts |= {"model": value.get("default_model_slug")}
    return {"messages": turns, "program": PROGRAM, **{key: fact for key, fact in facts.items() if fact is not None}}


def _path(value: Mapping[str, Any]) -> list[Any]:
    """Messages from the first to the current one; without ``current_node``, to the newest leaf."""
    mapping = {key: node for key, node in value["mapping"].items() if isinstance(node, dict)}
    node = word(value, "current_node")
    if node not in mapping:
        leaves = [key for key, one in mapping.items() if not one.get("children")] or list(mapping)
        made = {key: seconds_of(inner_object(mapping[key], "message").get("create_time")) or 0.0 for key in leaves}
        node = max(leaves, key=lambda key: made[key], default="")
    path: list[Any] = []
    seen = set()
    while node in mapping and node not in seen:
        seen.add(node)
        path.append(mapping[node].get("message"))
        node = word(mapping[node], "parent")
    return path[::-1]


def _is_spoken(message: Any) -> bool:
    """True for what a person sees as a turn: no hidden message, none to or from a tool."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), dict):
        return False
    facts, kind = inner_object(message, "metadata"), word(message["content"], "content_type") or "text"
    hidden = facts.get("is_visually_hidden_from_conversation") or facts.get("is_user_system_message")
    role, to = word(inner_object(message, "author"), "role"), word(message, "recipient")
    seen = role in _ROLES and to in {"", "all"} and not hidden and kind in _TEXTS
    return seen and bool(_text(message) or _has_more_than_text(message))


def _text(message: Mapping[str, Any]) -> str:
    """The text of a message."""
    content = inner_object(message, "content")
    parts = inner_list(content, "parts") or [content.get("text")]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str) and text.strip())


def _has_more_than_text(message: Mapping[str, Any]) -> bool:
    """True where a message holds or comes with a picture, a sound or a file."""
    parts = inner_list(inner_object(message, "content"), "parts")
    things = any(isinstance(part, dict) and not isinstance(part.get("text"), str) for part in parts)
    return things or bool(inner_object(message, "metadata").get("attachments"))
