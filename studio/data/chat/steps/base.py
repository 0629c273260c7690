"""What a cleaning step is: something that judges rows and says why."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from studio.data.chat.rows import ChatRow
from studio.data.chat.turns import Message
from studio.data.chat.turns import with_texts as changed_texts
from studio.data.verdicts import Drop
from studio.data.workers import Workers

Verdict = ChatRow | Drop


class RowStep(ABC):
    """A step that looks at one row at a time, so that rows can be judged in several processes.

    ``judge`` returns the very same object for a row it leaves alone, a new row for a changed one, or a Drop. The object
    must be picklable and hold settings only.
    """

    @abstractmethod
    def judge(self, row: ChatRow) -> Verdict:
        """Keep, change or drop one row."""

    def tell(self, before: Sequence[ChatRow], after: Sequence[ChatRow]) -> list[str]:  # noqa: ARG002 - for steps that take away
        """What a person should know of the rows that were changed, in lines."""
        return []

    def tell_removed(self, rows: Sequence[ChatRow]) -> list[str]:  # noqa: ARG002 - for steps whose reasons do not say it all
        """What a person should know of the rows that were dropped, in lines."""
        return []

    def removed_form(self, row: ChatRow) -> ChatRow:
        """A dropped row as it is kept among the removed ones."""
        return row


class CorpusStep(ABC):
    """A step that needs to see all rows at once."""

    notes: tuple[str, ...] = ()
    """What a person should know about the last judgement (a cap that was reached)."""
    box: dict[str, Any] | None = None
    """What a box plot in the report shows of the last judgement; None draws none."""
    crew: Workers | None = None
    """Processes that may help; None where there are none."""

    @abstractmethod
    def judge_all(self, rows: Sequence[ChatRow]) -> Sequence[Verdict | None]:
        """One verdict per row, in order; None for one that stays, because not all rows may be in memory."""


def with_texts(row: ChatRow, change: Callable[[str], str]) -> ChatRow:
    """The row with a function applied to its texts: contents, thoughts, the answers of a preference. The row itself when none
    differs; calls of tools stay as they are.
    """
    return with_turns(row, [changed_texts(turn, change) for turn in row.turns])


def with_turns(row: ChatRow, changed: Sequence[Message]) -> ChatRow:
    """The row with other turns (those of a preference's answers among them), or the row itself when none differs."""
    if changed == row.turns:
        return row
    answers = {turn["role"]: turn["content"] for turn in changed[len(row.messages) :]}
    return replace(
        row, messages=list(changed[: len(row.messages)]), chosen=answers.get("chosen"), rejected=answers.get("rejected")
    )
