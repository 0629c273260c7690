"""What tells a group apart from the other rows: means of numbers, shares of categories and of words, in standard deviations.

Legend: n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studio.core.telling import cell_text
from studio.data.examples import Examples
from studio.evals.numbers import figure, number

# Words and categories in fewer rows are chance; more of them are not looked at.
_FEWEST_ROWS = 3
_MOST_WORDS = 3000
# Below this a difference is small by Cohen's rule of thumb, and is not shown.
SMALL = 0.2


@dataclass(frozen=True)
class Trait:
    """One thing in which a group differs.

    name: column, or column and value. here, elsewhere: mean or share, as text. size: standardised difference, of means or of
    shares, in standard deviations of all rows; its sign says whether there is more of it here.
    """

    name: str
    here: str
    elsewhere: str
    size: float


def traits_of(rows: Examples, inside: np.ndarray, most: int) -> list[Trait]:
    """The largest differences between rows of a group and all others.

    Args:
        inside: rows of the group, bool [n]. most: how many, at most.
    """
    if not inside.any() or inside.all():
        return []
    found: list[Trait] = []
    for column in rows.columns:
        values = rows.features[column.name]
        match column.type:
            case "number":
                found += _of_numbers(column.name, column.unit, values.to_numpy(np.float64), inside)
            case "time":
                found += _of_times(column.name, values, inside)
            case "category":
                found += _of_categories(column.name, values, inside)
            case "text":
                found += _of_words(column.name if len(rows.columns) > 1 else "", values, inside)
    found.sort(key=lambda trait: (-abs(trait.size), trait.name))
    return [trait for trait in found if abs(trait.size) >= SMALL][:most]


def _of_numbers(name: str, unit: str | None, values: np.ndarray, inside: np.ndarray) -> list[Trait]:
    """Difference of the means over the standard deviation of all rows."""
    there = ~np.isnan(values)
    here, other = values[inside & there], values[~inside & there]
    if not len(here) or not len(other) or np.ptp(values[there]) == 0:
        return []
    size = float((here.mean() - other.mean()) / values[there].std())
    after = f" {unit}" if unit else ""
    return [Trait(name, f"{number(float(here.mean()))}{after}", f"{number(float(other.mean()))}{after}", size)]


def _of_times(name: str, values: pd.Series, inside: np.ndarray) -> list[Trait]:
    """Difference of the mean moments."""
    moments = pd.to_datetime(values)
    there = moments.notna().to_numpy()
    here, other = moments[inside & there], moments[~inside & there]
    if not len(here) or not len(other) or moments[there].nunique() == 1:
        return []
    seconds = moments[there].astype("datetime64[s]").astype(np.int64).to_numpy()
    apart = (here.mean() - other.mean()).total_seconds()
    return [Trait(name, f"{here.mean():%Y-%m-%d}", f"{other.mean():%Y-%m-%d}", float(apart / seconds.std()))]


def _of_categories(name: str, values: pd.Series, inside: np.ndarray) -> list[Trait]:
    """Difference of the shares of each value."""
    texts = np.array(["(missing)" if value is None or value != value else str(value) for value in values], dtype=object)
    known, codes, counts = np.unique(texts.astype(str), return_inverse=True, return_counts=True)
    within = np.bincount(codes[inside], minlength=len(known))
    names = [f"{name} = {cell_text(value)}" for value in known]
    return _of_shares(names, within, counts, int(inside.sum()), len(texts))


def _of_words(name: str, values: pd.Series, inside: np.ndarray) -> list[Trait]:
    """Difference of the shares of rows that hold a word."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(binary=True, min_df=_FEWEST_ROWS, max_features=_MOST_WORDS)
    try:
        held = counter.fit_transform(["" if value is None or value != value else str(value) for value in values]).tocsr()
    except ValueError:  # no word is in so many rows
        return []
    within, all_rows = (np.asarray(part.sum(axis=0)).reshape(-1) for part in (held[np.flatnonzero(inside)], held))
    names = [f"{name}: “{word}”" if name else f"“{word}”" for word in counter.get_feature_names_out()]
    return _of_shares(names, within, all_rows, int(inside.sum()), len(inside))


def _of_shares(names: Sequence[str], within: np.ndarray, everywhere: np.ndarray, size: int, count: int) -> list[Trait]:
    """Difference of shares over the standard deviation of having it or not."""
    traits = []
    for name, here, total in zip(names, within.tolist(), everywhere.tolist(), strict=True):
        if total < _FEWEST_ROWS or total == count:
            continue
        share, other, overall = here / size, (total - here) / (count - size), total / count
        apart = (share - other) / float(np.sqrt(overall * (1 - overall)))
        traits.append(Trait(name, figure(share, "share"), figure(other, "share"), apart))
    return traits
