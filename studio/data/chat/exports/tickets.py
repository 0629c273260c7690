"""Tickets of help desks: comments with an author, public or not (Zendesk), and Intercom's conversations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from studio.core.errors import DataError
from studio.data.chat.exports.base import Heard, TalkOptions, inner_list, inner_object, listed_speakers, word
from studio.data.chat.exports.markup import text_of_html
from studio.data.chat.exports.talks import in_yaml_list

PROGRAM = "a help desk"
_BODIES = ("plain_body", "body_text", "body", "html_body", "text", "message", "content")
_AUTHORS = ("author_id", "author", "from", "user_id", "created_by")
_CUSTOMERS = frozenset({"user", "lead", "contact", "customer", "end-user", "end_user", "requester", "visitor", "client"})
_STAFF = frozenset({"admin", "agent", "staff", "operator", "teammate", "support", "owner"})


@dataclass(frozen=True)
class _Comment:
    """What somebody wrote in a ticket. kind: customer, staff or bot, where the export says it. public: the customer sees it."""

    author: str
    name: str
    email: str
    kind: str
    text: str
    public: bool


def is_ticket(value: Mapping[str, Any]) -> bool:
    """True for a ticket with its comments, or a conversation with its parts."""
    if isinstance(value.get("conversation_parts"), dict | list):
        return True
    comments = value.get("comments")
    if not isinstance(comments, list) or not comments:
        return False
    return all(
        isinstance(one, dict) and any(key in one for key in _BODIES) and any(key in one for key in _AUTHORS) for one in comments
    )


def read_ticket(value: Mapping[str, Any], options: TalkOptions, heard: Heard) -> dict[str, Any]:
    """A row of ``messages``: what the requester and the help desk wrote to each other; internal notes are left out.

    Raises:
        DataError: neither the ticket nor the recipe says who answers; lists who writes.
    """
    ticket = value["ticket"] if isinstance(value.get("ticket"), dict) else value
    comments = [one for one in _comments(value, ticket) if one.text]
    hidden = sum(not one.public for one in comments)
    if hidden:
        heard.left["internal notes of tickets"] += hidden
    public = [one for one in comments if one.public]
    requester = word(ticket, "requester_id") or word(inner_object(ticket, "requester"), "id")
    roles = _roles(public, requester, options, heard, word(ticket, "id"))
    turns: list[dict[str, str]] = []
    for one in public:
        role = roles[one.author]
        if role is None:
            heard.left["automatic messages of help desks"] += 1
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += f"\n\n{one.text}"
        else:
            turns.append({"role": role, "content": one.text})
    _put_subject(turns, ticket)
    heard.programs[PROGRAM] += 1
    facts = {key: ticket[key] for key in ("id", "subject", "status", "created_at", "tags") if ticket.get(key)}
    counts = Counter(one.author for one in public)
    names = {one.author: one.name for one in public}
    people = [{"id": who, "name": names[who], "role": roles[who], "messages": counts[who]} for who in counts]
    return {"messages": turns, "program": PROGRAM, **facts, "speakers": people}


def _put_subject(turns: list[dict[str, str]], ticket: Mapping[str, Any]) -> None:
    """The subject is what the customer wrote first, unless the first message says it too."""
    subject = text_of_html(ticket.get("subject") or ticket.get("title"))
    if subject and turns and turns[0]["role"] == "user" and subject not in turns[0]["content"]:
        turns[0]["content"] = f"{subject}\n\n{turns[0]['content']}"


def _comments(value: Mapping[str, Any], ticket: Mapping[str, Any]) -> Iterator[_Comment]:
    """Comments in order; the description or source first, where it is not the first comment."""
    parts = value.get("conversation_parts")
    if isinstance(parts, dict):
        parts = inner_list(parts, "conversation_parts")
    if isinstance(parts, list):
        if isinstance(value.get("source"), dict):
            yield _comment(value["source"])
        yield from (_comment(one) for one in parts if isinstance(one, dict))
        return
    found = [_comment(one) for one in value["comments"]]
    first = text_of_html(ticket.get("description"))
    if first and word(ticket, "requester_id") and not any(first in one.text or one.text in first for one in found[:1]):
        yield _Comment(word(ticket, "requester_id"), "", "", "customer", first, True)
    yield from found


def _comment(one: Mapping[str, Any]) -> _Comment:
    """One comment, or one part of a conversation."""
    given = next((one[key] for key in _AUTHORS if one.get(key) not in (None, "")), "unknown")
    author = given if isinstance(given, dict) else {"id": given}
    if isinstance(one.get("author"), dict):
        author = {**author, **one["author"]}
    kind = (word(author, "type") or word(author, "role")).lower()
    kind = "customer" if kind in _CUSTOMERS else "staff" if kind in _STAFF else kind if kind == "bot" else ""
    private = one.get("public") is False or one.get("private") is True or one.get("part_type") == "note"
    written = next((text for key in _BODIES if (text := text_of_html(one.get(key)))), "")
    name, email = word(author, "name"), word(author, "email")
    return _Comment(word(author, "id") or email or name or "unknown", name, email, kind, written, not private)


def _roles(comments: list[_Comment], requester: str, options: TalkOptions, heard: Heard, ticket: str) -> dict[str, str | None]:
    """The role of each author, None for a machine: as the recipe says, else by kind, else all but the requester answer."""
    roles: dict[str, str | None] = {}
    for one in comments:
        if options.assistant:
            said = options.named(one.author, one.name, one.email)
            heard.used |= {said} if said else set()
            roles[one.author] = "assistant" if said else "user"
        elif one.kind:
            roles[one.author] = {"customer": "user", "staff": "assistant"}.get(one.kind)
        elif requester:
            roles[one.author] = "user" if one.author == requester else "assistant"
        else:
            counts = Counter(one.author for one in comments).most_common()
            raise DataError(
                f"ticket {ticket or '(without id)'} does not say who of its authors answers: {listed_speakers(counts)}. Say it "
                f"in the source, for example\n    assistant: [{in_yaml_list(counts[-1][0])}]"
            )
    return roles
