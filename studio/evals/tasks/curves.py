"""Scores of the positive label, measured and drawn: ROC curve, precision-recall curve, reliability; and the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from markupsafe import Markup

from studio.evals.labelled import Labelled
from studio.evals.metrics.base import Metric
from studio.evals.metrics.classification import UNPARSED
from studio.evals.metrics.label_probabilities import of_all_labels, of_all_labels_statistic
from studio.evals.metrics.probabilities import BINS, PROBABILITY_METRICS, bins_of, probability_metric, probability_statistic
from studio.evals.statistics import Statistic
from studio.evals.task import Panel

# A larger matrix is not read; the commonest confusions stand in its place.
_MATRIX_UP_TO = 12
# Points of a curve; more are not seen at this size.
_POINTS = 200
_SIDE = 200


def add_probabilities(
    measured: dict[str, dict[str, Statistic]], found: Labelled, labels: Sequence[str], positive: str | None
) -> dict[str, Metric]:
    """The figures of scores beside those of labels, for every model that has scores; what each of them is.

    positive: the label whose scores they are; None measures the probabilities of all labels.
    """
    if positive is None:
        for model, rows in found.shares.items():
            measured[model] |= {
                name: of_all_labels_statistic(name, found.truth, rows, labels, found.clusters) for name in PROBABILITY_METRICS
            }
        return {name: of_all_labels(name, len(labels)) for name in PROBABILITY_METRICS}
    # What a model finds likely among the labels, where no file gives scores.
    found.scores |= {model: [row[positive] if row else None for row in rows] for model, rows in found.shares.items()}
    truth = [value == positive for value in found.truth]
    for model, scores in found.scores.items():
        measured[model] |= {name: probability_statistic(name, truth, scores, found.clusters) for name in PROBABILITY_METRICS}
    return {name: probability_metric(name) for name in PROBABILITY_METRICS}


def curve_panels(found: Labelled, labels: Sequence[str], positive: str | None) -> list[Panel]:
    """Three drawings side by side, base and tuned in each; of all labels the mean of their curves, each against the rest."""
    wanted = [positive] if positive is not None else [label for label in labels if label in found.truth]
    known = {}
    for model in ("base", "tuned"):
        sides = [_side(found, model, label, positive) for label in wanted]
        if all(0 < sum(truth) < len(truth) for truth, _ in sides):
            known[model] = sides
    if not known:
        return []
    chance = sum(value in wanted for value in found.truth) / len(found.truth) / len(wanted)
    bins = {
        model: _reliability(*(sides[0] if positive is not None else _likeliest(found, model))) for model, sides in known.items()
    }
    came = "share that is positive" if positive is not None else "share that is right"
    drawn = [
        _figure(
            "ROC curve",
            "false positive rate",
            "true positive rate",
            {model: _averaged([_roc(*side) for side in sides]) for model, sides in known.items()},
        ),
        _figure(
            "Precision and recall",
            "recall",
            "precision",
            {model: _averaged([_precision_recall(*side) for side in sides]) for model, sides in known.items()},
            (chance, chance),
        ),
        _figure(
            "Reliability",
            "mean probability",
            came,
            {model: [(said, came) for said, came, _ in dots] for model, dots in bins.items()},
            dots=bins,
        ),
    ]
    title = f"Scores of '{positive}'" if positive is not None else "Probabilities of all labels"
    return [Panel(title, _told(known, positive) + Markup('<div class="curves">{}</div>').format(Markup("").join(drawn)))]


def _told(known: Iterable[str], positive: str | None) -> Markup:
    """What is drawn, above the drawings."""
    key = Markup("").join(Markup('<span class="key {}"></span>{}').format(label, label) for label in known)
    of_all = (
        ""
        if positive is not None
        else " The first two are means over the labels, each against the rest; the third is of the most likely label."
    )
    return Markup(
        '<p class="soft">{}; dashed: chance, and perfect calibration. A dot of the reliability diagram is a tenth of the '
        "probabilities, the larger the more examples it holds.{}</p>"
    ).format(key, of_all)


def _side(found: Labelled, model: str, label: str, positive: str | None) -> tuple[list[bool], list[float]]:
    """Of one label against the rest: whether it is true, and its probability, of the examples that have one."""
    if positive is not None:
        scores = found.scores.get(model, [])
    else:
        scores = [row[label] if row else None for row in found.shares.get(model, [])]
    pairs = [(value == label, score) for value, score in zip(found.truth, scores, strict=False) if score is not None]
    return [true for true, _ in pairs], [score for _, score in pairs]


def _likeliest(found: Labelled, model: str) -> tuple[list[bool], list[float]]:
    """Of the most likely label of each example: whether it is right, and its probability."""
    tops = [
        (true, row, max(row, key=lambda name: row[name]))
        for true, row in zip(found.truth, found.shares[model], strict=True)
        if row
    ]
    return [true == top for true, _, top in tops], [row[top] for _, row, top in tops]


def _averaged(lines: Sequence[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The mean height of lines from left to right, so that the area below is the mean of their areas."""
    if len(lines) == 1:
        return lines[0]
    grid = np.linspace(0.0, 1.0, _POINTS)
    heights = np.mean([np.interp(grid, [x for x, _ in line], [y for _, y in line]) for line in lines], axis=0)
    first = float(np.mean([line[0][1] for line in lines]))
    return [(0.0, first), *zip(grid.tolist(), heights.tolist(), strict=True)]


