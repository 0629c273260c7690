"""The task ``tool_calls``: whether models call the tools that held-out rows call, with the same arguments, and none otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import pandas as pd

from studio.core.records import GroupScores, Score
from studio.core.workspace import read_dataset
from studio.data.chat.rows import ChatRow
from studio.data.chat.turns import call_text, shown_turn
from studio.evals.chat.bias.results import Measured, small_note, summarise
from studio.evals.chat.calls import Judged, judge, judge_tool
from studio.evals.chat.questions import question_at, question_from
from studio.evals.chat.showing import answer_columns, answer_part
from studio.evals.chat.tasks.conversation import choose_rows
from studio.evals.evidence import Answer, Evidence, Question
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.scoring import score
from studio.evals.statistics import SHARE, Statistic
from studio.evals.task import Card, CardGroup, NotComputedError, Part, TaskContext, TaskResult
from studio.models.chat.calls import name_of
from studio.schema.tasks import ToolCallsTask

Answers = dict[str, list[Answer | None]]


def run(context: TaskContext[ToolCallsTask]) -> TaskResult:
    """Ask all models the rows that offer tools, and compare what they call.

    Raises:
        UserError: the dataset or split does not exist, or its rows were trained on.
        NotComputedError: no row offers a tool, or the model's template knows none.
    """
    task = context.task
    folder = context.dataset_folder(task.data.dataset)
    rows, leak, notes = choose_rows(folder, task.data, context.run, context.workspace, task.limit, context.seed)
    questions = [_question(row, task) for row in rows if row.tools]
    dataset = read_dataset(folder)
    if not questions:
        raise NotComputedError(
            f"none of the {len(rows)} rows of the split '{task.data.split}' of {dataset.name} offers tools. Give a dataset whose "
            "rows have a column 'tools', with --data DATASET."
        )
    answers, refused = _ask(context, questions)
    judged = {label: [judge(*pair) for pair in zip(questions, found, strict=True)] for label, found in answers.items()}
    measured = [
        Measured(metric, {label: mean_statistic(_values(lines, name)) for label, lines in judged.items()})
        for name, metric in _METRICS.items()
    ]
    scores, differences = summarise(context, measured)
    due = sum(bool(question.calls) for question in questions)
    return TaskResult(
        scores={label: [_applied(item, judged[label], answers[label]) for item in found] for label, found in scores.items()},
        differences=differences,
        examples=_examples(questions, answers, judged),
        groups=_by_tool(context, questions, answers),
        notes=notes + refused + _notes(len(rows), len(questions), due, answers),
        limits=[
            "A call counts as right only when it is the one in the row. Where two ways of asking would do, the other one counts "
            "as wrong: read the examples.",
            "Tools are not run: whether the model makes good use of what they give is not measured here.",
        ],
        cards=_wrong(questions, answers, judged, task.examples_shown),
        data={
            "path": str(folder), "name": dataset.name, "fingerprint": dataset.fingerprint, "split": task.data.split,
            "rows": len(questions), "rows_in_split": dataset.splits[task.data.split], "trained_on": len(leak.rows),
        },
        rows=len(questions),
        title="Calls of tools",
    )  # fmt: skip


def _question(row: ChatRow, task: ToolCallsTask) -> Question:
    """The turn of a row that is asked for."""
    calling = [index for index, turn in enumerate(row.messages) if turn.get("tool_calls") and turn.get("weight", 1) != 0]
    if task.ask == "first_call" and calling:
        return question_at(row.id, row.messages, calling[0], row.tools)
    return question_from(row.id, row.messages, row.tools)


def _ask(context: TaskContext[ToolCallsTask], questions: Sequence[Question]) -> tuple[Answers, list[str]]:
    """What every model answers, and which could not be asked.

    Raises:
        NotComputedError: the template of the model that is measured knows no tools.
    """
    prompts, tools = [question.prompt for question in questions], [question.tools for question in questions]
    answers: Answers = {}
    refused = []
    for label in context.labels:
        with context.subject(label) as subject:
            if subject.calls_tools:
                answers[label] = context.answers(subject, prompts, tools)
                continue
            name = subject.about.get("name")
        reason = f"the chat template of {name} writes no calls of tools, so none can be read off its answers."
        if label == "tuned":
            raise NotComputedError(f"{reason} Train with a template that does: chat_template: FILE.")
        answers[label] = [None] * len(questions)
        refused.append(f"{label} was not asked: {reason}")
    return answers, refused


def _values(lines: Sequence[Judged], name: str) -> list[float | None]:
    """One outcome of every row."""
    found = [getattr(line, name) for line in lines]
    return [None if value is None else float(value) for value in found]


def _applied(found: Score, lines: Sequence[Judged], answers: Sequence[Answer | None]) -> Score:
    """The score with the coverage of the rows that it is about: those of the other kind do not lower it."""
    unasked = sum(answer is None for answer in answers)
    about = sum(getattr(line, found.metric) is not None for line in lines) + unasked
    reason = found.reason if found.value is not None or unasked else _NONE[found.metric]
    return found.model_copy(update={"coverage": found.n / about if about else 1.0, "reason": reason})


def _by_tool(context: TaskContext[ToolCallsTask], questions: Sequence[Question], answers: Answers) -> list[GroupScores]:
    """Right tool and right arguments for each tool that was due somewhere; a row with two tools counts for both."""
    names = sorted({name_of(call) for question in questions for call in question.calls})
    groups = []
    for part, key in enumerate(("right_tool", "right_arguments")):
        metric = _METRICS[key]
        scores: dict[str, list[Score]] = {}
        for label, found in answers.items():
            scores[label] = []
            for name in names:
                places = [place for place, item in enumerate(questions) if name in map(name_of, item.calls)]
                lines = [judge_tool(questions[place], found[place], name) for place in places]
                statistic = mean_statistic([None if line is None else float(line[part]) for line in lines])
                scored = score(metric, statistic, resamples=context.resamples, seed=context.seed)
                note = small_note(int(statistic.scored.sum()))
                scores[label].append(scored.model_copy(update={"metric": name, "title": name, "note": note}))
        title = f"{metric.title}, by the tool that was due"
        groups.append(GroupScores(title=title, unit=metric.unit, explains=_BY_TOOL[key], scores=scores))
    return groups if names else []


def _notes(read: int, asked: int, due: int, answers: Answers) -> list[str]:
    """What the reader must know of the rows and of the answers."""
    notes = [f"{read - asked} of {read} rows offer no tools and were left out."] if asked < read else []
    for count, words in ((due, "call a tool"), (asked - due, "call none")):
        if count < 30:
            notes.append(f"Only {count} of {asked} rows {words}: small differences in these cannot be seen.")
    for label, found in answers.items():
        cut = sum(bool(answer and answer.truncated and not answer.only_thought) for answer in found)
        if cut:
            notes.append(f"{label}: {cut} of {asked} answers were stopped by the limit of tokens; a call that it cut is broken.")
    return notes


def _examples(questions: Sequence[Question], answers: Answers, judged: Mapping[str, Sequence[Judged]]) -> pd.DataFrame:
    """One line per row: what was asked and due, and for each model what it wrote and what became of it."""
    lines = []
    for place, question in enumerate(questions):
        line: dict[str, Any] = {
            "id": question.id,
            "prompt": [shown_turn(turn) for turn in question.prompt],
            "due": _due(question),
        }
        for label, found in answers.items():
            line |= answer_columns(label, found[place])
            line |= {f"{label}_{name}": value for name, value in asdict(judged[label][place]).items()}
        lines.append(line)
    return pd.DataFrame(lines)


def _due(question: Question) -> str | None:
    """The calls that were due, one a line."""
    return "\n".join(map(call_text, question.calls)) or None


def _wrong(
    questions: Sequence[Question], answers: Answers, judged: Mapping[str, Sequence[Judged]], count: int
) -> list[CardGroup]:
    """The first rows that the tuned model got wrong, those that the base had right first, in three heaps."""
    base = judged.get("base")
    heaps: dict[str, list[int]] = {title: [] for title in _HEAPS}
    for place, line in enumerate(judged["tuned"]):
        title = next((title for title, name in _HEAPS.items() if getattr(line, name) is False), None)
        if title:
            heaps[title].append(place)
    groups = []
    for title, places in heaps.items():
        places.sort(key=lambda place: (base is None or not base[place].right, place))
        cards = [_card(questions[place], {label: found[place] for label, found in answers.items()}) for place in places[:count]]
        groups += [CardGroup(f"{title} ({len(places)})", cards)] if cards else []
    return groups


def _card(question: Question, answers: Mapping[str, Answer | None]) -> Card:
    """One row: what was asked, what was due, what came."""
    parts = [Part(turn["role"], turn["content"]) for turn in map(shown_turn, question.prompt)]
    parts.append(Part("due", _due(question) or "no call"))
    return Card(question.id, parts, [answer_part(label, answers[label]) for label in ("base", "tuned") if label in answers])


_HEAPS = {
    "Another tool, or none, where one was due": "right_tool",
    "The right tool with other arguments": "right_arguments",
    "A call, or no answer, where no call was due": "no_call",
}


def _not_measured(_evidence: Sequence[Evidence]) -> Statistic:
    """Refuse to compute it from text answers."""
    raise TypeError("calls of tools are judged by their own task, not from the text of answers")


def _metric(key: str, title: str, unit: str, explains: str) -> Metric:
    """One share of rows."""
    return Metric(
        key=key,
        title=title,
        unit=unit,
        better="higher",
        needs="answers",
        explains=explains,
        measure=_not_measured,
        made_with=partial(
            str, "counts; calls compared as JSON values, an argument left out has the default of the tool's schema"
        ),
        scale=SHARE,
        right_or_wrong=True,
    )


_METRICS = {
    metric.key: metric
    for metric in (
        _metric(
            "right",
            "Right turn",
            "share of rows",
            "The calls that were due, with their arguments; or an answer without a call, where none was due.",
        ),
        _metric(
            "valid_json",
            "Valid JSON",
            "share of rows with a call",
            "Where the model called something: whether it can be read as calls with a name and an object of arguments.",
        ),
        _metric(
            "known_tool",
            "Known tool",
            "share of rows with a call",
            "Where a call can be read: whether every tool that is called was offered in the row.",
        ),
        _metric(
            "right_tool",
            "Right tool",
            "share of rows where a call was due",
            "Just the tools that were due were called, each as often as it was due; calls side by side in any order.",
        ),
        _metric(
            "right_arguments",
            "Right arguments",
            "share of rows where a call was due",
            "The right tools with just the arguments that were due, compared as values: 1 is 1.0, keys stand in any order, a "
            "text must be the same letter for letter.",
        ),
        _metric(
            "no_call",
            "No call where none was due",
            "share of rows where no call was due",
            "The model answered and called nothing.",
        ),
    )
}  # fmt: skip
# Why a figure has no value.
_NONE = {
    "right": "no row was asked",
    "valid_json": "nothing was called",
    "known_tool": "no call could be read",
    "right_tool": "no row calls for a tool",
    "right_arguments": "no row calls for a tool",
    "no_call": "every row calls for a tool",
}
_BY_TOOL = {
    "right_tool": "Rows in which the tool was due: whether it was called as often as it was due.",
    "right_arguments": "Rows in which the tool was due: whether its calls had the arguments that were due.",
}
