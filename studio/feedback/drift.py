"""Whether the newest traffic differs from that before: length, language, refusals, thumbs down, latency.

An alarm needs three things at once: enough rows on both sides, a difference too large for chance (p below 0.01 over all signals
of a model, Bonferroni), and a difference large enough to matter. Two halves of the same traffic therefore raise none.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["changed", "no change shown", "too few to tell"]

# Fewest rows on each side. Thumbs are rare, so theirs is lower; a rate of 30 has a standard error of 9 points at most.
FEWEST_REQUESTS, FEWEST_THUMBS = 100, 30
# All signals of a model together raise a false alarm in at most this share of comparisons.
ALL_ALARMS = 0.01
# A population stability index of 0.1 is the usual mark of a moderate shift (Siddiqi, Credit Risk Scorecards, 2006). For a rate
# that is too blunt: 0.02 is a change from 10% to 15%.
PSI_CLASSES, PSI_RATE = 0.1, 0.02
# Largest distance of two distribution functions that is let pass: a tenth of the answers has moved.
KS = 0.1
# A class that one side lacks gets this much of a row, so that the index stays finite.
SMOOTHING = 0.5
# Classes that are rarer than this share in both windows are counted together.
_RARE = 0.01
_DAY = 86_400.0


@dataclass(frozen=True)
class Finding:
    """One signal of one model in two windows.

    before, now: how it stands, in words. p: chance of such a difference where nothing has changed.
    """

    signal: str
    before: str
    now: str
    n_before: int
    n_now: int
    measure: Literal["PSI", "KS"]
    value: float | None
    limit: float
    p: float | None
    verdict: Verdict

    @property
    def alarm(self) -> bool:
        """True when the signal has changed."""
        return self.verdict == "changed"


Rows = Sequence[Mapping[str, Any]]


def compare_windows(
    requests: Rows, ratings: Rows, model: str, *, days: float = 7, reference_days: float = 28, now: float | None = None
) -> list[Finding]:
    """Compare the newest ``days`` of a model with the ``reference_days`` before them.

    Args:
        requests: rows of the store's table; ratings: those that stand.
        now: end of the newest window, seconds since 1970; None means this moment.
    """
    end = time.time() if now is None else now
    border = end - days * _DAY
    start = border - reference_days * _DAY

    def windows(rows: Rows) -> tuple[Rows, Rows]:
        mine = [row for row in rows if row["model"] == model]
        return [row for row in mine if start <= row["created"] < border], [row for row in mine if border <= row["created"] <= end]

    return compare(windows(requests), windows(ratings))


def compare(requests: tuple[Rows, Rows], ratings: tuple[Rows, Rows]) -> list[Finding]:
    """Compare two windows, the reference first, signal by signal."""
    answered = tuple([row for row in rows if row["status"] in {"ok", "cut"}] for rows in requests)
    limit = ALL_ALARMS / 5
    return [
        _spread("length of answers, characters", _values(answered, "characters"), limit),
        _classes("language of answers", _values(answered, "language"), limit),
        _rate("refusals", _values(answered, "refusal"), FEWEST_REQUESTS, limit),
        _rate("thumbs down of all thumbs", _down(ratings), FEWEST_THUMBS, limit),
        _spread("seconds to the last token", _values(answered, "seconds"), limit),
    ]


def psi(before: Sequence[float], now: Sequence[float]) -> float:
    """Population stability index of two lists of counts over the same classes.

    Sum over classes of (share now - share before) * ln(share now / share before), with half a row added to every class.
    """
    one, two = ([count + SMOOTHING for count in counts] for counts in (before, now))
    return sum((b / sum(two) - a / sum(one)) * math.log((b / sum(two)) / (a / sum(one))) for a, b in zip(one, two, strict=True))


def _values(windows: Sequence[Rows], column: str) -> tuple[list[Any], list[Any]]:
    """Values of a column in both windows; rows without one are left out."""
    before, now = ([row[column] for row in rows if row[column] is not None] for rows in windows)
    return before, now


def _down(windows: tuple[Rows, Rows]) -> tuple[list[bool], list[bool]]:
    """For each thumb of both windows whether it is down."""
    before, now = ([row["value"] < 0 for row in rows] for rows in windows)
    return before, now


def _spread(signal: str, values: tuple[list[Any], list[Any]], chance: float) -> Finding:
    """Two-sample Kolmogorov-Smirnov test of a number."""
    from scipy.stats import ks_2samp  # type: ignore[import-untyped]

    def test() -> tuple[float, float]:
        found = ks_2samp(*values)
        return float(found.statistic), float(found.pvalue)

    def words(numbers: list[Any]) -> str:
        return f"median {_middle(numbers):.3g}" if numbers else "-"

    return _finding(signal, values, "KS", KS, FEWEST_REQUESTS, chance, words, test)


def _classes(signal: str, values: tuple[list[Any], list[Any]], chance: float) -> Finding:
    """PSI of a class, with the chi-squared test; rare classes are counted together."""
    counts = [Counter(side) for side in values]
    rare = {
        name
        for name in {*counts[0], *counts[1]}
        if all(count[name] < _RARE * max(len(side), 1) for count, side in zip(counts, values, strict=True))
    }
    names = sorted({*counts[0], *counts[1]} - rare)
    table = [[float(count[name]) for name in names] + [float(sum(count[name] for name in rare))] for count in counts]
    table = [list(column) for column in zip(*(pair for pair in zip(*table, strict=True) if sum(pair)), strict=True)] or [[], []]

    def words(side: list[Any]) -> str:
        return ", ".join(f"{name} {100 * count / len(side):.0f}%" for name, count in Counter(side).most_common(2)) or "-"

    return _finding(
        signal, values, "PSI", PSI_CLASSES, FEWEST_REQUESTS, chance, words, lambda: (psi(*table), _chi_squared(table))
    )


def _rate(signal: str, values: tuple[list[Any], list[Any]], fewest: int, chance: float) -> Finding:
    """PSI of a yes or no, with the chi-squared test."""
    table = [[float(sum(map(bool, side))), float(len(side) - sum(map(bool, side)))] for side in values]

    def words(side: list[Any]) -> str:
        return f"{100 * sum(map(bool, side)) / len(side):.1f}%" if side else "-"

    return _finding(signal, values, "PSI", PSI_RATE, fewest, chance, words, lambda: (psi(*table), _chi_squared(table)))


def _chi_squared(table: list[list[float]]) -> float:
    """Chance of a table of counts when both rows are drawn from the same shares; 1 when there is nothing to tell apart."""
    from scipy.stats import chi2_contingency  # type: ignore[import-untyped]

    columns = [pair for pair in zip(*table, strict=True) if sum(pair)]
    if len(columns) < 2:
        return 1.0
    return float(chi2_contingency(list(zip(*columns, strict=True))).pvalue)


def _finding(
    signal: str,
    values: tuple[list[Any], list[Any]],
    measure: Literal["PSI", "KS"],
    limit: float,
    fewest: int,
    chance: float,
    words: Callable[[list[Any]], str],
    test: Callable[[], tuple[float, float]],
) -> Finding:
    """Judge one signal."""
    sizes = (len(values[0]), len(values[1]))
    if min(sizes) < fewest:
        return Finding(signal, words(values[0]), words(values[1]), *sizes, measure, None, limit, None, "too few to tell")
    value, p = test()
    verdict: Verdict = "changed" if value >= limit and p < chance else "no change shown"
    return Finding(signal, words(values[0]), words(values[1]), *sizes, measure, value, limit, p, verdict)


def _middle(numbers: Sequence[float]) -> float:
    """Median."""
    ordered = sorted(numbers)
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)
