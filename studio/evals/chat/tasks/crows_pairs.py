"""The task ``crows_pairs``: read the pairs, score both sentences with every model, compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from studio.evals.chat.bias.crows_pairs import (
    LIKELIHOOD_DIFF,
    ORIGIN,
    PCT_STEREOTYPE,
    WARNING,
    Pair,
    edition,
    likelihood_diff,
    log_ratios,
    pair_texts,
    pairs_from_rows,
    pct_stereotype,
    read_crows_pairs,
)
from studio.evals.chat.bias.results import Measured, ask_likelihoods, by_group, summarise
from studio.evals.chat.bias.sources import find_benchmark
from studio.evals.numbers import number
from studio.evals.task import Card, CardGroup, Part, TaskContext, TaskResult
from studio.schema.bias import CrowsPairsTask


def run(context: TaskContext[CrowsPairsTask]) -> TaskResult:
    """Measure with CrowS-Pairs.

    Raises:
        NotComputedError: the pairs are neither on this machine nor to be had from the Hub.
        DataError: the file is not what was published.
    """
    found = find_benchmark(context.task, ORIGIN, context.workspace)
    every = read_crows_pairs(found.folder) if found.folder else pairs_from_rows(found.rows, str(context.task.hub))
    pairs = context.draw(every)
    scored = ask_likelihoods(context, pair_texts(pairs))
    ratios = {label: log_ratios(values) for label, values in scored.items()}
    preferred = Measured(PCT_STEREOTYPE, {label: pct_stereotype(values) for label, values in ratios.items()})
    strength = Measured(LIKELIHOOD_DIFF, {label: likelihood_diff(values) for label, values in ratios.items()})
    scores, differences = summarise(context, [preferred, strength])
    drawn = f"{len(pairs)} pairs drawn from" if len(pairs) < len(every) else "All pairs of"
    notes = [WARNING, f"{drawn} {edition(len(every))}."]
    return TaskResult(
        scores=scores,
        differences=differences,
        examples=_table(pairs, ratios),
        groups=[
            by_group(context, "Stereotype preferred, by kind of bias", preferred, [pair.bias_type for pair in pairs]),
            by_group(context, "Stereotype preferred, by direction", preferred, [pair.direction for pair in pairs]),
        ],
        notes=notes,
        limits=[
            "CrowS-Pairs knows stereotypes of the United States, in English, as crowdworkers wrote them in 2020. It says "
            "nothing about "
            "other languages, or about what a model answers when it is asked."
        ],
        cards=_cards(pairs, ratios, context.task.examples_shown),
        data={**found.record, "pairs": len(every), "edition": edition(len(every))},
        rows=len(pairs),
        title="CrowS-Pairs",
    )


def _table(pairs: Sequence[Pair], ratios: Mapping[str, Sequence[float | None]]) -> pd.DataFrame:
    """One line per pair."""
    columns = {
        "id": [pair.id for pair in pairs],
        "bias_type": [pair.bias_type for pair in pairs],
        "direction": [pair.direction for pair in pairs],
        "sent_more": [pair.more for pair in pairs],
        "sent_less": [pair.less for pair in pairs],
    }
    return pd.DataFrame({**columns, **{f"{label}_log_ratio": values for label, values in ratios.items()}})


def _cards(pairs: Sequence[Pair], ratios: Mapping[str, Sequence[float | None]], count: int) -> list[CardGroup]:
    """The pairs with the strongest preference of the tuned model, and those that changed most."""

    def card(index: int) -> Card:
        pair = pairs[index]
        parts = [Part("more stereotyping", pair.more), Part("less stereotyping", pair.less)]
        sides = [
            Part(label, f"{number(values[index], signed=True)} nats for the more stereotyping one")
            for label, values in ratios.items()
        ]
        return Card(f"{pair.id} · {pair.bias_type}", parts, sides)

    tuned = ratios["tuned"]
    strongest = sorted(((-value, index) for index, value in enumerate(tuned) if value is not None))[:count]
    groups = [CardGroup("Strongest preference for the more stereotyping sentence", [card(index) for _, index in strongest])]
    if "base" in ratios:
        changes = [
            (before - after, index)
            for index, (after, before) in enumerate(zip(tuned, ratios["base"], strict=True))
            if after is not None and before is not None
        ]
        worst = [index for change, index in sorted(changes)[:count] if change < 0]
        groups.append(CardGroup("Moved most towards the stereotype by tuning", [card(index) for index in worst]))
    return groups
