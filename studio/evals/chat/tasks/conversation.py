"""Held-out conversations: the same questions for every model, answers and likelihoods against the references."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_dataset
from studio.data.chat.rows import ChatRow, read_split
from studio.data.chat.turns import TEXT_ROLE, is_text
from studio.evals.chat.leaks import Leak, find_leak
from studio.evals.chat.questions import question_from
from studio.evals.chat.showing import example_table
from studio.evals.chat.slices import by_column, clusters_of
from studio.evals.chat.speech import by_language, language_remarks, languages_spoken
from studio.evals.evidence import Evidence, Question
from studio.evals.metrics.base import Metric
from studio.evals.scoring import differences, most_changed, score, without_value
from studio.evals.subjects import Subject
from studio.evals.suites import metric as metric_named
from studio.evals.task import Card, CardGroup, Part, TaskContext, TaskResult
from studio.schema.tasks import ConversationTask, SuiteData

# Metrics that say most about a single free answer, the best first.
_COMPARE_BY = ("rougeL", "chrf", "bleu", "rouge1", "exact_match", "perplexity")


# Characters of a raw text that its card shows.
_TEXT_SHOWN = 600


def run(context: TaskContext[ConversationTask]) -> TaskResult:
    """Ask all models the held-out rows and score what they say.

    Raises:
        UserError: the dataset or split does not exist, or its rows were trained on.
    """
    task = context.task
    folder = context.dataset_folder(task.data.dataset)
    rows, leak, warnings = choose_rows(folder, task.data, context.run, context.workspace, task.limit, context.seed)
    questions = [question_from(row.id, row.messages, row.tools) for row in rows]
    clusters = clusters_of(rows, task.cluster)
    wanted = [metric_named(name).configured(task).for_texts([Evidence(item) for item in questions]) for name in task.metrics]
    metrics = [metric for metric in wanted if metric.missing is None]
    evidence: dict[str, list[Evidence]] = {}
    tokens_like = set()
    for label in context.labels:
        with context.subject(label) as subject:
            evidence[label] = gather(subject, questions, context, metrics)
            tokens_like.add(subject.tokens_like)
    warnings += _remarks(evidence, len(rows)) + language_remarks(evidence)
    measured = {label: {metric.key: metric.measure(items) for metric in metrics} for label, items in evidence.items()}
    scores = {
        label: [
            score(metric, values[metric.key], resamples=context.resamples, seed=context.seed, clusters=clusters)
            if metric.missing is None
            else without_value(metric, metric.missing, len(rows))
            for metric in wanted
        ]
        for label, values in measured.items()
    }
    lines = example_table(evidence, measured)
    dataset = read_dataset(folder)
    return TaskResult(
        scores=scores,
        differences=differences(
            {metric.key: metric for metric in metrics},
            measured,
            resamples=context.resamples,
            seed=context.seed,
            same_tokens=len(tokens_like) == 1,
            clusters=clusters,
        ),
        examples=pd.DataFrame(lines),
        groups=[
            *by_language(metrics, evidence, context, clusters),
            *by_column(task.slices, rows, metrics, evidence, context, clusters),
        ],
        notes=warnings,
        limits=_limits(metrics, len(rows)),
        cards=_cards(lines, choose_comparison(task, metrics), task.examples_shown, context.has_base),
        data={
            "path": str(folder),
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "split": task.data.split,
            "rows": len(rows),
            "rows_in_split": dataset.splits[task.data.split],
            "trained_on": len(leak.rows),
            "questions_trained_on": leak.questions,
            "languages": languages_spoken(evidence),
        },
        rows=len(rows),
        title="Held-out texts" if all(row.is_text for row in rows) else "Answers to held-out questions",
    )


def choose_rows(
    folder: Path, data: SuiteData, run: RunRecord | None, workspace: Workspace, limit: int | None, seed: int
) -> tuple[list[ChatRow], Leak, list[str]]:
    """The rows to ask, what of them was trained on, and what the reader must be warned of.

    Raises:
        UserError: there are no rows, or rows were trained on and the suite does not allow it.
    """
    rows = read_split(folder, data.split)
    if not rows:
        raise UserError(
            f"the split '{data.split}' of the dataset {folder.parent.name} has no rows. "
            "Choose another with --set data.split=validation, or build the dataset with a larger share for it."
        )
    leak = find_leak(rows, folder, run, workspace)
    warnings: list[str] = []
    if leak.checked is not None:
        warnings.append(f"Whether these rows were trained on could not be checked: {leak.checked}")
    if leak.rows and data.training_rows == "refuse":
        raise UserError(
            f"{len(leak.rows)} of {len(rows)} rows of the split '{data.split}' were in this run's training data (the "
            f"first: {rows[leak.rows[0]].id}), so the scores would say nothing about new questions. Choose another split or "
            "dataset, or --set data.training_rows=drop (leave them out) or keep (measure them anyway)."
        )
    if leak.rows and data.training_rows == "drop":
        warnings.append(f"{len(leak.rows)} of {len(rows)} rows were left out because they were in the training data.")
        rows = [row for index, row in enumerate(rows) if index not in set(leak.rows)]
        if not rows:
            raise UserError(f"every row of the split '{data.split}' was in the training data; none is left to ask.")
    elif leak.rows:
        warnings.append(
            f"{len(leak.rows)} of {len(rows)} rows WERE TRAINED ON. These scores show what was memorised, not how the model does "
            "on new questions."
        )
    if leak.questions:
        warnings.append(f"{leak.questions} rows ask a question that was also trained on, with another answer.")
    if data.split == "validation":
        warnings.append("The validation split chose the best checkpoint of training, so its scores are a little flattering.")
    if limit is not None and limit < len(rows):
        chosen = sorted(random.Random(seed).sample(range(len(rows)), limit))
        rows = [rows[index] for index in chosen]
    return rows, leak, warnings


def gather(
    subject: Subject, questions: Sequence[Question], context: TaskContext[Any], metrics: Sequence[Metric]
) -> list[Evidence]:
    """Ask a model everything the metrics need; the seconds it took are added to its description."""
    needs = {metric.needs for metric in metrics}
    seconds: dict[str, float] = subject.about.setdefault("seconds", {})
    likelihoods: Sequence[Any] = [None] * len(questions)
    answers: Sequence[Any] = [None] * len(questions)
    tools = [question.tools for question in questions]
    if "likelihood" in needs:
        settings = context.task.likelihood
        with _timed(seconds, "likelihood"), context.bar(f"{subject.label}: likelihood", len(questions)) as advance:
            likelihoods = subject.likelihoods(
                [question.messages for question in questions],
                batch_size=settings.batch_size,
                max_length=settings.max_length,
                tools=tools,
                advance=advance,
            )
    if "answers" in needs:
        with _timed(seconds, "answers"):
            answers = context.answers(subject, [question.prompt for question in questions], tools)
    references = [subject.count_tokens(item.reference) if item.reference is not None else None for item in questions]
    return [Evidence(*parts) for parts in zip(questions, answers, likelihoods, references, strict=True)]


def choose_comparison(task: ConversationTask, metrics: Sequence[Metric]) -> Metric | None:
    """The metric that ranks examples: the task's choice, else the first suitable one."""
    by_key = {metric.key: metric for metric in metrics if metric.better != "neither"}
    names = [task.compare_by] if task.compare_by else [*_COMPARE_BY, *by_key]
    return next((by_key[name] for name in names if name in by_key), None)


