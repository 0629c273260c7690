"""Shapley values of the columns of a row: what each adds on average, over all orders in which columns become known.

Legend: d columns, b background rows, m orders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

# From which columns are the row's own, the others from a background row: bool [s, d], background row int [s] -> values [s].
Game = Callable[[np.ndarray, np.ndarray], np.ndarray]


def exact_shapley(game: Game, columns: int, background: int) -> tuple[np.ndarray, float]:
    """By enumerating all sets of columns, each over all background rows: 2^d x b values.

    Returns:
        contributions [d], and the mean over the background, from which they lead to the row's value.
    Source: Shapley 1953; the value of a set of columns is the mean over the background where only these are the row's (Lundberg
    and Lee 2017, https://arxiv.org/abs/1705.07874, with the background taken whole).
    """
    sets = [members for size in range(columns + 1) for members in combinations(range(columns), size)]
    known = np.zeros((len(sets), columns), dtype=bool)
    for row, members in enumerate(sets):
        known[row, list(members)] = True
    values = game(np.repeat(known, background, axis=0), np.tile(np.arange(background), len(sets)))
    means = dict(zip(sets, values.reshape(len(sets), background).mean(axis=1), strict=True))
    found = np.zeros(columns)
    for members in sets[:-1]:  # nothing joins the whole
        share = math.factorial(len(members)) * math.factorial(columns - len(members) - 1) / math.factorial(columns)
        for column in set(range(columns)) - set(members):
            found[column] += share * (means[tuple(sorted((*members, column)))] - means[members])
    return found, float(means[()])


def sampled_shapley(game: Game, columns: int, background: int, orders: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """By drawing orders: in each the columns become the row's own one after the other, starting from a background row.

    Every other order is the one before it backwards, which takes away most of what orders differ by; background rows are gone
    through in turn. m x (d + 1) values.

    Returns:
        contributions [d], their standard errors [d], and the mean over the background rows that were drawn.
    Source: Strumbelj and Kononenko 2014, https://doi.org/10.1007/s10115-013-0679-x, algorithm 2; backwards orders: Mitchell et
    al. 2022, https://arxiv.org/abs/2104.12199.
    """
    generator = np.random.default_rng(seed)
    pairs = max(2, orders // 2)
    drawn: list[np.ndarray] = []
    for _ in range(pairs):
        order = generator.permutation(columns)
        drawn += [order, order[::-1]]
    rows = np.concatenate([generator.permutation(background) for _ in range(-(-pairs // background))])[:pairs].repeat(2)
    known = np.stack([_steps(order) for order in drawn])  # [m, d + 1, d]
    values = game(known.reshape(-1, columns), rows.repeat(columns + 1)).reshape(len(drawn), columns + 1)
    gains = np.zeros((len(drawn), columns))
    for place, order in enumerate(drawn):
        gains[place, order] = np.diff(values[place])
    # The two orders of a pair are not independent, so that their mean is one observation.
    each = gains.reshape(pairs, 2, columns).mean(axis=1)
    return each.mean(axis=0), each.std(axis=0, ddof=1) / math.sqrt(pairs), float(values[:, 0].mean())


def _steps(order: Sequence[int] | np.ndarray) -> np.ndarray:
    """Which columns are known before the first and after each step of an order: bool [d + 1, d]."""
    known = np.zeros((len(order) + 1, len(order)), dtype=bool)
    for step, column in enumerate(order, start=1):
        known[step:, column] = True
    return known
