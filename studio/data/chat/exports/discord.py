"""Discord by way of DiscordChatExporter: one channel per file, as JSON or csv (github.com/Tyrrrz/DiscordChatExporter)."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.data.chat.exports.base import Chat, Heard, Said, inner_list, inner_object, seconds_of, word
from studio.data.readers.base import ReadOptions
from studio.data.readers.encoding import open_text

PROGRAM = "Discord"
CSV_HEADER = ("AuthorID", "Author", "Date", "Content", "Attachments", "Reactions")
_WRITTEN = frozenset({"Default", "Reply", "ChatInputCommand", "ThreadStarterMessage", "0", "19", "20", "21"})
_MENTION = re.compile(r"<(?:(a?:\w+:)|[@#][!&]?)\d+>")


def is_discord(top: frozenset[str], item: frozenset[str]) -> bool:
    """True for the keys of a channel and of its first message."""
    return {"channel", "messages"} <= top and (not item or {"author", "content", "timestamp"} <= item)


def is_discord_csv(first: str) -> bool:
    """True for the line of names that the exporter writes."""
    names = [name.strip().strip('"') for name in first.lstrip("\ufeff").split(",")]
    return tuple(names[:4]) == CSV_HEADER[:4]


def read_discord(value: Mapping[str, Any], label: str, heard: Heard) -> Chat:
    """A channel or a thread."""
    channel, guild = inner_object(value, "channel"), inner_object(value, "guild")
    name = " / ".join(str(part) for part in (word(guild, "name"), word(channel, "name")) if part)
    chat = Chat(PROGRAM, word(channel, "id") or label, name or label)
    for one in inner_list(value, "messages"):
        if not isinstance(one, dict) or (word(one, "type") or "Default") not in _WRITTEN:
            heard.left["notices of Discord"] += 1
            continue
        author = inner_object(one, "author")
        text = _plain(word(one, "content"), one.get("mentions"))
        if not text or one.get("attachments"):
            heard.left["pictures, files and embeds of Discord"] += 1
        speaker = word(author, "id") or word(author, "name") or "unknown"
        chat.messages.append(Said(speaker, _name(author, speaker), text, seconds_of(one.get("timestamp"))))
    return chat


def _name(author: Mapping[str, Any], speaker: str) -> str:
    """The name of an account, with its number where it still has one."""
    name, number = word(author, "name") or speaker, word(author, "discriminator")
    return f"{name}#{number}" if number.strip("0") else name


def read_discord_csv(path: Path, label: str, options: ReadOptions, heard: Heard) -> Chat:
    """A channel as csv; notices are no rows there."""
    chat = Chat(PROGRAM, label, path.stem)
    with open_text(path, options) as stream:
        for one in csv.DictReader(stream):
            text = _plain(one.get("Content") or "", None)
            if not text or one.get("Attachments"):
                heard.left["pictures, files and embeds of Discord"] += 1
            speaker = one.get("AuthorID") or one.get("Author") or "unknown"
            chat.messages.append(Said(speaker, one.get("Author") or speaker, text, seconds_of(one.get("Date"))))
    return chat


def _plain(text: str, mentions: object) -> str:
    """A text without the names and ids of those it mentions."""
    for one in mentions if isinstance(mentions, list) else ():
        for name in (word(one, "nickname"), word(one, "name")) if isinstance(one, dict) else ():
            if name:
                text = text.replace(f"@{name}", "@someone")
    replaced = _MENTION.sub(lambda found: found.group(1) or "@someone", text)
    return re.sub(r"\A(?:@someone[\s,:]*)+", "", replaced).strip()