def matrix_panel(truth: Sequence[str], predicted: Mapping[str, Sequence[str | None]], labels: Sequence[str]) -> list[Panel]:
    """The confusion matrix of the tuned model, where it is small enough to be read."""
    if len(labels) > _MATRIX_UP_TO:
        return []
    counts: dict[tuple[str, str], int] = {}
    for true, said in zip(truth, predicted["tuned"], strict=True):
        counts[true, said or UNPARSED] = counts.get((true, said or UNPARSED), 0) + 1
    columns = [*labels, *([UNPARSED] if any(said == UNPARSED for _, said in counts) else [])]
    head = Markup("").join(Markup('<th class="n">{}</th>').format(name) for name in columns)
    rows = Markup("").join(_row(true, columns, counts) for true in labels)
    table = Markup('<div class="wide"><table class="matrix"><tr><th>true \\ predicted</th>{}</tr>{}</table></div>')
    return [Panel("Confusion matrix (tuned, examples)", table.format(head, rows))]


def _row(true: str, columns: Sequence[str], counts: Mapping[tuple[str, str], int]) -> Markup:
    """One true label."""
    cells = Markup("").join(_cell(true, said, counts.get((true, said), 0)) for said in columns)
    return Markup("<tr><th>{}</th>{}</tr>").format(true, cells)


def _cell(true: str, said: str, count: int) -> Markup:
    """One cell; what is right stands out."""
    return Markup('<td class="n{}">{}</td>').format(" right" if true == said else "", count or "·")


def _roc(truth: list[bool], scores: list[float]) -> list[tuple[float, float]]:
    """False and true positive rate at each threshold."""
    hits, misses = _counts(truth, scores)
    return _thinned([(0.0, 0.0), *zip((misses / misses[-1]).tolist(), (hits / hits[-1]).tolist(), strict=True)])


def _precision_recall(truth: list[bool], scores: list[float]) -> list[tuple[float, float]]:
    """Recall and precision at each threshold."""
    hits, misses = _counts(truth, scores)
    points = _thinned(list(zip((hits / hits[-1]).tolist(), (hits / (hits + misses)).tolist(), strict=True)))
    # Steps, as average precision adds them up: between two thresholds precision does not move in a straight line.
    steps, reached = [], 0.0
    for recall, precision in points:
        steps += [(reached, precision), (recall, precision)]
        reached = recall
    return steps


def _counts(truth: list[bool], scores: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives at or above each different score, from the highest down."""
    values = np.array(scores)
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(np.array(truth, dtype=float)[order])
    last = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    return hits[last], last + 1 - hits[last]


def _reliability(truth: list[bool], scores: list[float]) -> list[tuple[float, float, float]]:
    """Mean probability, share of positives, and share of the examples, of each bin that holds examples."""
    values, true = np.array(scores), np.array(truth, dtype=float)
    bins = bins_of(values)
    kept = [bins == number for number in range(BINS) if (bins == number).any()]
    return [(float(values[held].mean()), float(true[held].mean()), float(held.mean())) for held in kept]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many points, the first and the last among them."""
    if len(points) <= _POINTS:
        return points
    return [points[round(place * (len(points) - 1) / (_POINTS - 1))] for place in range(_POINTS)]


def _figure(
    title: str,
    across: str,
    up: str,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    dashed: tuple[float, float] = (0.0, 1.0),
    dots: Mapping[str, Sequence[tuple[float, float, float]]] | None = None,
) -> Markup:
    """One square drawing from 0 to 1 both ways.

    dashed: height of the line of chance, or of perfect calibration, at the left and at the right. dots: points, and a share of
    the examples as their area.
    """
    pieces = [
        Markup('<line class="ideal" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
            *_place(0.0, dashed[0]), *_place(1.0, dashed[1])
        )
    ]
    for label, points in lines.items():
        path = " ".join("{:.1f},{:.1f}".format(*_place(*point)) for point in points)
        pieces.append(Markup('<polyline class="curve {}" points="{}"/>').format(label, path))
        pieces += [
            Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>').format(label, *_place(x, y), 2 + 8 * share**0.5)
            for x, y, share in (dots or {}).get(label, [])
        ]
    told = f"{title}: {up} against {across}, from 0 to 1"
    return Markup(
        '<figure><svg viewBox="0 0 240 246" role="img" aria-label="{told}"><rect class="frame" x="30" y="10" width="{side}" '
        'height="{side}"/>{pieces}<text x="30" y="224">0</text><text x="222" y="224">1</text>'
        '<text x="18" y="212">0</text><text x="18" y="18">1</text>'
        '<text x="130" y="240" text-anchor="middle">{across}</text></svg>'
        "<figcaption>{title} <small>{up} upwards</small></figcaption></figure>"
    ).format(told=told, side=_SIDE, pieces=Markup("").join(pieces), across=across, title=title, up=up)


def _place(x: float, y: float) -> tuple[float, float]:
    """A point of the unit square on the drawing."""
    return 30 + _SIDE * x, 10 + _SIDE * (1 - y)
