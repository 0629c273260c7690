"""Texts become numbers and times only where they surely are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from studio.data.frames.values import ISO, NumberSigns, to_numbers, to_times


def texts(*values: str) -> pd.Series:
    return pd.Series(values, dtype="str")


@pytest.mark.parametrize(
    ("signs", "written", "meant"),
    [
        (NumberSigns(), ["1", " 2.5 ", "-3e2", "+4"], [1, 2.5, -300, 4]),
        (NumberSigns(",", "."), ["1.234,5", "-12,25", "1.000.000"], [1234.5, -12.25, 1e6]),
        (NumberSigns(".", ","), ["1,234.5", "12,345,678"], [1234.5, 12345678]),
        (NumberSigns(",", ""), ["0,5", "3"], [0.5, 3]),
        (NumberSigns(".", "'"), ["1'234.5"], [1234.5]),
    ],
)
def test_numbers_as_people_write_them(signs: NumberSigns, written: list[str], meant: list[float]) -> None:
    assert to_numbers(texts(*written), signs).tolist() == meant


@pytest.mark.parametrize(
    ("signs", "written"),
    [
        (NumberSigns(), ["1,5", "12 EUR", "0x1A", "True", "1_000", "", "12%"]),
        (NumberSigns(",", "."), ["1.5", "1,2,3"]),
        (NumberSigns(",", ""), ["1.5"]),
        (NumberSigns(".", ","), ["1,5", "12,34"]),
    ],
)
def test_what_is_no_number_is_not_guessed(signs: NumberSigns, written: list[str]) -> None:
    assert np.isnan(to_numbers(texts(*written), signs)).all()


def test_infinite_and_too_large_numbers_are_told_apart_from_none() -> None:
    assert np.isinf(to_numbers(texts("inf", "-Infinity", "1e400"), NumberSigns())).all()


def test_dates_in_one_form() -> None:
    for written, form in (("2024-02-05", ISO), ("2024-02-05T10:30:00+02:00", ISO), ("05.02.2024 10:30", "%d.%m.%Y %H:%M")):
        found = to_times(texts(written, written), (), day_first=True)
        assert list(found.formats) == [form] and not np.isnat(found.values).any() and not found.doubtful
    zoned = to_times(texts("2024-02-05T10:30:00+02:00"), (), day_first=True)
    assert zoned.values[0] == np.datetime64("2024-02-05T08:30"), "kept in UTC"


def test_dates_in_two_forms_are_each_read_by_their_own() -> None:
    found = to_times(texts("2024-02-05", "05.03.2024", "2024-12-31", "nonsense"), (), day_first=True)
    assert found.formats == {ISO: (2, "2024-02-05"), "%d.%m.%Y": (1, "05.03.2024")}
    assert found.values[:3].astype("datetime64[D]").astype(str).tolist() == ["2024-02-05", "2024-03-05", "2024-12-31"]
    assert np.isnat(found.values[3]) and not found.ambiguous.any()


def test_a_date_that_two_forms_of_the_column_read_differently_is_ambiguous() -> None:
    found = to_times(texts("25/04/2021", "04/25/2021", "03/04/2021", "05/05/2021"), (), day_first=True)
    assert found.ambiguous.tolist() == [False, False, True, False]
    assert np.isnat(found.values).tolist() == [False, False, True, False]
    assert found.values[[0, 1]].astype("datetime64[D]").astype(str).tolist() == ["2021-04-25", "2021-04-25"]


def test_where_no_date_decides_day_first_is_a_setting_and_told() -> None:
    day, month = (to_times(texts("03/04/2021", "01/02/2021"), (), day_first=first) for first in (True, False))
    assert day.doubtful and month.doubtful
    assert day.values[0] == np.datetime64("2021-04-03") and month.values[0] == np.datetime64("2021-03-04")
    assert not to_times(texts("03/04/2021", "25/02/2021"), (), day_first=False).doubtful, "the second date decides"


def test_only_the_forms_that_are_said_are_read() -> None:
    found = to_times(texts("20240205", "2024-02-05"), ("%Y%m%d",), day_first=True)
    assert np.isnat(found.values).tolist() == [False, True]
