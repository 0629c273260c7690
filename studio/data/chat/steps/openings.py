"""The step that takes off what assistants put before their answers, by the lists of :mod:`studio.language.lists`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict
from studio.data.chat.turns import Message
from studio.data.verdicts import Drop
from studio.language.lists import LISTS

# An answer begins with so many of them at most; more are told, not cut on and on.
_MOST = 4
_TOLD = 5


class Boilerplate(RowStep):
    """Openings cut off answers, or the row dropped. An answer that is nothing else stays as it is."""

    def __init__(self, action: str = "cut", languages: Sequence[str] = tuple(LISTS)) -> None:
        """See :class:`studio.schema.chat_cleaning.BoilerplateStep`."""
        self._drop, self._languages = action == "drop", tuple(languages)

    def judge(self, row: ChatRow) -> Verdict:
        """Keep, cut or drop one row."""
        openings = self._openings(row)
        if not any(openings):
            return row
        if self._drop:
            return Drop("boilerplate opening", next(filter(None, openings)).strip(), "an answer that begins with itself")
        turns = [_without(turn, opening) for turn, opening in zip(row.turns, openings, strict=True)]
        answers = {turn["role"]: turn["content"] for turn in turns[len(row.messages) :]}
        return replace(row, messages=turns[: len(row.messages)], chosen=answers.get("chosen"), rejected=answers.get("rejected"))

    def tell(self, before: Sequence[ChatRow], after: Sequence[ChatRow]) -> list[str]:  # noqa: ARG002 - before says it
        """What was cut, the most frequent first."""
        cut = Counter(" ".join(opening.split()) for row in before for opening in self._openings(row) if opening)
        if not cut:
            return []
        shown = ", ".join(f"{opening!r} ({count:,})" for opening, count in cut.most_common(_TOLD))
        return [
            f"{cut.total():,} answer{'s' if cut.total() != 1 else ''} lost an opening: {shown}{' …' if len(cut) > _TOLD else ''}"
        ]

    def _openings(self, row: ChatRow) -> list[str]:
        """What each turn begins with and could leave out; empty for turns that are no answer."""
        spoken = {"assistant", "chosen", "rejected"}
        return [self._opening(turn["content"]) if turn["role"] in spoken else "" for turn in row.turns]

    def _opening(self, text: str) -> str:
        """The opening of one answer, with the blanks around it; empty where nothing would be left."""
        end = 0
        for _ in range(_MOST):
            found = _patterns(self._languages).match(text, end)
            if found is None:
                break
            end = found.end()
        return text[:end] if end and text[end:].strip() else ""


def _without(turn: Message, opening: str) -> Message:
    """A turn without its opening, its first letter large."""
    if not opening:
        return turn
    rest = turn["content"][len(opening) :]
    return {**turn, "content": rest[:1].upper() + rest[1:]}


@cache
def _patterns(languages: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern for the openings of some languages, with blanks around."""
    phrases = "|".join(phrase for code in languages for phrase in LISTS[code].openings).replace("'", "['’]")
    return re.compile(rf"\s*(?:{phrases})\s*", re.IGNORECASE)
