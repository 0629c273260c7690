"""Slack's export: a folder per channel with a file per day, and ``users.json`` beside them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.data.chat.exports.base import Chat, Heard, Said, inner_object, seconds_of

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
    return {str(user["id"]): _name(user) for user in users if isinstance(user, dict) and "id" in user}


def _name(user: Mapping[str, Any]) -> str:
    """How a user is called."""
    profile = inner_object(user, "profile")
    names = (profile.get("display_name"), profile.get("real_name"), user.get("display_name"), user.get("real_name"))
    return next((str(name) for name in (*names, user.get("name")) if name), str(user.get("id", "")))


def read_slack(path: Path, value: Any, names: Mapping[str, str], heard: Heard) -> Chat:
    """The messages of one channel on one day; replies carry the thread that they belong to, and so does what they reply to."""
    chat = Chat(PROGRAM, str(path.parent), path.parent.name)
    for one in value if isinstance(value, list) else ():
        if not isinstance(one, dict) or one.get("type") != "message" or (one.get("subtype") or "") not in _WRITTEN:
            heard.left["notices of Slack"] += 1
            continue
        speaker = str(one.get("user") or one.get("bot_id") or one.get("username") or "unknown")
        name = names.get(speaker) or one.get("username") or _name({**inner_object(one, "user_profile"), "id": speaker})
        text = _plain(str(one.get("text") or ""))
        if not text and (one.get("files") or one.get("attachments") or one.get("blocks")):
            heard.left["messages of Slack without text"] += 1
        if text and one.get("files"):
            heard.left["files beside messages"] += 1
        chat.messages.append(Said(speaker, str(name), text, seconds_of(one.get("ts")), _thread(one)))
    return chat


def _thread(message: Mapping[str, Any]) -> str | None:
    """The thread that a message stands in or begins."""
    thread = message.get("thread_ts")
    return str(thread) if thread else None


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
