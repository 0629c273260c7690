"""What was asked and answered, for tables of examples and for cards on the page: text, thought and calls apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.chat.turns import call_text, is_text, shown_turn
from studio.evals.evidence import Answer, Evidence, scored_text
from studio.evals.statistics import Statistic
from studio.evals.task import Part


def example_table(
    evidence: Mapping[str, Sequence[Evidence]], measured: Mapping[str, Mapping[str, Statistic]]
) -> list[dict[str, Any]]:
    """One line per question: prompt, reference, and for each model its answer and its value of each metric.

    Args:
        evidence: model label to evidence, all on the same questions.
        measured: model label to metric key to statistic.
    """
    questions = [item.question for item in next(iter(evidence.values()))]
    lines: list[dict[str, Any]] = []
    for index, question in enumerate(questions):
        asked = question.messages if is_text(question.messages) else question.prompt
        line: dict[str, Any] = {"id": question.id, "prompt": [shown_turn(turn) for turn in asked]}
        line["reference"] = question.reference
        for label, items in evidence.items():
            line |= answer_columns(label, items[index].answer)
        for label, statistics in measured.items():
            for key, statistic in statistics.items():
                line[f"{label}_{key}"] = statistic.each[index]
        lines.append(line)
    return _without_empty(lines, [f"{label}_{name}" for label in evidence for name in ("thought", "calls")])


def _without_empty(lines: list[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """The lines without those columns in which nothing stands: most models have no thoughts and call nothing."""
    empty = [name for name in names if all(line[name] is None for line in lines)]
    return [{name: value for name, value in line.items() if name not in empty} for line in lines]


def answer_columns(label: str, answer: Answer | None) -> dict[str, Any]:
    """What a model wrote, for a table of examples: text, thought and calls apart, and whether the limit stopped it."""
    return {
        f"{label}_answer": scored_text(answer),
        f"{label}_thought": answer.thought if answer else None,
        f"{label}_calls": calls_text(answer) if answer else None,
        f"{label}_stopped_by_limit": answer.truncated if answer else None,
    }


def answer_part(label: str, answer: Answer | None, note: str = "") -> Part:
    """What a model wrote, for a card: what it says and calls, with its thought apart."""
    if answer is None:
        return Part(label, None, note)
    parts = [text for text in (scored_text(answer), calls_text(answer)) if text]
    return Part(label, None if answer.only_thought else "\n".join(parts), note, answer.thought)


def calls_text(answer: Answer) -> str | None:
    """The calls of an answer, one a line, those that cannot be read as they were written; None where there are none."""
    lines = [call_text(call) for call in answer.tool_calls] + answer.broken_calls
    return "\n".join(lines) or None
