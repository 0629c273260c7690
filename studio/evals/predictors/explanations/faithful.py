"""Whether explanations name what matters: deleting the parts that they put first must hurt more than deleting others.

Source: Samek et al. 2017, https://doi.org/10.1109/TNNLS.2016.2599820, region perturbation; DeYoung et al. 2020,
https://doi.org/10.18653/v1/2020.acl-main.408, comprehensiveness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studio.evals.numbers import number
from studio.evals.predictors.explanations.means import mean_interval
from studio.evals.predictors.explanations.parts import Explainer, Explanation, Part
from studio.evals.predictors.explanations.values import LOG_ODDS, PROBABILITY
from studio.evals.statistics import owners_of

# Share of a row's parts that is deleted.
_DELETED = 0.2
# Random parts that are deleted instead, one draw after the other.
_DRAWS = 10


@dataclass(frozen=True)
class Faithful:
    """Deleting the first parts against deleting random ones, over rows.

    top, random: mean drop of the explained value (of numbers: mean change). difference: of the two, with its 95% interval, None
    where there are too few rows. rows: how many. deleted: parts that were deleted of a row on average. unit: of the explained
    value. nouns: what parts are, one and several.
    """

    top: float
    random: float
    difference: float
    low: float | None
    high: float | None
    rows: int
    deleted: float
    unit: str
    nouns: tuple[str, str]

    @property
    def shown(self) -> bool:
        """True where the first parts matter more than random ones, beyond chance."""
        return self.low is not None and self.low > 0

    @property
    def told(self) -> str:
        """The check in two sentences."""
        first, others = _named(round(self.deleted), self.nouns)
        bounds = f" ({number(self.low)} to {number(self.high)})" if self.low is not None else ""
        seen = (
            f"Deleting the {first} that an explanation puts first changes {_what(self.unit)} by {number(self.top)} on average "
            f"over {self.rows} rows, {others} by {number(self.random)}: {number(self.difference)} more{bounds}."
        )
        if self.shown:
            return f"{seen} So the explanations name what the model goes by."
        if self.low is None:
            return f"{seen} That is too few rows to tell."
        return f"{seen} It is not shown that what they name matters more than other {self.nouns[1]}: do not rely on them."


def check(
    explainer: Explainer,
    rows: pd.DataFrame,
    found: Sequence[Explanation],
    labels: Sequence[str | None],
    *,
    seed: int,
    clusters: Sequence[object] | None = None,
) -> Faithful | None:
    """Delete parts of every row; None where no row has parts enough to choose from.

    Args:
        rows: that were explained. found: their explanations. labels: that were explained, None for numbers.
        clusters: a name per row, where rows are not independent.
    """
    generator = np.random.default_rng(seed)
    drops: list[tuple[float, float, int, int]] = []
    for place, (explanation, label) in enumerate(zip(found, labels, strict=True)):
        drop = _drops(explainer, rows.iloc[[place]], explanation, label, generator)
        if drop is not None:
            drops.append((*drop, place))
    if not drops:
        return None
    top, random, deleted, places = (np.array(values) for values in zip(*drops, strict=True))
    kept = np.isin(np.arange(len(rows)), places)
    low, high = mean_interval(top - random, owners_of(kept, clusters))
    return Faithful(
        top=float(top.mean()),
        random=float(random.mean()),
        difference=float((top - random).mean()),
        low=low,
        high=high,
        rows=len(drops),
        deleted=float(deleted.mean()),
        unit=found[0].unit,
        nouns=explainer.nouns,
    )


def of_row(explainer: Explainer, row: pd.DataFrame, found: Explanation, *, seed: int) -> str | None:
    """The same of one row, in a sentence; None where it has too few parts."""
    label = found.of if explainer.labels else None
    drop = _drops(explainer, row, found, label, np.random.default_rng(seed))
    if drop is None:
        return None
    top, random, deleted = drop
    first, others = _named(deleted, explainer.nouns)
    verdict = "as it should be" if top > random else "which speaks against this explanation"
    moved, how = ("changes", "move it most") if label is None else ("falls", "speak most for it")
    how = how if deleted > 1 else how.replace("move", "moves").replace("speak", "speaks")
    return (
        f"Check: without the {first} that {how}, {_what(found.unit)} {moved} by {number(top)}, without {others} by "
        f"{number(random)} on average, {verdict}."
    )


def _named(count: int, nouns: tuple[str, str]) -> tuple[str, str]:
    """What is deleted, and what is instead, for people."""
    return (f"{count} {nouns[1]}", "as many random ones") if count > 1 else (nouns[0], "a random one")


def _what(unit: str) -> str:
    """What changes, for people."""
    return f"the {unit}" if unit in {LOG_ODDS, PROBABILITY} else "the prediction"


def _drops(
    explainer: Explainer, row: pd.DataFrame, found: Explanation, label: str | None, generator: np.random.Generator
) -> tuple[float, float, int] | None:
    """By how much the value drops (of a number: changes) without the first parts, without random ones, and how many they were."""
    places = explainer.places(row)
    count = max(1, round(_DELETED * len(places)))
    ordered = [part.place for part in _speaking(found, label)][:count]
    if len(places) < 3 or not ordered:
        return None
    drawn = [generator.choice(places, size=len(ordered), replace=False).tolist() for _ in range(_DRAWS)]
    values = found.value - explainer.without(row, label, [ordered, *drawn])
    if label is None:
        values = np.abs(values)
    return float(values[0]), float(values[1:].mean()), len(ordered)


def _speaking(found: Explanation, label: str | None) -> list[Part]:
    """Parts in the order in which they are deleted: of a label those that speak for it, of a number those that move it most."""
    if label is None:
        return sorted(found.parts, key=lambda part: (-abs(part.contribution), part.place))
    return sorted((part for part in found.parts if part.contribution > 0), key=lambda part: (-part.contribution, part.place))
