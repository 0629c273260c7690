"""The grid of a series: its frequency is found with and without holes, and stamps have places on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import UserError
from studio.models.forecast.calendar import Calendar, find_frequency, horizon_of, offset_of, season_of

# Frequency, what it is found as, season, usual horizon.
KNOWN = [
    ("MS", "MS", 12, 18), ("ME", "ME", 12, 18), ("QS-OCT", "QS-JAN", 4, 8), ("QE-DEC", "QE-DEC", 4, 8),
    ("YS-JAN", "YS-JAN", 1, 6), ("W-SAT", "W-SAT", 52, 13), ("h", "h", 24, 48), ("15min", "15min", 96, 12),
    ("D", "D", 7, 14), ("B", "B", 5, 14), ("2h", "2h", 12, 12), ("month", "month", 12, 18), ("quarter", "quarter", 4, 8),
    ("year", "year", 1, 6), ("2D", "2D", 1, 14),
]  # fmt: skip


@pytest.mark.parametrize(("frequency", "found", "season", "horizon"), KNOWN)
def test_frequencies_are_found_with_and_without_holes(frequency: str, found: str, season: int, horizon: int) -> None:
    start = pd.Timestamp("2001-01-15" if frequency in {"month", "quarter", "year"} else "2001-01-06")
    calendar = Calendar(frequency, season)
    stamps = calendar.stamps(start, 60)
    assert find_frequency(stamps) == (found, 1.0)
    kept = np.ones(60, dtype=bool)
    kept[[5, 17, 18, 40]] = False
    name, share = find_frequency(stamps[kept]) or ("", 0.0)
    assert name == found and 0.7 < share < 1
    np.testing.assert_array_equal(calendar.places(stamps[0], stamps[kept]), np.flatnonzero(kept))
    assert (season_of(frequency), horizon_of(frequency)) == (season, horizon)


def test_stamps_beside_the_grid_have_no_place() -> None:
    calendar = Calendar("MS", 12)
    stamps = pd.DatetimeIndex(["2020-01-01", "2020-01-15", "2020-03-01"])
    assert calendar.places(stamps[0], stamps).tolist() == [0, -1, 2]
    assert [str(stamp.date()) for stamp in calendar.ahead(pd.Timestamp("2020-11-01"), 2)] == ["2020-12-01", "2021-01-01"]


def test_irregular_stamps_have_no_frequency_and_unknown_names_are_refused() -> None:
    stamps = pd.DatetimeIndex(["2020-01-01", "2020-01-02", "2020-01-05", "2020-01-11", "2020-02-01"])
    assert find_frequency(stamps) is None and find_frequency(stamps[:2]) is None
    with pytest.raises(UserError, match="'weekly' is no frequency. Usual ones"):
        offset_of("weekly")
