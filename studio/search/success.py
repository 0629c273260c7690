"""What success would need: how many test rows carry a threshold, by the arithmetic that gates go by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from studio.evals.comparisons import share_difference
from studio.evals.gate import TOLERATED
from studio.evals.intervals import FEWEST, share_interval
from studio.evals.metrics import METRICS
from studio.evals.numbers import figure
from studio.schema.suite import Threshold

# Shares of rows that are right or wrong beyond those of the registry: of tasks on labels.
_OF_LABELS = frozenset({"accuracy"})
# The two models of a comparison give another answer on this share of the rows: few, as two that are about equally good do.
_DISAGREE = 0.1
_MOST = 1_000_000


def success_sentences(thresholds: Sequence[Threshold], test_rows: int | None) -> list[str]:
    """One sentence per threshold: what has to be measured, and on how many rows."""
    return [_sentence(item, test_rows) for item in thresholds]


def _sentence(item: Threshold, test_rows: int | None) -> str:
    """What one threshold needs."""
    name, there = item.metric, "" if test_rows is None else f" (test has {test_rows:,})"
    if item.bound in {"at_least", "at_most"} and is_share(name):
        limit, below = float(getattr(item, item.bound)), item.bound == "at_most"
        truths = [(value, needed_share(value, limit, below)) for value in _truths(limit, below)]
        parts = [f"{_about(count)} rows if it is {figure(value, 'share')}" for value, count in truths]
        required = f"{name} of {'at most' if below else 'at least'} {figure(limit, 'share')}"
        return f"{required} can be shown on {' or '.join(parts)}{there}"
    if item.bound.startswith("not_worse") and is_share(name):
        margin = item.not_worse_than_base_by if item.not_worse_than_base_by is not None else TOLERATED
        return (
            f"{name} worse than the base by at most {figure(margin, 'share')} can be shown on {_about(needed_paired(margin))} "
            f"rows, if the two are equally good and answer alike on nine of ten{there}"
        )
    return (
        f"{name}: how many rows it takes depends on how much single rows differ, which the first evaluation shows; studio eval "
        f"--gate then names the number{there}"
    )


def is_share(name: str) -> bool:
    """True where a metric is the share of rows that are right, or wrong."""
    bare = name.rpartition(".")[2]
    return bare in _OF_LABELS or (bare in METRICS and bool(METRICS.get(bare).right_or_wrong))


def _truths(limit: float, below: bool) -> list[float]:
    """True values for which the number is told: halfway to the end of the scale, and a quarter of the way."""
    room = limit if below else 1 - limit
    return [limit - share * room if below else limit + share * room for share in (0.25, 0.5)]


def needed_share(value: float, limit: float, below: bool) -> int | None:
    """About how many rows show a share to lie on the good side of a limit, if it is this; None where none do."""

    def carries(count: int) -> bool:
        # Of a part of a row, the worse whole number.
        hits = math.ceil(value * count) if below else math.floor(value * count)
        bounds = share_interval(float(hits), count)
        return bounds is not None and (bounds[1] <= limit if below else bounds[0] >= limit)

    return _least(carries)


def needed_paired(margin: float) -> int | None:
    """Rows on which a loss beyond the margin is ruled out, if two models that are equally good disagree on a tenth of them."""

    def carries(count: int) -> bool:
        alone = math.ceil(_DISAGREE / 2 * count)
        bounds = share_difference(alone, alone, count)
        return bounds is not None and -bounds[0] <= margin

    return _least(carries)


def _least(carries: Callable[[int], bool]) -> int | None:
    """Smallest count that carries, about."""
    count = FEWEST
    while not carries(count):
        count = math.ceil(count * 1.05)
        if count > _MOST:
            return None
    return count


def _about(count: int | None) -> str:
    """A number of rows to two digits."""
    if count is None:
        return f"more than {_MOST:,}"
    unit = 10 ** max(0, len(str(count)) - 2)
    return f"about {math.ceil(count / unit) * unit:,}"
