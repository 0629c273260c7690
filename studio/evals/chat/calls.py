"""Calls of tools against those that were due: names and arguments are compared (:mod:`studio.models.chat.calls`)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from studio.evals.evidence import Answer, Question
from studio.models.chat.calls import name_of, same_calls


@dataclass(frozen=True)
class Judged:
    """What became of one row. Each is None where the row says nothing about it.

    valid_json: what was called can be read. known_tool: it was offered. right_tool: just the tools that were due were called.
    right_arguments: with just the arguments that were due. no_call: an answer came without a call where none was due.
    right: the last two in one.
    """

    valid_json: bool | None = None
    known_tool: bool | None = None
    right_tool: bool | None = None
    right_arguments: bool | None = None
    no_call: bool | None = None
    right: bool | None = None


def judge(question: Question, answer: Answer | None) -> Judged:
    """Compare the calls of an answer with those that the row holds. Calls side by side may come in any order.

    An answer that is empty or never got beyond its thought has called nothing and said nothing, and is wrong either way.
    """
    if answer is None:
        return Judged()
    made, broken = answer.tool_calls, answer.broken_calls
    offered = {name_of(tool) for tool in question.tools}
    tool = Counter(map(name_of, made)) == Counter(map(name_of, question.calls)) and not broken
    arguments = tool and same_calls(made, question.calls, question.tools)
    quiet = not made and not broken and not answer.only_thought and not answer.empty
    return Judged(
        valid_json=not broken if made or broken else None,
        known_tool=all(name_of(call) in offered for call in made) if made else None,
        right_tool=tool if question.calls else None,
        right_arguments=arguments if question.calls else None,
        no_call=None if question.calls else quiet,
        right=arguments if question.calls else quiet,
    )


def judge_tool(question: Question, answer: Answer | None, name: str) -> tuple[bool, bool] | None:
    """The same for one tool that was due: called as often as it should be, and with the right arguments."""
    if answer is None:
        return None
    made, due = ([call for call in calls if name_of(call) == name] for calls in (answer.tool_calls, question.calls))
    return len(made) == len(due), same_calls(made, due, question.tools)
