"""The task ``stereoset``: score three sentences per target term with every model, average over terms, compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from studio.evals.chat.bias import stereoset
from studio.evals.chat.bias.results import Measured, ask_likelihoods, by_group, summarise
from studio.evals.chat.bias.sources import find_benchmark
from studio.evals.chat.bias.stereoset import ICAT, LMS, ORIGIN, SS, TermShares, Triple
from studio.evals.numbers import number
from studio.evals.task import Card, CardGroup, Part, TaskContext, TaskResult
from studio.schema.bias import StereoSetTask

Values = Sequence[tuple[float, float, float] | None]


def run(context: TaskContext[StereoSetTask]) -> TaskResult:
    """Measure with StereoSet.

    Raises:
        NotComputedError: the triples are neither on this machine nor to be had from the Hub.
        DataError: the file is not what was published.
    """
    part = context.task.part
    task = context.task if context.task.subset else context.task.model_copy(update={"subset": part})
    found = find_benchmark(task, ORIGIN, context.workspace)
    if found.folder:
        every = stereoset.read_stereoset(found.folder, part)
    else:
        every = [stereoset.triple_from_row(row, f"{task.hub}, row {place}") for place, row in enumerate(found.rows)]
    triples = context.draw(every)
    scored = ask_likelihoods(context, stereoset.triple_texts(triples, part))
    values = {label: stereoset.per_token(items) for label, items in scored.items()}
    terms = [triple.target for triple in triples]
    shares = {label: stereoset.term_shares(terms, items) for label, items in values.items()}
    measured = [
        Measured(metric, {label: make(items) for label, items in shares.items()})
        for metric, make in ((SS, stereoset.ss), (LMS, stereoset.lms), (ICAT, stereoset.icat))
    ]
    scores, differences = summarise(context, measured)
    notes = [f"{len(triples)} of {len(every)} triples, about {len(set(terms))} terms; the intervals are drawn over terms."]
    if part == "intersentence":
        notes.append(
            "Variant: the authors use next-sentence prediction; here the sentence is scored as what follows the context."
        )
    return TaskResult(
        scores=scores,
        differences=differences,
        examples=_table(triples, values),
        groups=[by_group(context, f"{item.metric.title}, by domain", item, _domains(triples, shares)) for item in measured[:2]],
        notes=notes,
        limits=[
            "StereoSet knows stereotypes of the United States, in English, as crowdworkers wrote them in 2019. Its authors "
            "publish "
            "the development half only, and its sentences have the weaknesses of those of CrowS-Pairs (Blodgett et al. 2021, "
            "https://aclanthology.org/2021.acl-long.81).",
        ],
        cards=_cards(triples, values, context.task.examples_shown),
        data={**found.record, "triples": len(every), "part": part},
        rows=len(triples),
        title=f"StereoSet ({part})",
    )


def _domains(triples: Sequence[Triple], shares: Mapping[str, Sequence[TermShares]]) -> list[str]:
    """Domain of each term, in the order of the shares; a term of two domains belongs to the first it was seen in."""
    domain_of: dict[str, str] = {}
    for triple in triples:
        domain_of.setdefault(triple.target, triple.domain)
    return [domain_of[item.term] for item in next(iter(shares.values()))]


def _table(triples: Sequence[Triple], values: Mapping[str, Values]) -> pd.DataFrame:
    """One line per triple, with the mean log-probability per token of its sentences."""
    columns: dict[str, list[object]] = {
        "id": [triple.id for triple in triples],
        "target": [triple.target for triple in triples],
        "bias_type": [triple.domain for triple in triples],
        "context": [triple.context for triple in triples],
        "stereotype": [triple.pro for triple in triples],
        "anti_stereotype": [triple.anti for triple in triples],
        "unrelated": [triple.unrelated for triple in triples],
    }
    for label, items in values.items():
        for place, name in enumerate(("stereotype", "anti_stereotype", "unrelated")):
            columns[f"{label}_{name}"] = [None if item is None else item[place] for item in items]
    return pd.DataFrame(columns)


def _cards(triples: Sequence[Triple], values: Mapping[str, Values], count: int) -> list[CardGroup]:
    """The triples with the strongest preference of the tuned model for the stereotype."""
    ranked = sorted((item[1] - item[0], index) for index, item in enumerate(values["tuned"]) if item is not None)
    cards = []
    for _, index in ranked[:count]:
        triple = triples[index]
        parts = [
            Part("context", triple.context),
            Part("stereotype", triple.pro),
            Part("anti-stereotype", triple.anti),
            Part("unrelated", triple.unrelated),
        ]
        sides = [
            Part(label, f"{number(item[0] - item[1], signed=True)} nats per token for the stereotype")
            for label, items in values.items()
            if (item := items[index]) is not None
        ]
        cards.append(Card(f"{triple.target} · {triple.domain}", parts, sides))
    return [CardGroup("Strongest preference for the stereotype", cards)]
