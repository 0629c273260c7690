"""Perplexity of the reference answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, SumStatistic, ratio
from studio.evals.pieces import Floats
from studio.evals.statistics import Scale


def measure(evidence: Sequence[Evidence]) -> SumStatistic:
    """exp(total NLL / supervised tokens), in nats, over assistant tokens with their end tokens; not a mean of row perplexities.

    Where turns have weights it is exp(sum of w * NLL / sum of w) over tokens, as the loss of training counts them.
    Rows without a supervised token have no likelihood and lower coverage.
    """
    rows = [item.likelihood if item.likelihood and item.likelihood.tokens else None for item in evidence]
    sums = np.array([[row.nll, row.mass] if row else [0.0, 0.0] for row in rows], dtype=np.float64).reshape(-1, 2)
    each = [_finite(math.exp(min(row.nll / row.mass, 700.0))) if row else None for row in rows]
    return SumStatistic(sums, np.array([row is not None for row in rows], dtype=bool), each, _perplexity)


def _perplexity(sums: Floats) -> Floats:
    """[r, 2] of NLL and tokens -> [r]."""
    with np.errstate(over="ignore"):
        values: Floats = np.exp(ratio(sums))
    return values


def _finite(value: float) -> float | None:
    """None for a value too large to write down."""
    return value if math.isfinite(value) else None


PERPLEXITY = Metric(
    key="perplexity",
    title="Perplexity",
    unit="perplexity per token",
    scale=Scale(1.0, math.inf, form="log"),
    better="lower",
    needs="likelihood",
    explains=(
        "How surprised the model is by the reference answers: exp(total negative log-likelihood / tokens), over the assistant's "
        "tokens and their end token only, written with the same chat template as in training, and of raw text over every token "
        "but the first; a turn's weight multiplies its tokens above and below the line. 1 would be certainty."
    ),
    measure=measure,
    made_with=lambda: f"torch {version('torch')}, log-softmax in float32, natural logarithm",
    per_token=True,
)
