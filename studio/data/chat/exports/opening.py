"""Rows that are a conversation of a program which says itself who answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.data.chat.exports.base import Heard, TalkOptions
from studio.data.chat.exports.chatgpt import is_chatgpt, read_chatgpt
from studio.data.chat.exports.claude import is_claude, read_claude
from studio.data.chat.exports.tickets import is_ticket, read_ticket


def opened_row(value: Any, options: TalkOptions, heard: Heard) -> dict[str, Any] | None:
    """A row of ``messages``; None where the value is no conversation of a known program.

    Raises:
        DataError: see :func:`studio.data.chat.exports.tickets.read_ticket`.
    """
    if not isinstance(value, Mapping):
        return None
    if is_chatgpt(value):
        return read_chatgpt(value, heard)
    if is_claude(value):
        return read_claude(value, heard)
    return read_ticket(value, options, heard) if is_ticket(value) else None


def program_of(value: Any) -> str | None:
    """The program that a row is a conversation of; None where it is of none."""
    if not isinstance(value, Mapping):
        return None
    known = (("ChatGPT", is_chatgpt), ("Claude", is_claude), ("a help desk", is_ticket))
    return next((name for name, holds in known if holds(value)), None)


def wrapped_rows(document: Mapping[str, Any]) -> list[Any] | None:
    """The conversations of an object that holds a list of them under any key; None for any other object."""
    for inner in document.values():
        if isinstance(inner, list) and inner and all(program_of(one) for one in inner[:3]):
            return inner
    return None
