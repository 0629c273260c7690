"""What a cleaning step is: something that judges rows and says why."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from studio.data.chat.rows import ChatRow
from studio.data.verdicts import Drop

Verdict = ChatRow | Drop


class RowStep(ABC):
    """A step that looks at one row at a time, so that rows can be judged in several processes.

    ``judge`` returns the very same object for a row it leaves alone, a new row for a changed one, or a Drop. The object
    must be picklable and hold settings only.
    """

    @abstractmethod
    def judge(self, row: ChatRow) -> Verdict:
        """Keep, change or drop one row."""


class CorpusStep(ABC):
    """A step that needs to see all rows at once."""

    notes: tuple[str, ...] = ()
    """What a person should know about the last judgement (a cap that was reached)."""

    @abstractmethod
    def judge_all(self, rows: Sequence[ChatRow]) -> list[Verdict]:
        """One verdict per row, in order."""


def with_contents(row: ChatRow, contents: Sequence[str]) -> ChatRow:
    """The row with new texts for its turns (the answers of a preference are among them), or the row itself when none differs."""
    turns = row.turns
    if all(turn["content"] == content for turn, content in zip(turns, contents, strict=True)):
        return row
    changed = [{"role": turn["role"], "content": content} for turn, content in zip(turns, contents, strict=True)]
    answers = {turn["role"]: turn["content"] for turn in changed[len(row.messages) :]}
    return replace(row, messages=changed[: len(row.messages)], chosen=answers.get("chosen"), rejected=answers.get("rejected"))
