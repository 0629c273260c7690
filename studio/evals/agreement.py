"""How far annotators agree beyond chance: coefficients of Cohen, Fleiss and Krippendorff with 95% intervals, whole and per label.

All three are functions of sums over rows, so their intervals are those of :mod:`studio.evals.intervals` (studentised bootstrap
over rows). The PyPI package ``krippendorff`` is GPL, so alpha is computed here, and checked against its author's examples.

Legend: n rows, a annotators, l labels, r draws of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from studio.core.errors import UserError
from studio.evals.intervals import of_pieces
from studio.evals.pieces import Floats, Interval, Pieces
from studio.evals.statistics import Scale

Level = Literal["nominal", "ordinal", "interval"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")
Ratings = Mapping[str, Mapping[str, str]]
"""Row to annotator to label; an annotator who said nothing of a row is not in it."""

# Tables of a row have the square of it.
_MOST_LABELS = 100
_KAPPA, _ALPHA = Scale(-1.0, 1.0), Scale(highest=1.0)


@dataclass(frozen=True)
class Coefficient:
    """One coefficient.

    name: ``cohen``, ``fleiss`` or ``krippendorff``. of: the two annotators, or ``all``; label: None for all labels together,
    else that label against the rest. rows: those that it is computed from. value: None where everybody gave one label.
    same: share of pairs of labels of one row that are equal.
    """

    name: str
    of: str
    rows: int
    value: float | None
    interval: Interval
    same: float | None = None
    label: str | None = None
    level: Level = "nominal"


def coefficients(ratings: Ratings, *, level: Level = "nominal", resamples: int = 2000, seed: int = 0) -> list[Coefficient]:
    """All that can be said of these ratings: Krippendorff's alpha, Fleiss' kappa where every row has as many labels, Cohen's
    kappa of every two annotators that have rows in common; then alpha of each label against the rest.

    Args:
        level: how labels differ: ``nominal``, ``ordinal`` (numbers in order) or ``interval`` (distances count); Cohen's and
            Fleiss' kappa are nominal whatever it is.
    Raises:
        UserError: labels are no numbers where ``level`` needs some, no row has two labels, or there are too many labels.
    """
    shared = {row: said for row, said in ratings.items() if len(said) > 1}
    if not shared:
        raise UserError(
            "no row has labels of two annotators, so there is no agreement to measure. Let a second person label the same rows."
        )
    labels = sorted({label for said in shared.values() for label in said.values()})
    if len(labels) > _MOST_LABELS:
        raise UserError(
            f"{len(labels)} different labels were given, and agreement is measured of at most {_MOST_LABELS}. Join some."
        )
    rows = [list(said.values()) for said in shared.values()]
    found = [_alpha(rows, labels, level, resamples=resamples, seed=seed)]
    if len({len(row) for row in rows}) == 1:
        found.append(_fleiss(rows, labels, resamples=resamples, seed=seed))
    people = sorted({who for said in shared.values() for who in said})
    for place, one in enumerate(people):
        for two in people[place + 1 :]:
            pairs = [(said[one], said[two]) for said in shared.values() if one in said and two in said]
            if pairs:
                found.append(_cohen(pairs, labels, f"{one} and {two}", resamples=resamples, seed=seed))
    for label in labels if len(labels) > 2 else ():
        against = [["1" if one == label else "0" for one in row] for row in rows]
        found.append(_alpha(against, ["0", "1"], "nominal", label=label, resamples=resamples, seed=seed))
    return found


def needs_third(ratings: Ratings) -> list[str]:
    """Rows on which the annotators are level, so that a further opinion decides."""
    found = []
    for row, said in ratings.items():
        counts = sorted((list(said.values()).count(label) for label in set(said.values())), reverse=True)
        if len(counts) > 1 and counts[0] == counts[1]:
            found.append(row)
    return found


def _alpha(
    rows: Sequence[Sequence[str]], labels: Sequence[str], level: Level, *, resamples: int, seed: int, label: str | None = None
) -> Coefficient:
    """Krippendorff's alpha; rows may have any number of labels from two on.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, https://repository.upenn.edu/asc_papers/43, E.
    """
    size = len(labels)
    counts = _counts(rows, labels)
    # Coincidences of each row, [n, l * l]: ordered pairs of its labels, weighted so that a label counts once.
    pairs = counts[:, :, None] * counts[:, None, :] - np.eye(size)[None] * counts[:, None, :]
    coincidences = (pairs / (counts.sum(axis=1) - 1)[:, None, None]).reshape(len(rows), -1)
    distance = _distances(labels, level)

    def combine(sums: Floats) -> Floats:
        """Sums [r, l * l] -> alpha [r]."""
        table = sums.reshape(-1, size, size)
        totals = table.sum(axis=2)
        delta = distance(totals)
        number = totals.sum(axis=1)
        observed = (table * delta).sum(axis=(1, 2))
        expected = (totals[:, :, None] * totals[:, None, :] * delta).sum(axis=(1, 2)) / (number - 1)
        found: Floats = 1 - observed / expected
        return found

    return _coefficient("krippendorff", "all", rows, coincidences, combine, _ALPHA, resamples, seed, label=label, level=level)


def _distances(labels: Sequence[str], level: Level) -> Callable[[Floats], Floats]:
    """Squared differences of labels [r, l, l], from how often each was given [r, l].

    Source: as alpha, "difference functions". Ordinal ones depend on the ranks, and so on the draw.
    Raises:
        UserError: labels are no numbers.
    """
    size = len(labels)
    if level == "nominal":
        return lambda totals: np.broadcast_to(1 - np.eye(size), (len(totals), size, size))
    values = np.array([_number(label, level) for label in labels])
    if level == "interval":
        return lambda totals: np.broadcast_to((values[:, None] - values[None, :]) ** 2, (len(totals), size, size))
    order = np.argsort(values)

    def ranks(totals: Floats) -> Floats:
        """Labels in between, and half of the two at the ends."""
        middle = np.empty_like(totals)
        ordered = totals[:, order]
        middle[:, order] = np.cumsum(ordered, axis=1) - ordered / 2
        found: Floats = (middle[:, :, None] - middle[:, None, :]) ** 2
        return found

    return ranks


def _number(label: str, level: Level) -> float:
    """A label as a number.

    Raises:
        UserError: it is none.
    """
    try:
        return float(label)
    except ValueError:
        raise UserError(f"--level {level} compares labels as numbers, and {label!r} is none. Use --level nominal.") from None


def _fleiss(rows: Sequence[Sequence[str]], labels: Sequence[str], *, resamples: int, seed: int) -> Coefficient:
    """Fleiss' kappa; every row has the same number of labels, whoever gave them.

    Source: Fleiss 1971, https://doi.org/10.1037/h0031619.
    """
    counts = _counts(rows, labels)
    number = int(counts[0].sum())
    same = (counts * (counts - 1)).sum(axis=1) / (number * (number - 1))
    pieces = np.concatenate([counts, same[:, None], np.ones((len(rows), 1))], axis=1)

    def combine(sums: Floats) -> Floats:
        """Sums [r, l + 2] -> kappa [r]."""
        n = sums[:, -1]
        expected = ((sums[:, :-2] / (n * number)[:, None]) ** 2).sum(axis=1)
        found: Floats = (sums[:, -2] / n - expected) / (1 - expected)
        return found

    return _coefficient("fleiss", "all", rows, pieces, combine, _KAPPA, resamples, seed)


def _cohen(pairs: Sequence[tuple[str, str]], labels: Sequence[str], of: str, *, resamples: int, seed: int) -> Coefficient:
    """Cohen's kappa of two annotators.

    Source: Cohen 1960, https://doi.org/10.1177/001316446002000104.
    """
    size = len(labels)
    places = {label: place for place, label in enumerate(labels)}
    cells = np.zeros((len(pairs), size * size))
    cells[np.arange(len(pairs)), [places[one] * size + places[two] for one, two in pairs]] = 1

    def combine(sums: Floats) -> Floats:
        """Confusion tables [r, l * l] -> kappa [r]."""
        table = sums.reshape(-1, size, size)
        n = table.sum(axis=(1, 2))
        expected = (table.sum(axis=2) * table.sum(axis=1)).sum(axis=1) / n**2
        found: Floats = (np.trace(table, axis1=1, axis2=2) / n - expected) / (1 - expected)
        return found

    return _coefficient("cohen", of, [list(pair) for pair in pairs], cells, combine, _KAPPA, resamples, seed)


def _coefficient(
    name: str,
    of: str,
    rows: Sequence[Sequence[str]],
    sums: Floats,
    combine: Callable[[Floats], Floats],
    scale: Scale,
    resamples: int,
    seed: int,
    *,
    label: str | None = None,
    level: Level = "nominal",
) -> Coefficient:
    """Value and interval of a function of sums over rows."""
    pieces = Pieces.of(sums, combine)
    value = float(pieces.values(pieces.counts)[0])
    same = _same(rows)
    if not np.isfinite(value):
        reason = Interval(None, "not defined: everybody gave one and the same label")
        return Coefficient(name, of, len(rows), None, reason, same, label, level)
    return Coefficient(name, of, len(rows), value, of_pieces(pieces, value, scale, resamples, seed), same, label, level)


def _counts(rows: Sequence[Sequence[str]], labels: Sequence[str]) -> Floats:
    """How often each label was given to each row, [n, l]."""
    return np.array([[row.count(label) for label in labels] for row in map(list, rows)], dtype=np.float64)


def _same(rows: Sequence[Sequence[str]]) -> float:
    """Share of pairs of labels of one row that are equal."""
    equal = sum(sum(one == two for one in row for two in row) - len(row) for row in rows)
    return equal / sum(len(row) * (len(row) - 1) for row in rows)
