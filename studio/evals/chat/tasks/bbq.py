"""The task ``bbq``: questions with three options, answered by likelihood or in words, by every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

import pandas as pd

from studio.core.files import sha256_file
from studio.evals.chat.bias import bbq
from studio.evals.chat.bias.bbq import (
    ACCURACY_AMBIGUOUS,
    ACCURACY_DISAMBIGUATED,
    BIAS_AMBIGUOUS,
    BIAS_DISAMBIGUATED,
    ORIGIN,
    UNPARSED,
    Answers,
    Item,
)
from studio.evals.chat.bias.bbq_targets import find_metadata
from studio.evals.chat.bias.results import Measured, ask_likelihoods, ask_questions, by_group, summarise, with_library
from studio.evals.chat.bias.sources import Found, find_benchmark
from studio.evals.evidence import scored_text
from studio.evals.task import Card, CardGroup, Part, TaskContext, TaskResult
from studio.schema.bias import BBQTask


def run(context: TaskContext[BBQTask]) -> TaskResult:
    """Measure with BBQ.

    Raises:
        NotComputedError: the questions are neither on this machine nor to be had from the Hub.
        DataError: a file is not what was published, or a category is not there.
    """
    task = context.task
    found = find_benchmark(task, ORIGIN, context.workspace)
    if found.folder:
        every = bbq.read_bbq(found.folder, task.categories)
    else:
        rows = [bbq.item_from_row(row, f"{task.hub}, row {place}") for place, row in enumerate(found.rows)]
        every = bbq.of_categories(bbq.with_targets(rows), task.categories, str(task.hub))
    items = _whole_blocks(context, every)
    answers, texts = _ask(context, items)
    measured = _measure(task, items, answers)
    scores, differences = summarise(context, [item for item, _ in measured])
    untold, unsure = sum(item.stereotyped is None for item in items), sum(item.unsure for item in items)
    notes = [f"{len(items)} of {len(every)} questions were asked, in whole blocks of a context's questions."]
    notes += [f"{untold} questions do not tell whom the stereotype is about and count for accuracy only."] if untold else []
    if unsure:
        notes.append(
            f"In {unsure} questions both people belong to the stereotyped group; the first counts as it, as in the authors' "
            "script."
        )
    way = "by likelihood: the option with the largest summed log-probability after 'Q: ... A:' is the answer"
    way = way if task.by == "likelihood" else "in the model's own words, from which the option is read by rule"
    return TaskResult(
        scores=scores,
        differences=differences,
        examples=_table(items, answers, texts),
        groups=[by_group(context, f"{item.metric.title}, by category", item, groups) for item, groups in measured if groups],
        notes=notes,
        limits=[
            "BBQ knows stereotypes of the United States, in English. Its two bias scores need a model that mostly answers: "
            "with an "
            "accuracy near one third the answers are guesses, and a bias score near 0 says nothing.",
            f"Answered {way}. A model may do otherwise when it is asked in another way.",
        ],
        cards=_cards(items, answers, task.examples_shown),
        data={**found.record, "questions": len(every), "answered_by": task.by, "targets": _targets(found)},
        rows=len(items),
        title="BBQ",
    )


def _targets(found: Found) -> str:
    """What told whom the stereotypes are about."""
    table = find_metadata(found.folder) if found.folder else None
    return f"{table.name}, sha256 {sha256_file(table)[:16]}" if table else "the options' tags"


def _whole_blocks(context: TaskContext[BBQTask], every: Sequence[Item]) -> list[Item]:
    """At most ``limit`` questions, as whole blocks: a context with and without the answer, asked both ways."""
    limit = context.task.limit
    if limit is None or limit >= len(every):
        return list(every)
    blocks = list(dict.fromkeys(item.block for item in every))
    per_block = max(1, len(every) // len(blocks))
    chosen = set(context.draw(blocks, max(1, limit // per_block)))
    return [item for item in every if item.block in chosen]


def _ask(context: TaskContext[BBQTask], items: Sequence[Item]) -> tuple[dict[str, Answers], dict[str, list[str | None]]]:
    """The option each model chose for each item, and what it wrote where it was asked to write."""
    if context.task.by == "likelihood":
        scored = ask_likelihoods(context, bbq.option_texts(items))
        return {label: bbq.likeliest(values) for label, values in scored.items()}, {}
    written = ask_questions(context, [bbq.question_prompt(item) for item in items])
    answers: dict[str, Answers] = {
        label: [
            None if (text := scored_text(answer)) is None else bbq.parse_answer(text, item)
            for item, answer in zip(items, values, strict=True)
        ]
        for label, values in written.items()
    }
    return answers, {label: [scored_text(answer) for answer in values] for label, values in written.items()}


def _measure(task: BBQTask, items: Sequence[Item], answers: Mapping[str, Answers]) -> list[tuple[Measured, list[str]]]:
    """Every metric with the category of each of its examples; no groups for the share of unparsed answers."""
    made_with = f"torch {version('torch')}, answers in words, read by rule" if task.by == "answer" else None
    measured = []
    for metric, make, ambiguous in (
        (BIAS_AMBIGUOUS, bbq.bias_ambiguous, True),
        (BIAS_DISAMBIGUATED, bbq.bias_disambiguated, False),
        (ACCURACY_AMBIGUOUS, bbq.accuracy, True),
        (ACCURACY_DISAMBIGUATED, bbq.accuracy, False),
    ):
        places = [place for place, item in enumerate(items) if item.ambiguous == ambiguous]
        chosen = [items[place] for place in places]
        statistics = {label: make(chosen, [values[place] for place in places]) for label, values in answers.items()}
        templates = [item.template for item in chosen]
        measured.append((Measured(with_library(metric, made_with), statistics, templates), [item.part for item in chosen]))
    if task.by == "answer":
        shares = {label: bbq.unparsed(values) for label, values in answers.items()}
        measured.append((Measured(with_library(UNPARSED, made_with), shares, [item.template for item in items]), []))
    return measured


def _table(items: Sequence[Item], answers: Mapping[str, Answers], texts: Mapping[str, Sequence[str | None]]) -> pd.DataFrame:
    """One line per question."""
    columns: dict[str, list[object]] = {
        "id": [f"{item.category}.{item.id}" for item in items],
        "category": [item.category for item in items],
        "condition": ["ambiguous" if item.ambiguous else "disambiguated" for item in items],
        "polarity": ["negative" if item.negative else "non-negative" for item in items],
        "context": [item.context for item in items],
        "question": [item.question for item in items],
        "options": [list(item.options) for item in items],
        "right": [item.options[item.label] for item in items],
        "biased": [None if item.biased is None else item.options[item.biased] for item in items],
    }
    for label, values in answers.items():
        columns[f"{label}_choice"] = [
            None if answer is None else item.options[answer] for item, answer in zip(items, values, strict=True)
        ]
        if label in texts:
            columns[f"{label}_answer"] = list(texts[label])
    return pd.DataFrame(columns)


def _cards(items: Sequence[Item], answers: Mapping[str, Answers], count: int) -> list[CardGroup]:
    """Biased answers of the tuned model where the context does not say, those that the base does not give first."""
    biased = [
        index
        for index, (item, answer) in enumerate(zip(items, answers["tuned"], strict=True))
        if item.ambiguous and answer is not None and answer == item.biased
    ]
    base = answers.get("base")
    ranked = sorted(biased, key=lambda index: base is not None and base[index] == items[index].biased)
    cards = []
    for index in ranked[:count]:
        item = items[index]
        sides = [
            Part(label, "not parsed" if (choice := values[index]) is None else item.options[choice])
            for label, values in answers.items()
        ]
        parts = [Part("context", item.context), Part("question", item.question, f"right: {item.options[item.label]}")]
        cards.append(Card(f"{item.category}.{item.id}", parts, sides))
    return [CardGroup("Biased answers where the context does not say", cards)]
