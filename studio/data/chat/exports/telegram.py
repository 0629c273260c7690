"""Telegram Desktop's ``result.json``: one chat, or all of them under ``chats.list``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from studio.data.chat.exports.base import Chat, Heard, Said, seconds_of, word

PROGRAM = "Telegram"


def is_telegram(top: frozenset[str], item: frozenset[str]) -> bool:
    """True for the keys of one chat and of its first message, or of an export of everything."""
    one = {"type", "id", "messages"} <= top and (not item or {"id", "type", "date"} <= item)
    return one or ({"chats", "about"} <= top)


def read_telegram(value: Mapping[str, Any], heard: Heard) -> Iterator[Chat]:
    """Every chat of a file."""
    chats = value.get("chats")
    inner = chats.get("list") if isinstance(chats, dict) else None
    for one in inner if isinstance(inner, list) else [value]:
        if isinstance(one, dict) and isinstance(one.get("messages"), list):
            yield _chat(one, heard)


def _chat(value: Mapping[str, Any], heard: Heard) -> Chat:
    """One chat."""
    chat = Chat(PROGRAM, word(value, "id") or word(value, "name"), word(value, "name") or word(value, "type"))
    for one in value["messages"]:
        if not isinstance(one, dict) or one.get("type") != "message":
            heard.left["notices of Telegram"] += 1
            continue
        if one.get("forwarded_from"):
            heard.left["forwarded messages"] += 1
            continue
        text = _plain(one.get("text"))
        if not text or one.get("photo") or one.get("file"):
            heard.left["pictures, sounds and files of Telegram"] += 1
        speaker = word(one, "from_id") or word(one, "from") or "unknown"
        when = seconds_of(one.get("date_unixtime")) or seconds_of(one.get("date"))
        chat.messages.append(Said(speaker, word(one, "from") or speaker, text, when))
    return chat


def _plain(text: object) -> str:
    """A text that may be a list of pieces; people are mentioned without their names."""
    pieces = text if isinstance(text, list) else [text]
    written = []
    for piece in pieces:
        if isinstance(piece, dict):
            mention = word(piece, "type") in {"mention", "mention_name"}
            written.append("@someone" if mention else word(piece, "text"))
        elif isinstance(piece, str):
            written.append(piece)
    return re.sub(r"\A(?:@someone[\s,:]*)+", "", "".join(written)).strip()
