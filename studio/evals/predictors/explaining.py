"""What a report says of why: explanations of held-out rows, whether they are faithful, and what matters over all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from studio.core.errors import StudioError
from studio.core.records import GroupScores, Score
from studio.core.telling import counted
from studio.data.examples import Examples
from studio.evals.labelled import Labelled
from studio.evals.numbers import number
from studio.evals.predictors.drawing import (
    column_rows_panel,
    dependence_panel,
    picture_rows_panel,
    text_rows_panel,
    words_panel,
)
from studio.evals.predictors.explanations import Explainer, Explanation, check, explainer_for
from studio.evals.predictors.explanations.dependence import Dependence, partial_dependence
from studio.evals.predictors.explanations.importance import Importance, permutation_importance
from studio.evals.predictors.explanations.twins import shuffled_twins
from studio.evals.predictors.explanations.values import Values
from studio.evals.predictors.rows import training_rows
from studio.evals.predictors.sanity import weights_matter
from studio.evals.task import Panel, TaskContext
from studio.models.predictors.base import Predictor

# Training rows that explanations compare with; of a sum over columns all may be taken.
_BACKGROUND, _BACKGROUND_OF_SUMS = 100, 2000
# Times columns: rows of which the means of sums are made.
_ROWS_OF_SUMS = 50_000
_FEWEST_ROWS, _FEWEST_ORDERS = 10, 20
# Rows that a model is asked about for all explanations of a report, and for importance.
_BUDGET, _BUDGET_OF_IMPORTANCE = 60_000, 40_000
_DRAWN_COLUMNS = 4
_SHOWN_COLUMNS = 20


@dataclass
class Explained:
    """What is added to a report."""

    panels: list[Panel] = field(default_factory=list)
    groups: list[GroupScores] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Work:
    """What explanations are made from.

    rows: that were asked, found: with what was said of them. training: that the predictor learned from; background: some of them.
    asked: the rows that are explained, found at ``chosen`` among all.
    """

    context: TaskContext[Any]
    found: Labelled
    predictor: Predictor
    rows: Examples
    training: Examples
    background: Examples
    explainer: Explainer
    chosen: list[int]

    @property
    def asked(self) -> Examples:
        """The rows that are explained."""
        return self.rows.part(self.chosen)

    @property
    def labels(self) -> list[str | None]:
        """The label that is explained in each of them, None for numbers."""
        return [self.found.said["tuned"][place] if self.explainer.labels else None for place in self.chosen]


def explained(context: TaskContext[Any], found: Labelled, predictor: Predictor, rows: Examples) -> Explained:
    """Explanations of the tuned model, of as many rows as the task wants."""
    if not context.task.explained:
        return Explained()
    try:
        training = training_rows(context, predictor.info)
    except StudioError as error:
        return Explained(notes=[f"Predictions are not explained, because the training rows are gone: {error}"])
    context.tell("explaining what predictions rest on")
    work = _opened(context, found, predictor, rows, training)
    asked, labels = work.asked, work.labels
    explanations = [work.explainer.explain(asked.features.iloc[[place]], label) for place, label in enumerate(labels)]
    told, notes = _faithful(work, asked, explanations, labels)
    sane = weights_matter(predictor, work.explainer, explanations, asked, work.background, context.seed)
    if sane is not None:
        told = f"{told} {sane[0]}"
        notes += [] if sane[1] else [f"Explanations: {sane[0]}"]
    result = _of_columns(work) if work.explainer.reads == "table" else Explained()
    result.panels.insert(0, _rows_panel(work, asked, explanations, told))
    if work.explainer.reads == "text":
        result.panels += words_panel(explanations, work.explainer.labels)
    result.notes += notes
    return result


def _opened(context: TaskContext[Any], found: Labelled, predictor: Predictor, rows: Examples, training: Examples) -> _Work:
    """The way of explaining, and which rows are explained."""
    columns = len(predictor.info.columns)
    most = min(_BACKGROUND_OF_SUMS, max(_BACKGROUND, _ROWS_OF_SUMS // columns)) if Values.of(predictor).additive else _BACKGROUND
    background = _some(training, most, context.seed)
    # Of very many columns fewer rows are explained, so that each still has orders enough.
    count = min(context.task.explained, len(rows), max(_FEWEST_ROWS, _BUDGET // (_FEWEST_ORDERS * (columns + 1))))
    explainer = explainer_for(predictor, background.features, seed=context.seed, budget=_BUDGET // max(1, count))
    chosen = context.draw(range(len(rows)), min(count, explainer.most))
    return _Work(context, found, predictor, rows, training, background, explainer, chosen)


def _faithful(
    work: _Work, asked: Examples, explanations: Sequence[Explanation], labels: Sequence[str | None]
) -> tuple[str, list[str]]:
    """Whether deleting what explanations name hurts more than deleting something else; a warning where it is not shown."""
    clusters = [work.found.clusters[place] for place in work.chosen] if work.found.clusters is not None else None
    found = check(work.explainer, asked.features, explanations, labels, seed=work.context.seed, clusters=clusters)
    if found is None:
        return "Whether the explanations are faithful could not be looked at: the rows have too few parts.", []
    return found.told, [] if found.shown else [f"Explanations: {found.told}"]


def _rows_panel(work: _Work, asked: Examples, explanations: Sequence[Explanation], told: str) -> Panel:
    """Some explained rows, as their kind is shown."""
    order = _shown(work.found, work.chosen, work.context.task.examples_shown)
    known: Sequence[Any] = work.found.truth if work.found.true_numbers is None else work.found.true_numbers
    truths = {asked.ids[place]: _told(known[work.chosen[place]]) for place in order}
    if work.explainer.reads == "text":
        return text_rows_panel(explanations, asked, order, truths, told)
    if work.explainer.reads == "picture":
        return picture_rows_panel(explanations, asked, order, truths, told)
    return column_rows_panel(explanations, asked, order, truths, told)


def _told(truth: Any) -> str:
    """A true label or number for people."""
    return number(truth) if isinstance(truth, float) else str(truth)


def _of_columns(work: _Work) -> Explained:
    """Which columns matter over all rows, and how predictions move with them."""
    importance, group = _importance(work)
    values, label = Values.of(work.predictor), _drawn_label(work.predictor)
    return Explained(
        panels=dependence_panel(_dependence(work.predictor, work.background, importance), values, label),
        groups=[group],
        limits=[
            "Importance and dependence show what the model goes by. Columns that go together share it, and exchanging one of "
            "them makes rows that do not exist."
        ],
    )


def _some(rows: Examples, count: int, seed: int) -> Examples:
    """At most so many rows, drawn with the seed."""
    if len(rows) <= count:
        return rows
    return rows.part(np.sort(np.random.default_rng(seed).permutation(len(rows))[:count]))


def _shown(found: Labelled, chosen: Sequence[int], count: int) -> list[int]:
    """Which of the explained rows are shown: wrong ones first, or those furthest off, then right ones."""
    if found.true_numbers is not None:
        off = [abs((found.numbers["tuned"][row] or 0.0) - found.true_numbers[row]) for row in chosen]
        order = sorted(range(len(chosen)), key=lambda place: -off[place])
    else:
        order = sorted(range(len(chosen)), key=lambda place: found.said["tuned"][chosen[place]] == found.truth[chosen[place]])
    half = max(1, count // 2)
    return list(dict.fromkeys([*order[:half], *order[::-1]]))[:count]


def _importance(work: _Work) -> tuple[list[Importance], GroupScores]:
    """Importance of the columns, beside that of a model trained on shuffled targets, as bars."""
    found, predictor = work.found, work.predictor
    truth = np.array(found.truth, dtype=object) if found.true_numbers is None else np.array(found.true_numbers)
    settings: dict[str, Any] = {"seed": work.context.seed, "budget": _BUDGET_OF_IMPORTANCE, "clusters": found.clusters}
    known = sorted(permutation_importance(predictor, work.rows.features, truth, **settings), key=lambda item: -item.value)
    scores = {"tuned": [_bar(item, predictor) for item in known[:_SHOWN_COLUMNS]]}
    explains = (
        f"By how much {_loss(predictor)} grows when a column's values are exchanged between rows, on {known[0].rows} rows that "
        "were not trained on. What cannot be told from 0 may not matter, or another column says the same."
    )
    twins = shuffled_twins(predictor, work.training, seed=work.context.seed)
    if twins:
        blind: dict[str, list[float]] = {}
        for twin in twins:
            for item in permutation_importance(twin, work.rows.features, truth, **settings):
                blind.setdefault(item.feature, []).append(item.value)
        scores["base"] = [
            _bar(replace(item, value=float(np.mean(blind[item.feature])), low=None, high=None), predictor)
            for item in known[:_SHOWN_COLUMNS]
        ]
        explains += (
            f" Grey: the mean of {counted(len(twins), 'model')} of the same kind trained on shuffled targets, which can know "
            "nothing; what looks alike is chance."
        )
    return known, GroupScores(title="Importance of the columns", unit=_unit(predictor), explains=explains, scores=scores)


def _bar(item: Importance, predictor: Predictor) -> Score:
    """One column's importance."""
    return Score(
        metric=item.feature,
        value=item.value,
        unit=_unit(predictor),
        better="neither",
        n=item.rows,
        low=item.low,
        high=item.high,
        interval="t-interval over rows" if item.low is not None else "no interval from so few rows",
        made_with="values exchanged five times",
        note="may not matter" if item.low is not None and item.low <= 0 else None,
    )


def _loss(predictor: Predictor) -> str:
    """What grows."""
    return "the log loss" if predictor.info.task == "labels" else "the mean absolute error"


def _unit(predictor: Predictor) -> str:
    """Its unit."""
    return "nats" if predictor.info.task == "labels" else predictor.info.unit or "units of the target"


def _drawn_label(predictor: Predictor) -> str | None:
    """The label whose probability is drawn: of two the rarer one; None of several, and of numbers."""
    info = predictor.info
    if len(info.labels) != 2:
        return None
    return info.positive or min(info.labels, key=lambda label: info.baseline.get(label, 0.0))


def _dependence(predictor: Predictor, background: Examples, importance: Sequence[Importance]) -> list[Dependence]:
    """How predictions move with the columns that matter most; nothing where there are more than two labels."""
    label = _drawn_label(predictor)
    if label is None and predictor.info.task == "labels":
        return []
    values = Values(predictor, additive=False, unit="probability" if label else Values.of(predictor).unit)
    by_name = {column.name: column for column in predictor.info.columns}
    rows = _some(background, _BACKGROUND, 0).features
    found = [partial_dependence(values, rows, by_name[item.feature], label) for item in importance[:_DRAWN_COLUMNS]]
    return [item for item in found if item is not None]
