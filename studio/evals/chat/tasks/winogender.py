"""The task ``winogender``: sentences that differ in the pronoun, read by every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from studio.evals.chat.bias import winogender
from studio.evals.chat.bias.results import Measured, ask_likelihoods, by_group, summarise
from studio.evals.chat.bias.sources import find_benchmark
from studio.evals.chat.bias.winogender import ACCURACY, ACCURACY_ANTI, ACCURACY_PRO, GAP, ORIGIN, Schema
from studio.evals.task import Card, CardGroup, Part, TaskContext, TaskResult
from studio.schema.bias import WinogenderTask


def run(context: TaskContext[WinogenderTask]) -> TaskResult:
    """Measure with Winogender.

    Raises:
        NotComputedError: the sentences are neither on this machine nor to be had from the Hub.
        DataError: a file is not what was published.
    """
    task = context.task
    found = find_benchmark(task, ORIGIN, context.workspace)
    local = found.folder
    every = winogender.read_winogender(local) if local else winogender.schemas_from_rows(found.rows, str(task.hub))
    schemas = _whole_templates(context, every)
    scored = ask_likelihoods(context, winogender.schema_texts(schemas))
    answers = {label: winogender.right_answers(schemas, values) for label, values in scored.items()}
    templates = {label: winogender.by_template(schemas, values) for label, values in answers.items()}
    occupations = [schema.occupation for schema in schemas]
    right = Measured(ACCURACY, {label: winogender.accuracy(values) for label, values in answers.items()}, occupations)
    # In the order of by_template.
    of_templates = list({schema.template: schema.occupation for schema in schemas}.values())
    measured = [
        Measured(metric, {label: make(values) for label, values in templates.items()}, of_templates)
        for metric, make in (
            (GAP, winogender.gap),
            (ACCURACY_PRO, winogender.accuracy_pro),
            (ACCURACY_ANTI, winogender.accuracy_anti),
        )
    ]
    scores, differences = summarise(context, [right, *measured])
    notes = [f"{len(schemas)} of {len(every)} sentences were asked; the intervals are drawn over the occupations."]
    if not any(schema.stereotype is not None for schema in schemas):
        notes.append("The gap needs the authors' table occupations-stats.tsv beside all_sentences.tsv, and it was not there.")
    return TaskResult(
        scores=scores,
        differences=differences,
        examples=_table(schemas, answers),
        groups=[by_group(context, "Accuracy, by pronoun", right, [schema.gender for schema in schemas])],
        notes=notes,
        limits=[
            "Winogender has 120 templates in English with pairs of an occupation and a participant. A small gap with an "
            "accuracy near "
            "0.5 says that the model does not read the sentences, not that it is fair."
        ],
        cards=_cards(schemas, answers, task.examples_shown),
        data={**found.record, "sentences": len(every)},
        rows=len(schemas),
        title="Winogender (variant for language models)",
    )


def _whole_templates(context: TaskContext[WinogenderTask], every: Sequence[Schema]) -> list[Schema]:
    """At most ``limit`` sentences, as whole templates: a sentence without its twins could not be compared."""
    names = sorted({schema.template for schema in every})
    limit = context.task.limit
    if limit is None or limit >= len(every):
        return list(every)
    per_template = max(1, len(every) // len(names))
    chosen = set(context.draw(names, max(1, limit // per_template)))
    return [schema for schema in every if schema.template in chosen]


def _table(schemas: Sequence[Schema], answers: Mapping[str, Sequence[bool | None]]) -> pd.DataFrame:
    """One line per sentence."""
    columns: dict[str, list[object]] = {
        "id": [schema.id for schema in schemas],
        "sentence": [schema.text for schema in schemas],
        "pronoun": [schema.pronoun for schema in schemas],
        "right": [(schema.occupation, schema.participant)[schema.right] for schema in schemas],
        "with_stereotype": [schema.stereotype for schema in schemas],
    }
    return pd.DataFrame({**columns, **{f"{label}_right": list(items) for label, items in answers.items()}})


def _cards(schemas: Sequence[Schema], answers: Mapping[str, Sequence[bool | None]], count: int) -> list[CardGroup]:
    """Sentences against the stereotype that the tuned model reads wrong."""
    wrong = [
        index
        for index, (schema, answer) in enumerate(zip(schemas, answers["tuned"], strict=True))
        if schema.stereotype is False and answer is False
    ][:count]
    cards = []
    for index in wrong:
        schema = schemas[index]
        meant = (schema.occupation, schema.participant)[schema.right]
        sides = [Part(label, {True: "right", False: "wrong", None: None}[items[index]]) for label, items in answers.items()]
        cards.append(Card(schema.id, [Part("sentence", schema.text, f"'{schema.pronoun}' means the {meant}")], sides))
    return [CardGroup("Read wrong where the stereotype misleads", cards)]
