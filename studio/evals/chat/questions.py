"""From rows of conversations to questions: what is asked, and what the row says there."""

from __future__ import annotations

from collections.abc import Sequence

from studio.evals.evidence import Message, Question, Tool
from studio.models.chat.thoughts import without_thought


def question_from(row_id: str, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> Question:
    """Split a conversation before its last assistant turn; what follows that turn is not asked.

    A turn of weight 0 is no example of an answer and is passed over.
    """
    turns = [index for index, turn in enumerate(messages) if turn["role"] == "assistant" and turn.get("weight", 1) != 0]
    return question_at(row_id, messages, turns[-1] if turns else None, tools)


def question_at(row_id: str, messages: Sequence[Message], index: int | None, tools: Sequence[Tool] = ()) -> Question:
    """Split a conversation before the assistant turn at ``index``; None where it has none."""
    if index is None:
        return Question(row_id, messages, (), None, tools)
    turn = without_thought(messages[index])
    calls = turn.get("tool_calls") or ()
    reference = None if calls and not turn["content"].strip() else turn["content"]
    return Question(row_id, messages, messages[:index], reference, tools, calls)
