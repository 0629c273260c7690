"""Steps that drop rows in which something is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict
from studio.data.verdicts import Drop


class DropEmpty(RowStep):
    """Conversations without turns, without a user's or an assistant's turn, or with an empty turn."""

    def __init__(self, turns: str = "drop_row") -> None:
        """``turns``: an empty turn drops the row (``drop_row``) or only itself (``drop_turn``)."""
        self._drop_turn = turns == "drop_turn"

    def judge(self, row: ChatRow) -> Verdict:
        """Drop, cut empty turns out, or keep."""
        if not row.messages:
            return Drop("no turns", "0 turns", "at least 2")
        empty = [index for index, message in enumerate(row.messages) if not message["content"].strip()]
        if empty and not self._drop_turn:
            return Drop("empty turn", f"turn {empty[0] + 1} ({row.messages[empty[0]]['role']})", "some text in every turn")
        messages = [message for message in row.messages if message["content"].strip()]
        if row.is_preference and not all(answer is None or answer.strip() for answer in (row.chosen, row.rejected)):
            return Drop("no answer", "an empty answer", "some text in every answer")
        wanted = [("user", "question"), *([] if row.is_preference else [("assistant", "answer")])]
        for role, noun in wanted:
            if not any(message["role"] == role for message in messages):
                return Drop(f"no {noun}", f"{len(messages)} turns, none by the {role}", f"a turn by the {role}")
        return replace(row, messages=messages) if empty else row


class Missing(RowStep):
    """Placeholders where text should be (``NaN``, ``N/A``), and columns without a value."""

    def __init__(self, values: Sequence[str] = (), fields: Sequence[str] = ()) -> None:
        """``values``: words that mean nothing, in any case; ``fields``: columns of ``meta`` that must hold something."""
        self._values = frozenset(value.strip().lower() for value in values)
        self._fields = tuple(fields)

    def judge(self, row: ChatRow) -> Verdict:
        """Drop or keep."""
        for index, message in enumerate(row.turns, start=1):
            content = message["content"].strip()
            if content.lower() in self._values:
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
