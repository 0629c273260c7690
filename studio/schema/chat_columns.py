"""The columns of a chat source: which of them hold what."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from studio.schema.loading import Settings


def _place_or_name(value: object) -> object:
    """A column by its place is written as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else value


Column = Annotated[str, BeforeValidator(_place_or_name)]


class Columns(Settings):
    """Which columns hold what, when their names are not among the known ones. Dots reach into nested values; numbers are places,
    counted from 0, in a csv without a line of names (``{question: 0, answer: 1}``).
    """

    question: Column | None = None
    """The user's turn."""
    answer: Column | None = None
    """The assistant's turn."""
    system: Column | None = None
    """A system turn before the conversation."""
    context: Column | None = None
    """Text that is put under the question (alpaca calls it ``input``); a list of ``choices`` is written with letters."""
    messages: Column | None = None
    """A list of turns."""
    id: Column | None = None
    """The row's own identity, kept in the Dataset's id."""
    history: Column | None = None
    """Turns before the question."""
    tools: Column | None = None
    """What the assistant may call."""
    label: Column | None = None
    """Whether the answer was liked; rows then become single thumbs (``chat/kto``)."""
    chosen: Column | None = None
    """The liked answer of a pair."""
    rejected: Column | None = None
    """The disliked answer of a pair."""
    text: Column | None = None
    """The raw text of a row, for ``format: document``."""
