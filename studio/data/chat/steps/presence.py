"""Steps that drop rows in which something is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict
from studio.data.chat.turns import Message
from studio.data.text import is_blank
from studio.data.verdicts import Drop


class DropEmpty(RowStep):
    """Conversations without turns, without a user's or an assistant's turn, or with an empty turn."""

    def __init__(self, turns: str = "drop_row") -> None:
        """``turns``: an empty turn drops the row (``drop_row``) or only itself (``drop_turn``)."""
        self._drop_turn = turns == "drop_turn"

    def judge(self, row: ChatRow) -> Verdict:
        """Drop, cut empty turns out, or keep."""
        if row.is_text:
            return Drop("empty text", "no text", "some text") if is_empty(row.messages[0]) else row
        if not row.messages:
            return Drop("no turns", "0 turns", "at least 2")
        empty = [index for index, message in enumerate(row.messages) if is_empty(message)]
        if empty and not self._drop_turn:
            return Drop("empty turn", f"turn {empty[0] + 1} ({row.messages[empty[0]]['role']})", "some text in every turn")
        messages = [message for message in row.messages if not is_empty(message)]
        if row.is_preference and any(answer is not None and is_blank(answer) for answer in (row.chosen, row.rejected)):
            return Drop("no answer", "an empty answer", "some text in every answer")
        if row.chosen is not None and row.chosen.strip() == (row.rejected or "").strip():
            return Drop("no preference", "the chosen and the rejected answer are the same", "two different answers")
        wanted = [("user", "question"), *([] if row.is_preference else [("assistant", "answer")])]
        for role, noun in wanted:
            if not any(message["role"] == role for message in messages):
                return Drop(f"no {noun}", f"{len(messages)} turns, none by the {role}", f"a turn by the {role}")
        if not row.is_preference and all(turn.get("weight") == 0 for turn in messages if turn["role"] == "assistant"):
            return Drop("no answer that trains", "every answer has weight 0", "an answer with a weight")
        return replace(row, messages=messages) if empty else row


def is_empty(turn: Message) -> bool:
    """True for a turn that says nothing and calls nothing; a tool may give back nothing."""
    return turn["role"] != "tool" and not turn.get("tool_calls") and is_blank(turn["content"])


class Missing(RowStep):
    """Placeholders where text should be (``NaN``, ``N/A``), and columns without a value."""

    def __init__(self, values: Sequence[str] = (), fields: Sequence[str] = (), answers: Sequence[str] | None = None) -> None:
        """``values``: words that mean nothing, in any case; ``answers``: those that mean nothing as an answer (None: the same);
        ``fields``: columns of ``meta`` that must hold something.
        """
        self._values = frozenset(value.strip().lower() for value in values)
        self._answers = self._values if answers is None else frozenset(value.strip().lower() for value in answers)
        self._fields = tuple(fields)

    def judge(self, row: ChatRow) -> Verdict:
        """Drop or keep."""
        for index, message in enumerate(row.turns, start=1):
            content = message["content"].strip()
            nothing = self._values if message["role"] in {"system", "user"} else self._answers
            if message["role"] != "tool" and not message.get("tool_calls") and content.lower() in nothing:
                return Drop("placeholder instead of text", f"turn {index}: {content!r}", "some text")
        for name in self._fields:
            value = row.meta.get(name)
            if (
                value is None
                or (isinstance(value, float) and value != value)
                or str(value).strip().lower() in {"", *self._values}
            ):
                return Drop("missing value", f"{name}: {value!r}", f"a value in {name}")
        return row
