"""Slack's export: a folder per channel with a file per day, and ``users.json`` beside them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.data.chat.exports.base import Chat, Heard, Said, inner_object, seconds_of, word

PROGRAM = "Slack"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.json")
ABOUT = frozenset(
    {"users.json", "channels.json", "groups.json", "dms.json", "mpims.json", "integration_logs.json", "canvases.json",
     "org_users.json", "lists.json", "file_conversations.json", "huddle_transcripts.json"}
)  # fmt: skip
"""Files of an export that hold no messages."""
# Kinds of messages that somebody wrote: https://api.slack.com/events/message
_WRITTEN = frozenset({"", "bot_message", "thread_broadcast", "me_message", "file_share", "file_comment"})
_LINK = re.compile(r"<([^<>|\s]+)(?:\|([^<>]*))?>")


def is_slack_message(keys: frozenset[str]) -> bool:
    """True for the keys of a message."""
    return {"type", "ts"} <= keys and bool(keys & {"user", "bot_id", "subtype", "text"})


def user_names(path: Path) -> dict[str, str]:
    """Names by id, of ``users.json``; nothing where it is something else."""
    try:
        users = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    listed = users if isinstance(users, list) else []
    return {word(user, "id"): _name(user) for user in listed if isinstance(user, dict)}


def _name(user: Mapping[str, Any]) -> str:
    """How a user is called."""
    profile = inner_object(user, "profile")
    names = [word(place, key) for place in (profile, user) for key in ("display_name", "real_name")]
    return next(filter(None, [*names, word(user, "name"), word(user, "id")]), "")


def read_slack(path: Path, value: Any, names: Mapping[str, str], heard: Heard) -> Chat:
    """The messages of one channel on one day; replies carry the thread that they belong to, and so does what they reply to."""
    chat = Chat(PROGRAM, str(path.parent), path.parent.name)
    for one in value if isinstance(value, list) else ():
        if not isinstance(one, dict) or one.get("type") != "message" or word(one, "subtype") not in _WRITTEN:
            heard.left["notices of Slack"] += 1
            continue
        speaker = word(one, "user") or word(one, "bot_id") or word(one, "username") or "unknown"
        name = names.get(speaker) or word(one, "username") or _name({**inner_object(one, "user_profile"), "id": speaker})
        text = _plain(word(one, "text"))
        if not text and (one.get("files") or one.get("attachments") or one.get("blocks")):
            heard.left["messages of Slack without text"] += 1
        if text and one.get("files"):
            heard.left["files beside messages"] += 1
        chat.messages.append(Said(speaker, str(name), text, seconds_of(one.get("ts")), _thread(one)))
    return chat


def _thread(message: Mapping[str, Any]) -> str | None:
    """The thread that a message stands in or begins."""
    return word(message, "thread_ts") or None


def _plain(text: str) -> str:
    """Slack's own marks as text; people are mentioned without their names."""

    def written(found: re.Match[str]) -> str:
        target, shown = found.group(1), found.group(2)
        if target.startswith("@"):
            return "@someone"
        if target.startswith(("#", "!")):
            word = shown or target[1:].partition("^")[0]
            return ("#" if target[0] == "#" else "@") + word.lstrip("#@")
        link = target.removeprefix("mailto:")
        return f"{shown} ({link})" if shown and shown != link else link

    replaced = _LINK.sub(written, text)
    return html.unescape(re.sub(r"\A(?:@someone[\s,:]*)+", "", replaced)).strip()
