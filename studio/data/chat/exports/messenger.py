"""Messenger of Facebook and Instagram: ``message_1.json`` of "Download your information", and the file of encrypted chats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from studio.data.chat.exports.base import Chat, Heard, Said, inner_list, inner_object, seconds_of, word

PROGRAM = "Messenger"
# What stands in the place of words, in the languages of an account; only English ones are known.
_NOTICE = re.compile(
    r"(?:Liked a message|Reacted .{1,20} to your message|.{1,80} (?:sent an attachment|sent a (?:photo|video|voice message|"
    r"sticker|live location|link|GIF)|started (?:a|an audio|a video) (?:call|chat)|missed your (?:video |audio )?call|"
    r"(?:video|audio) call ended|named the group .*|changed the (?:theme|group photo|chat theme).*|"
    r"set the (?:nickname|emoji|quick reaction).*|added .{1,80} to the group|left the group|joined the (?:call|group)))\.?",
    re.DOTALL,
)
_BEYOND = ("photos", "videos", "audio_files", "gifs", "files", "sticker", "media")
_KINDS = frozenset({"", "Generic", "Share", "text", "link"})


def is_messenger(top: frozenset[str], item: frozenset[str]) -> bool:
    """True for the keys of a chat and of its first participant or message."""
    plain = {"participants", "messages", "title"} <= top and bool(top & {"thread_path", "is_still_participant"})
    return plain or ({"participants", "messages", "threadName"} <= top) or ({"sender_name", "timestamp_ms"} <= item)


def read_messenger(value: Mapping[str, Any], label: str, heard: Heard) -> Chat:
    """One chat; its messages stand newest first in a file, and a long chat lies in several files of one ``thread_path``."""
    mended = _mended(value)
    identity = word(mended, "thread_path") or word(mended, "threadName") or label
    chat = Chat(PROGRAM, identity, word(mended, "title") or word(mended, "threadName").rpartition("_")[0] or identity)
    for one in reversed(inner_list(mended, "messages")):
        speaker = word(one, "sender_name") or word(one, "senderName") if isinstance(one, dict) else ""
        text = _text(one) if isinstance(one, dict) else ""
        if not speaker or word(one, "type") not in _KINDS or _NOTICE.fullmatch(text):
            heard.left["notices of Messenger"] += 1
            continue
        if one.get("is_unsent") or one.get("isUnsent"):
            heard.left["messages that were taken back"] += 1
            continue
        if not text or any(one.get(key) for key in _BEYOND):
            heard.left["pictures, sounds and files of Messenger"] += 1
        chat.messages.append(Said(speaker, speaker, text, seconds_of(one.get("timestamp_ms") or one.get("timestamp"))))
    return chat


def _text(message: Mapping[str, Any]) -> str:
    """The words of a message, and the link that it shares where the words lack it."""
    said = (word(message, "content") or word(message, "text")).strip()
    link = word(inner_object(message, "share"), "link")
    return said if not link or link in said else f"{said}\n{link}".strip()


def _mended(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A chat whose texts are text: these exports write each byte of UTF-8 as a letter of Latin-1 (``Ã¥`` for ``å``).

    Where one letter lies beyond Latin-1, the file is written rightly, and stays as it is.
    """
    texts = list(_texts(value))
    if any(ord(sign) > 0xFF for text in texts for sign in text) or not any(map(_broken, texts)):
        return value
    mended: Mapping[str, Any] = _with_texts(value)
    return mended


def _broken(text: str) -> bool:
    """True for UTF-8 that was read as Latin-1."""
    return not text.isascii() and _as_utf8(text) != text


def _as_utf8(text: str) -> str:
    """A text whose letters are bytes, as the text that they are; what is cut off inside a letter stays as it is."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _texts(value: Any) -> list[str]:
    """All texts inside a value."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _texts(one)]


def _with_texts(value: Any) -> Any:
    """A value with every text inside it mended."""
    if isinstance(value, str):
        return _as_utf8(value)
    if isinstance(value, dict):
        return {key: _with_texts(inner) for key, inner in value.items()}
    return [_with_texts(inner) for inner in value] if isinstance(value, list) else value
