"""BLEU, chrF and TER from sacrebleu's pooled counts, for many draws of examples at once.

The plain score is sacrebleu's own; these are the same formulas over arrays, for the intervals, and a test holds the two together.

Legend: r draws.
"""

from __future__ import annotations

import numpy as np

from studio.evals.pieces import Floats

_ORDERS = 4
_BETA2 = 4.0


def bleu(sums: Floats) -> Floats:
    """Length of answers and references, matches of 1 to 4 words, runs of 1 to 4 words: [r, 10] -> [r], 0 to 100.

    Source: sacrebleu's ``BLEU.compute_bleu`` with its default smoothing ``exp``.
    """
    said, wanted, matches, runs = sums[:, 0], sums[:, 1], sums[:, 2 : 2 + _ORDERS], sums[:, 2 + _ORDERS :]
    with np.errstate(all="ignore"):
        brevity = np.where(said < wanted, np.exp(1 - wanted / said), 1.0)
        smoothing = 2.0 ** np.cumsum(matches == 0, axis=1)
        precisions = np.where(matches == 0, 1.0 / (smoothing * runs), matches / runs)
        values = 100 * brevity * np.exp(np.log(precisions).mean(axis=1))
    # No run of four words at all, or no word in common.
    return np.where((runs == 0).any(axis=1) | ~matches.any(axis=1), 0.0, values)


def chrf(sums: Floats) -> Floats:
    """Runs of 1 to 6 characters of answers, of references and in common, in turn: [r, 18] -> [r], 0 to 100.

    Source: sacrebleu's ``CHRF._compute_f_score`` with beta 2 and its effective order.
    """
    said, wanted, matches = sums[:, 0::3], sums[:, 1::3], sums[:, 2::3]
    known = (said > 0) & (wanted > 0)
    with np.errstate(all="ignore"):
        orders = known.sum(axis=1)
        precision = np.where(known, matches / said, 0.0).sum(axis=1) / orders
        recall = np.where(known, matches / wanted, 0.0).sum(axis=1) / orders
        values = 100 * (1 + _BETA2) * precision * recall / (_BETA2 * precision + recall)
    scores: Floats = np.nan_to_num(values)
    return scores


def ter(sums: Floats) -> Floats:
    """Edits and words of the references: [r, 2] -> [r], edits per 100 words.

    Source: sacrebleu's ``TER._compute_score_from_stats``.
    """
    with np.errstate(all="ignore"):
        values: Floats = 100 * np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], (sums[:, 0] > 0).astype(np.float64))
    return values


POOLED = {"bleu": bleu, "chrf": chrf, "ter": ter}
