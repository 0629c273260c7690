"""The examples whose labels are wrong, as cards; and those whose truth may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from studio.evals.labelled import Labelled
from studio.evals.metrics.classification import UNPARSED
from studio.evals.task import Card, CardGroup, Part

# From here on a model is certain.
_CERTAIN = 0.8


def wrong_cards(found: Labelled, predicted: Mapping[str, Sequence[str | None]], count: int) -> list[CardGroup]:
    """Examples that the tuned model got wrong: where it gives probabilities first those whose truth may be wrong instead, then
    the most certain ones; else those first that the base had right.
    """
    tuned, base = predicted["tuned"], predicted.get("base")
    wrong = [place for place, value in enumerate(tuned) if value != found.truth[place]]
    rows = found.shares.get("tuned")
    if rows is None:
        wrong.sort(key=lambda place: (base is None or base[place] != found.truth[place], place))
        return _group("Wrong labels, those that the base had right first", wrong[:count], found, predicted)
    doubted = doubted_labels(found.truth, rows)
    certain = sorted(wrong, key=lambda place: (-_certainty(rows[place]), place))
    rest = [place for place in certain if place not in doubted[:count]]
    return [
        *_group(
            f"Labels to look at again: the model is certain of another in {len(doubted)} rows", doubted[:count], found, predicted
        ),
        *_group("Wrong labels, the most certain first", rest[:count], found, predicted),
    ]


def doubted_labels(truth: Sequence[str], rows: Sequence[Mapping[str, float] | None]) -> list[int]:
    """Places of examples whose true label may be wrong, the most doubtful first.

    A label is confidently another one where the probability of that is at least its mean over the examples that do have it, and
    at least 0.8. Source: Northcutt, Jiang and Chuang 2021, https://doi.org/10.1613/jair.1.12125, confident joint. It says
    where to look, and not that the label is wrong: an example may be odd.
    """
    usual: dict[str, float] = {}
    for label in set(truth):
        own = [row.get(label, 0.0) for row, true in zip(rows, truth, strict=True) if row and true == label]
        usual[label] = float(np.mean(own)) if own else 1.0
    doubts = []
    for place, (row, true) in enumerate(zip(rows, truth, strict=True)):
        said = max(row, key=lambda name: row[name]) if row else true
        if row and said != true and row[said] >= max(_CERTAIN, usual.get(said, 1.0)):
            doubts.append((row.get(true, 0.0) - row[said], place))
    return [place for _, place in sorted(doubts)]


def _certainty(row: Mapping[str, float] | None) -> float:
    """Probability of the likeliest label."""
    return max(row.values()) if row else 0.0


def _group(title: str, places: Sequence[int], found: Labelled, predicted: Mapping[str, Sequence[str | None]]) -> list[CardGroup]:
    """Cards of some examples under one heading; nothing where there are none."""
    # What says the same of every row says nothing of this one.
    shown = [label for label in ("base", "tuned") if label in predicted and (label == "tuned" or len(set(predicted[label])) > 1)]
    cards = []
    for place in places:
        parts, picture = found.shown(place)
        sides = [Part(found.called(label), found.said[label][place], _note(found, predicted, label, place)) for label in shown]
        cards.append(Card(found.ids[place], [*parts, Part("true label", found.truth[place])], sides, picture))
    return [CardGroup(title, cards)] if cards else []


def _note(found: Labelled, predicted: Mapping[str, Sequence[str | None]], label: str, place: int) -> str:
    """What was read off an answer, or how sure the model is."""
    row = found.shares[label][place] if label in found.shares else None
    if row is None:
        return f"read as {predicted[label][place] or UNPARSED}"
    said = predicted[label][place]
    sure = f"{100 * row[said]:.0f}% sure" if said in row else "unread"
    return f"{sure}, {100 * row.get(found.truth[place], 0.0):.0f}% for the true label"