def _remarks(evidence: dict[str, list[Evidence]], asked: int) -> list[str]:
    """What the reader should know about the evidence itself."""
    remarks = []
    raw = sum(is_text(item.question.messages) for item in next(iter(evidence.values())))
    if raw:
        remarks.append(f"{raw} of {asked} rows are raw text: they have a likelihood, and nothing is asked of them.")
    calling = sum(bool(item.question.calls) and item.question.reference is None for item in next(iter(evidence.values())))
    if calling:
        remarks.append(
            f"The reference of {calling} of {asked} rows only calls a tool, so there is no text to compare; the task tool_calls "
            "measures calls."
        )
    for label, items in evidence.items():
        cut = sum(bool(item.likelihood and item.likelihood.cut) for item in items)
        if cut:
            remarks.append(f"{label}: {cut} of {asked} rows were longer than the limit and scored up to it.")
        if any(item.answer for item in items):
            unanswered = sum(item.answer is None for item in items)
            if unanswered:
                remarks.append(
                    f"{label}: {unanswered} of {asked} rows could not be asked (no question, or no room in the context)."
                )
    if asked < 30:
        remarks.append(f"Only {asked} rows were asked: intervals from so few are wide, and small differences cannot be seen.")
    return remarks


def _limits(metrics: Sequence[Metric], count: int) -> list[str]:
    """What the numbers do not show, as far as it follows from how they were made."""
    found = [
        f"The intervals say how far the numbers would move with other questions of the same kind ({count} were asked). They do "
        "not cover another training seed, other wording of the prompts, or questions from elsewhere.",
    ]
    if any(metric.needs == "answers" for metric in metrics):
        found.append(
            "Overlap with one reference answer is not truth: a correct answer in other words scores low, and a wrong one with "
            "the right words scores high. Read the examples."
        )
    if any(metric.key == "perplexity" for metric in metrics):
        found.append("Perplexity shows how expected the reference answers are, not whether the model would write them.")
    return found


