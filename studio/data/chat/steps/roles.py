"""The order of turns: an optional system turn, user and assistant in alternation, the assistant last, results after calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from studio.core.telling import counted
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict
from studio.data.chat.turns import Message, turn_text
from studio.data.verdicts import Drop

_ORDER = "system?, then user and assistant in turn (tools after a call), assistant last"
CUT = "turns_cut"
"""Key of ``meta`` under which the turns lie that were cut off."""


class Roles(RowStep):
    """Wrong order repaired, or the row dropped."""

    def __init__(self, action: str = "repair") -> None:
        """``action``: ``repair`` or ``drop``."""
        self._repair = action == "repair"

    def judge(self, row: ChatRow) -> Verdict:
        """Keep, repair or drop one row; turns that are cut off are kept in ``meta``. Raw text has no turns to be in order."""
        if row.is_text:
            return row
        # The answers of a preference follow its messages, so the order is judged with one answer at the end.
        answer: list[Message] = [{"role": "assistant", "content": ""}] if row.is_preference else []
        problem = disorder([*row.messages, *answer])
        if problem is None:
            return row
        if not self._repair:
            return Drop("wrong order of roles", problem, _ORDER)
        cut: list[Message] = []
        messages = put_in_order([*row.messages, *answer], cut)
        # Joined with the turn before it, the answer no longer follows a question of its own.
        if messages is None or (answer and messages[-1] != answer[0]) or disorder(messages) is not None:
            return Drop("nothing left in order", problem, _ORDER)
        meta = with_cut(row.meta, cut)
        return replace(row, messages=messages[: len(messages) - len(answer)], meta=meta)

    def tell(self, before: Sequence[ChatRow], after: Sequence[ChatRow]) -> list[str]:
        """How many turns were cut off, and where they are."""
        cut = newly_cut(before, after)
        if not cut:
            return []
        turns = [turn for row in cut for turn in row]
        size = sum(len(turn.partition(": ")[2]) for turn in turns)
        return [
            f"{counted(len(cut), 'row')} lost {counted(len(turns), 'turn')} beyond the first question or the last answer "
            f"({counted(size, 'character')}), kept in meta under {CUT!r}"
        ]


def with_cut(meta: dict[str, Any], cut: Sequence[Message]) -> dict[str, Any]:
    """``meta`` with turns that were cut added to those that were cut before."""
    return {**meta, CUT: [*meta.get(CUT, ()), *(f"{turn['role']}: {turn_text(turn)}" for turn in cut)]} if cut else meta


def newly_cut(before: Sequence[ChatRow], after: Sequence[ChatRow]) -> list[list[str]]:
    """What one step cut off, for each row that it cut something off."""
    cut = [row.meta.get(CUT, [])[len(old.meta.get(CUT, [])) :] for old, row in zip(before, after, strict=True)]
    return [turns for turns in cut if turns]


def disorder(messages: list[Message]) -> str | None:
    """What is wrong with the order of turns, or None."""
    roles = [message["role"] for message in messages]
    first = int(roles[:1] == ["system"])
    turns = messages[first:]
    if not turns:
        return "no turns"
    if turns[0]["role"] != "user":
        return f"starts with {turns[0]['role']}"
    for number, (before, after) in enumerate(pairwise(turns), start=2 + first):
        one, other = before["role"], after["role"]
        answers_call = one == "tool" or (one == "assistant" and before.get("tool_calls"))
        if other == "tool" and not answers_call:
            return f"tool without a call before it at turn {number}"
        if other == "system" or (one == other and one != "tool") or (one == "tool" and other == "user"):
            return f"{other} after {one} at turn {number}"
    if turns[-1]["role"] != "assistant":
        return f"ends with {turns[-1]['role']}"
    return None


def put_in_order(messages: list[Message], cut: list[Message] | None = None) -> list[Message] | None:
    """Join neighbouring turns of one role, move system text to the front, cut what hangs over at both ends.

    Args:
        cut: gets the turns that were cut.
    Returns:
        None when no question with an answer is left, or two turns cannot be joined.
    """
    cut = [] if cut is None else cut
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system" and message["content"].strip())
    turns: list[Message] = []
    for message in messages:
        if message["role"] == "system":
            continue
        if turns and turns[-1]["role"] == message["role"] != "tool":
            joined = _join(turns[-1], message)
            if joined is None:
                return None
            turns[-1] = joined
        elif turns or message["role"] == "user":
            turns.append(dict(message))
        else:
            cut.append(message)
    last = max((index for index, turn in enumerate(turns) if turn["role"] == "assistant"), default=-1)
    cut += turns[last + 1 :]
    turns = turns[: last + 1]
    if not turns:
        return None
    return [{"role": "system", "content": system}, *turns] if system else turns


def _join(first: Message, second: Message) -> Message | None:
    """Two neighbouring turns of one role as one; different speakers are named in it.

    Returns None where it would change what trains, or a call would lose its result.
    """
    if first.get("weight", 1) != second.get("weight", 1) or first.get("tool_calls"):
        return None
    texts = [first["content"], second["content"]]
    joined = {**first, **second}
    if first.get("name") != second.get("name"):
        texts = [f"{turn['name']}: {turn['content']}" if turn.get("name") else turn["content"] for turn in (first, second)]
        joined.pop("name")
    joined["content"] = "\n\n".join(texts) if all(texts) else "".join(texts)
    thoughts = [turn["reasoning_content"] for turn in (first, second) if turn.get("reasoning_content")]
    return joined | ({"reasoning_content": "\n\n".join(thoughts)} if thoughts else {})
