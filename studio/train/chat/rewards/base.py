"""What a reward is given and what it has to say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from studio.models.chat.answers import Answered
from studio.models.chat.rendering import Message
from studio.models.chat.thoughts import thought_of
from studio.schema.rewards import RewardSettings

S = TypeVar("S", bound=RewardSettings)


@dataclass(frozen=True)
class Task:
    """One row as a task.

    prompt: the turns up to where the assistant is to speak. reference: the assistant turn after them, None where the row ends
    before. tools: what may be called, as OpenAI writes it. meta: the row's other columns.
    """

    id: str
    prompt: Sequence[Message]
    reference: Message | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """One answer to a task: what it says, thinks and calls, its token ids with the end of turn, and whether it was cut off."""

    answered: Answered
    ids: Sequence[int]
    truncated: bool = False

    @property
    def said(self) -> str:
        """The text without thought and calls."""
        return self.answered.content


class Reward(ABC, Generic[S]):
    """One reward with its settings."""

    def __init__(self, settings: S) -> None:
        """Prepare what is the same for all answers.

        Raises:
            UserError: the settings ask for what cannot be.
        """
        self.settings = settings

    def missing(self, task: Task) -> str | None:  # noqa: ARG002 - most need nothing
        """What a row lacks to be judged, None where it can be; such rows are left out and named."""
        return None

    @abstractmethod
    def score(self, task: Task, attempt: Attempt) -> float:
        """Points of an answer, from 0 (nothing) to 1 (all)."""


def reference_text(task: Task, column: str | None) -> str | None:
    """The right answer of a row: that of a column, else what its last assistant turn says; None where there is none."""
    if column is not None:
        value = task.meta.get(column)
        return None if value is None or not str(value).strip() else str(value)
    if task.reference is None:
        return None
    said = thought_of(task.reference)[1]
    return said if said.strip() else None


def lacks_reference(task: Task, column: str | None) -> str | None:
    """The reason of a row without a right answer, None where there is one."""
    if reference_text(task, column) is not None:
        return None
    return f"no value in the column {column!r}" if column is not None else "no assistant turn at its end, with which to compare"


def text_after(text: str, mark: str | None, *, required: bool) -> str | None:
    """What follows the last place of a mark in a text; without the mark None where it is ``required``, else the whole text."""
    if mark is None:
        return text
    _, found, rest = text.rpartition(mark)
    return rest if found else None if required else text
