"""Stamps are read in one way per column, and what may be read in two is refused with the rows."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from studio.core.errors import DataError
from studio.data.series.stamps import Stamps, looks_like_stamps, read_stamps


def read(values: list[Any], form: str | None = None) -> Stamps:
    return read_stamps(pd.Series(values), list(range(1, len(values) + 1)), "date", "sales.csv", form)


def days(stamps: Stamps) -> list[str]:
    return [str(moment) for moment in stamps.times]


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (["2020-03-01", "2020-03-02"], "2020-03-01 00:00:00"),
        (["2020/03/01 10:00", "2020/03/01 11:00"], "2020-03-01 10:00:00"),
        (["1949-01", "1949-02"], "1949-01-01 00:00:00"),
        (["1949Q2", "1949Q3"], "1949-04-01 00:00:00"),
        (["1949 Q2", "1949-Q3"], "1949-04-01 00:00:00"),
        (["1949M02", "1949M03"], "1949-02-01 00:00:00"),
        ([1700, 1701], "1700-01-01 00:00:00"),
        ([1700.0, 1701.0], "1700-01-01 00:00:00"),
        (["19580329", "19580405"], "1958-03-29 00:00:00"),
        (["31.12.2020", "01.01.2021"], "2020-12-31 00:00:00"),
        (["12/31/2020", "01/01/2021"], "2020-12-31 00:00:00"),
        (["1700000000", "1700003600"], "2023-11-14 22:13:20"),
    ],
)
def test_usual_ways_of_writing_are_understood(values: list[Any], first: str) -> None:
    assert days(read(values))[0] == first


def test_two_formats_are_refused_with_the_rows() -> None:
    with pytest.raises(DataError) as caught:
        read(["2020-01-01", "2020-02-01", "03/02/2020", "2020-04-01", "05/02/2020"])
    said = str(caught.value)
    assert "two formats" in said and "row 3 '03/02/2020', row 5 '05/02/2020'" in said and said.startswith("sales.csv: ")


def test_a_day_that_may_be_a_month_is_refused_and_so_are_both_ways() -> None:
    with pytest.raises(DataError, match=r"may mean two days. Say which with time_format: '%d/%m/%Y' or '%m/%d/%Y'"):
        read(["01/02/2021", "01/03/2021"])
    assert days(read(["01/02/2021", "01/03/2021"], "%d/%m/%Y"))[0] == "2021-02-01 00:00:00"
    with pytest.raises(DataError, match=r"day first \(13/02/2021\) and month first \(01/13/2021\)"):
        read(["13/02/2021", "01/13/2021"])


def test_a_text_that_does_not_fit_the_format_that_is_said_is_named() -> None:
    with pytest.raises(DataError, match="row 2 '1949-02'"):
        read(["Jan-49", "1949-02"], "%b-%y")
    with pytest.raises(DataError, match="time_format"):
        read(["Jan 1949", "Feb 1949"])


def test_missing_stamps_and_days_that_do_not_exist_have_a_reason_each() -> None:
    found = read(["2021-01-31", "n/a", None, "2021-02-30", "2021-03-01"])
    assert found.reasons == {1: "no stamp", 2: "no stamp", 3: "the stamp is no date"}


def test_time_zones_become_utc_and_days_stay_days() -> None:
    found = read(["2021-03-27T01:00:00+01:00", "2021-03-27T02:00:00+01:00"])
    assert days(found)[0] == "2021-03-27 00:00:00" and "converted to UTC" in found.notes[0]
    # Midnight in Stockholm is 23:00 or 22:00 in UTC, by the season; a daily series would have no frequency any more.
    local = read(["2021-03-27T00:00:00+01:00", "2021-03-28T00:00:00+01:00", "2021-03-29T00:00:00+02:00"])
    assert days(local) == ["2021-03-27 00:00:00", "2021-03-28 00:00:00", "2021-03-29 00:00:00"]
    assert "the days are kept" in local.notes[0]
    aware = pd.Series(pd.date_range("2021-01-01", periods=3, freq="h", tz="Europe/Stockholm"))
    assert str(read_stamps(aware, [1, 2, 3], "date", "f", None).times[0]) == "2020-12-31 23:00:00"


def test_a_zone_in_some_rows_only_is_a_second_format() -> None:
    with pytest.raises(DataError, match="two formats"):
        read(["2021-03-27T01:00:00", "2021-03-27T02:00:00", "2021-03-27T03:00:00Z"])


def test_numbers_and_words_do_not_look_like_stamps() -> None:
    assert looks_like_stamps(pd.Series(["1949-01"])) and looks_like_stamps(pd.Series([1700.0, 1701.0]))
    assert not looks_like_stamps(pd.Series(["12.5", "13"])) and not looks_like_stamps(pd.Series(["x1", "x2"]))
    assert not looks_like_stamps(pd.Series([112, 118]))
