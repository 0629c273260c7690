"""The order of turns: an optional system turn, then user and assistant in alternation, the assistant last."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict
from studio.data.verdicts import Drop

_ORDER = "system?, then user and assistant in turn, assistant last"


class Roles(RowStep):
    """Wrong order repaired, or the row dropped."""

    def __init__(self, action: str = "repair") -> None:
        """``action``: ``repair`` or ``drop``."""
        self._repair = action == "repair"

    def judge(self, row: ChatRow) -> Verdict:
        """Keep, repair or drop one row."""
        # The answers of a preference follow its messages, so the order is judged with one answer at the end.
        answer = [{"role": "assistant", "content": ""}] if row.is_preference else []
        problem = disorder([*row.messages, *answer])
        if problem is None:
            return row
        if not self._repair:
            return Drop("wrong order of roles", problem, _ORDER)
        messages = put_in_order([*row.messages, *answer])
        # Joined with the turn before it, the answer no longer follows a question of its own.
        if messages is None or (answer and messages[-1] != answer[0]):
            return Drop("nothing left in order", problem, _ORDER)
        return replace(row, messages=messages[: len(messages) - len(answer)])


def disorder(messages: list[dict[str, str]]) -> str | None:
    """What is wrong with the order of turns, or None."""
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns:
        return "no turns"
    if turns[0] != "user":
        return f"starts with {turns[0]}"
    for number, (before, after) in enumerate(pairwise(turns), start=2):
        if before == after or after == "system":
            return f"{after} after {before} at turn {number + len(roles) - len(turns)}"
    if turns[-1] != "assistant":
        return f"ends with {turns[-1]}"
    return None


def put_in_order(messages: list[dict[str, str]]) -> list[dict[str, str]] | None:
    """Join neighbouring turns of one role, move system text to the front, cut what hangs over at both ends.

    Returns None when no question with an answer is left.
    """
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system" and message["content"].strip())
    turns: list[dict[str, str]] = []
    for message in messages:
        if message["role"] == "system":
            continue
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1] = {"role": message["role"], "content": f"{turns[-1]['content']}\n\n{message['content']}"}
        elif turns or message["role"] == "user":
            turns.append({"role": message["role"], "content": message["content"]})
    if turns and turns[-1]["role"] == "user":
        turns.pop()
    if not turns:
        return None
    return [{"role": "system", "content": system}, *turns] if system else turns
