"""A row of a Dataset in the one form that pages and terminals show, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from studio.data.boxes import Box

REMOVED = "removed"
"""The part of a Dataset that holds the rows that were dropped, beside its splits."""
_SHOWN = 140


@dataclass(frozen=True)
class Entry:
    """One row.

    turns: role and text, in order (a picture's caption is a turn of its own). facts: everything else, in words. reason: why it
    was removed, else empty. picture: opens the picture, None for rows without one. messages, tools: of a conversation, as they
    lie in the Dataset, for who judges or exports them. boxes: what lies where in the picture.
    """

    id: str
    turns: list[dict[str, str]]
    facts: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    picture: Callable[[], Image.Image] | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    boxes: tuple[Box, ...] = ()

    @property
    def text(self) -> str:
        """What a search looks through."""
        return "\n".join([self.id, *(turn["content"] for turn in self.turns), *self.facts.values(), self.reason]).casefold()

    @property
    def question(self) -> str:
        """The first thing asked, shortened."""
        return _short(next((turn["content"] for turn in self.turns if turn["role"] == "user"), ""))

    @property
    def answer(self) -> str:
        """The last thing answered, or a picture's caption, shortened."""
        spoken = [turn["content"] for turn in self.turns if turn["role"] not in {"user", "system"}]
        return _short(spoken[-1] if spoken else "")


def given(facts: dict[str, str | None]) -> dict[str, str]:
    """Facts that are there."""
    return {name: value for name, value in facts.items() if value}


def facts_of(meta: dict[str, Any]) -> dict[str, str]:
    """What the unused columns hold, as a person reads it: empty ones are left out, lists are written with commas."""
    there = {str(key): value for key, value in meta.items() if value not in (None, "", [], {})}
    return {key: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in there.items()}


def _short(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN].rstrip()} …"
