"""Rows by what stands in one of their columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

from studio.core.errors import UserError

# A slice with fewer rows is marked: its interval is wide.
FEW = 30
# More values than this are no slices but names of rows.
MOST = 40
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?(?= to |$)")


def places_by_value(name: str, values: Sequence[str | None]) -> dict[str, list[int]]:
    """Places of the rows with each value of a column; rows without one are in none. Numbers and ranges of them are in their
    order, of other values the commonest comes first.

    Raises:
        UserError: its values are no slices.
    """
    places: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        if value is not None:
            places.setdefault(value, []).append(place)
    if len(places) > MOST:
        raise UserError(
            f"slices: the column '{name}' has {len(places)} different values in {len(values)} rows, at most {MOST} can be shown. "
            "Name a coarser one."
        )
    numbers = {value: found.group() for value in places if (found := _NUMBER.match(value))}
    if len(numbers) == len(places):
        return dict(sorted(places.items(), key=lambda item: float(numbers[item[0]])))
    return dict(sorted(places.items(), key=lambda item: (-len(item[1]), item[0])))