def _cards(lines: Sequence[dict[str, Any]], compared: Metric | None, count: int, has_base: bool) -> list[CardGroup]:
    """The most changed examples and the worst; the first ones where nothing ranks them."""
    improved, worsened = most_changed(lines, compared, count) if compared and has_base else ([], [])
    groups = []
    if compared:
        for title, places in (("Most improved", improved), ("Most worsened", worsened)):
            if places:
                groups.append(CardGroup(f"{title}, by {compared.title}", [_card(lines[place], compared) for place in places]))
        worst = _worst(lines, compared, count)
        if worst:
            groups.append(CardGroup(f"Worst answers, by {compared.title}", [_card(lines[place], compared) for place in worst]))
    if not groups:
        groups.append(CardGroup("The first rows", [_card(line, compared) for line in lines[:count]]))
    return groups


def _worst(lines: Sequence[dict[str, Any]], compared: Metric, count: int) -> list[int]:
    """Places of the tuned model's lowest values (highest, where lower is better)."""
    sign = 1.0 if compared.better == "higher" else -1.0
    values = [
        (sign * line[f"tuned_{compared.key}"], place)
        for place, line in enumerate(lines)
        if line[f"tuned_{compared.key}"] is not None
    ]
    return [place for _, place in sorted(values)[:count]]


def _card(line: dict[str, Any], compared: Metric | None) -> Card:
    """One example: what was asked, what should come, what came."""
    from studio.evals.numbers import number

    parts = [Part(turn["role"], turn["content"]) for turn in line["prompt"]]
    if is_text(line["prompt"]):
        whole = line["prompt"][0]["content"]
        parts = [Part(TEXT_ROLE, whole if len(whole) <= _TEXT_SHOWN else f"{whole[:_TEXT_SHOWN].rstrip()} …")]
    else:
        parts.append(Part("reference answer", line["reference"] if line["reference"] is not None else "none"))
    sides = []
    for label in ("base", "tuned"):
        if f"{label}_answer" not in line:
            continue
        value = line.get(f"{label}_{compared.key}") if compared else None
        notes = [f"{compared.title} {number(value)}"] if compared and value is not None else []
        notes += ["stopped by the limit"] if line[f"{label}_stopped_by_limit"] else []
        said = [text for text in (line[f"{label}_answer"], line.get(f"{label}_calls")) if text]
        text = "\n".join(said) if said else line[f"{label}_answer"]
        sides.append(Part(label, text, " · ".join(notes), line.get(f"{label}_thought")))
    return Card(line["id"], parts, sides)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Write down how long a block took."""
    started = time.monotonic()
    yield
    seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - started, 2)
