"""What an export of a chat program holds: chats, the messages said in them, and what of it is no text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from studio.core.telling import counted

USUAL_PAUSE = 6.0
"""Hours of silence after which a new conversation begins: a night, but no long lunch."""
_SHOWN = 8
# The year 5138; a larger number counts milliseconds.
_LATEST = 1e11


@dataclass(frozen=True)
class TalkOptions:
    """How people's chats become conversations; fields as in :class:`studio.schema.recipe.SourceSettings`.

    pause: hours; None takes ``USUAL_PAUSE``.
    """

    assistant: tuple[str, ...] = ()
    pause: float | None = None

    def named(self, *names: object) -> str | None:
        """The entry of ``assistant`` that one of a speaker's names and ids is, in any case; None where none is."""
        mine = {plain_name(name) for name in names if name not in (None, "")}
        return next((said for said in self.assistant if plain_name(said) in mine), None)


@dataclass(frozen=True)
class Said:
    """One message. speaker: id, or the name where an export has no ids. when: seconds since 1970. thread: of a thread, its id."""

    speaker: str
    name: str
    text: str
    when: float | None = None
    thread: str | None = None


@dataclass
class Chat:
    """The messages of one chat or channel in one file.

    identity: what tells it from others of the program. answering: the speaker whose messages are the answers, where the program
    says so. pause: hours of silence that end a conversation, where the program says nothing else and the recipe names none.
    """

    program: str
    identity: str
    name: str
    messages: list[Said] = field(default_factory=list)
    answering: str | None = None
    pause: float = USUAL_PAUSE


@dataclass
class Heard:
    """What was met in exports, for people.

    left: messages that are no text of a talk, by what they are. talks: conversations made of people's chats. used: the entries
    of ``assistant`` that were met in a ticket.
    """

    programs: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    people: bool = False
    used: set[str] = field(default_factory=set)

    def notes(self) -> list[str]:
        """What is told at the end of a build, a line each."""
        lines = [f"{counted(count, 'conversation')} of {program}" for program, count in self.programs.items()]
        lines += self.lines
        if self.left.total():
            listed = ", ".join(f"{what} ({count:,})" for what, count in self.left.most_common() if count)
            lines.append(f"left out of the conversations: {listed}")
        return lines


def inner_object(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under a key, an empty one where there is none."""
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def inner_list(value: Mapping[str, Any], key: str) -> list[Any]:
    """The list under a key, an empty one where there is none."""
    inner = value.get(key)
    return inner if isinstance(inner, list) else []


def word(value: Mapping[str, Any], key: str) -> str:
    """The name, the id or the text under a key; empty for anything that is none."""
    inner = value.get(key)
    if isinstance(inner, str):
        return inner
    return str(inner) if isinstance(inner, int | float) and not isinstance(inner, bool) else ""


def plain_name(name: object) -> str:
    """A name as names are compared."""
    return " ".join(str(name).split()).strip("\u200e\u200f\u202a\u202c~@ ").casefold()


def seconds_of(stamp: object) -> float | None:
    """Seconds since 1970 of an ISO stamp or a number of seconds or milliseconds; None for anything else."""
    if isinstance(stamp, bool) or stamp is None:
        return None
    try:
        number = float(stamp)  # type: ignore[arg-type]
        number = number / 1000 if number > _LATEST else number
        return number if 0 <= number <= _LATEST else None
    except (TypeError, ValueError):
        pass
    try:
        return datetime.fromisoformat(str(stamp).strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def listed_speakers(counts: Sequence[tuple[str, int]]) -> str:
    """Speakers with the number of their messages, the busiest first."""
    shown = ", ".join(f"{name} ({count:,})" for name, count in counts[:_SHOWN])
    return shown + (f" and {len(counts) - _SHOWN:,} others" if len(counts) > _SHOWN else "")
