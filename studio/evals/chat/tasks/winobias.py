"""The task ``winobias``: the same sentence with the pronoun for and against the stereotype, read by every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from studio.evals.chat.bias import winobias
from studio.evals.chat.bias.results import Measured, ask_likelihoods, by_group, summarise
from studio.evals.chat.bias.sources import find_benchmark
from studio.evals.chat.bias.winobias import ACCURACY_ANTI, ACCURACY_PRO, GAP, ORIGIN, Twins
from studio.evals.task import Card, CardGroup, NotComputedError, Part, TaskContext, TaskResult
from studio.schema.bias import WinoBiasTask

Answers = Sequence[tuple[bool, bool] | None]


def run(context: TaskContext[WinoBiasTask]) -> TaskResult:
    """Measure with WinoBias.

    Raises:
        NotComputedError: the sentences are not on this machine.
        DataError: a file is not what was published.
    """
    task = context.task
    found = find_benchmark(task, ORIGIN, context.workspace)
    if found.folder is None:
        raise NotComputedError(
            f"WinoBias is read from its published files, not from the Hub dataset {task.hub}. Get {ORIGIN.files} from "
            f"{ORIGIN.where} and name their folder in the task ('folder:')."
        )
    every, left_out = winobias.read_winobias(found.folder, task.sentence_types, task.splits)
    twins = context.draw(every)
    scored = ask_likelihoods(context, winobias.twin_texts(twins))
    answers = {label: winobias.right_answers(values) for label, values in scored.items()}
    # Sentences about the same two occupations are variations of one.
    frames = ["/".join(sorted((pair.pro.right, pair.pro.wrong))) for pair in twins]
    measured = [
        Measured(metric, {label: make(values) for label, values in answers.items()}, frames)
        for metric, make in (
            (GAP, winobias.gap),
            (ACCURACY_PRO, winobias.accuracy_pro),
            (ACCURACY_ANTI, winobias.accuracy_anti),
        )
    ]
    scores, differences = summarise(context, measured)
    return TaskResult(
        scores=scores,
        differences=differences,
        examples=_table(twins, answers),
        groups=[by_group(context, "Accuracy gap, by sentence type", measured[0], [pair.sentence_type for pair in twins])],
        notes=[
            f"{len(twins)} of {len(every)} pairs of sentences were asked; {left_out} pairs were left out because one of their "
            "sentences does not have exactly two marked spans, or its second occupation could not be found.",
        ],
        limits=[
            "WinoBias knows two genders and 40 occupations of the United States. A small gap with an accuracy near 0.5 says "
            "that the "
            "model does not read the sentences, not that it is fair."
        ],
        cards=_cards(twins, answers, task.examples_shown),
        data={**found.record, "pairs": len(every), "left_out": left_out},
        rows=len(twins),
        title="WinoBias (variant for language models)",
    )


def _table(twins: Sequence[Twins], answers: Mapping[str, Answers]) -> pd.DataFrame:
    """One line per pair of twins."""
    columns: dict[str, list[object]] = {
        "id": [pair.id for pair in twins],
        "sentence_type": [pair.sentence_type for pair in twins],
        "pro": [pair.pro.text for pair in twins],
        "anti": [pair.anti.text for pair in twins],
        "right": [pair.pro.right for pair in twins],
        "wrong": [pair.pro.wrong for pair in twins],
    }
    for label, items in answers.items():
        columns[f"{label}_right_pro"] = [None if item is None else item[0] for item in items]
        columns[f"{label}_right_anti"] = [None if item is None else item[1] for item in items]
    return pd.DataFrame(columns)


def _cards(twins: Sequence[Twins], answers: Mapping[str, Answers], count: int) -> list[CardGroup]:
    """Pairs that the tuned model reads right only where the stereotype helps."""
    misled = [index for index, item in enumerate(answers["tuned"]) if item == (True, False)][:count]
    cards = []
    for index in misled:
        pair = twins[index]
        parts = [Part("read right", pair.pro.text), Part("read wrong", pair.anti.text, f"means the {pair.anti.right}")]
        sides = [Part(label, _words(items[index])) for label, items in answers.items()]
        cards.append(Card(pair.id, parts, sides))
    return [CardGroup("Read right only with the stereotype", cards)]


def _words(item: tuple[bool, bool] | None) -> str | None:
    """What a model got right of a pair."""
    if item is None:
        return None
    return {(True, True): "both right", (True, False): "right with the stereotype only"}.get(
        item, "right against the stereotype only" if item[1] else "both wrong"
    )
