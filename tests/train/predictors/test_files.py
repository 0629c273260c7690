"""Tables of people against what a model knows of its columns."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import DataError
from studio.models.predictors.base import Filling
from studio.schema.columns import Column
from studio.train.predictors.files import Known, features_of, read_source

COLUMNS = [Column(name="weight", type="number"), Column(name="sent", type="time"), Column(name="carrier", type="category")]
KNOWN = Known(COLUMNS, {"carrier": Filling(values=["road", "rail"], distinct=2)}, "late", {"values": {}})


def test_values_come_as_examples_have_them() -> None:
    rows = pd.DataFrame({"weight": ["1.5", "NA"], "sent": ["2024-01-31", ""], "carrier": ["road", None]})
    found = features_of(KNOWN, rows, "a.csv")
    assert found.features["weight"].dtype == np.float64 and found.features["sent"].dtype.kind == "M"
    assert found.features["carrier"].tolist() == ["road", None] and found.notes == []
    assert found.features.isna().sum().tolist() == [1, 1, 1] and list(found.features) == ["weight", "sent", "carrier"]


def test_whole_numbers_of_other_programs_are_categories_again() -> None:
    known = Known([Column(name="code", type="category")], {"code": Filling(values=["1", "2"], distinct=2)}, rules={"values": {}})
    found = features_of(known, pd.DataFrame({"code": [1.0, 2.0, np.nan]}), "a.parquet")
    assert found.features["code"].tolist() == ["1", "2", None] and found.notes == []


def test_times_with_a_zone_are_in_utc() -> None:
    moments = pd.to_datetime(["2024-01-31 12:00+02:00", None], utc=True).tz_convert("Europe/Berlin")
    rows = pd.DataFrame({"weight": [1, 2], "sent": moments, "carrier": ["road", "rail"]})
    found = features_of(KNOWN, rows, "a.parquet")
    assert found.features["sent"][0] == pd.Timestamp("2024-01-31 10:00")


def test_a_date_in_two_forms_is_told() -> None:
    rows = pd.DataFrame({"weight": ["1"] * 3, "sent": ["2024-01-31", "31.01.2024", "soon"], "carrier": ["road"] * 3})
    found = features_of(KNOWN, rows, "a.csv")
    assert found.features["sent"].notna().tolist() == [True, True, False]
    assert found.notes[0] == "sent: 1 value counts as missing, for it is no date in a known form: 'soon'"
    assert found.notes[1].startswith("sent: dates in 2 forms: ")


def test_what_was_not_counted_in_training_is_not_called_unknown() -> None:
    """Of a column with more categories than are kept, nobody can say which are new."""
    known = Known(COLUMNS[2:], {"carrier": Filling(values=["road"], distinct=5000)}, rules={"values": {}})
    assert features_of(known, pd.DataFrame({"carrier": ["kite"]}), "a.csv").notes == []


def test_nothing_of_what_is_needed_is_refused_even_where_columns_may_be_filled() -> None:
    known = Known(COLUMNS, {}, rules={"missing_columns": "fill"})
    with pytest.raises(
        DataError, match=r"a.csv lacks weight, sent, carrier, which this run predicts from. Its columns: x. Add them."
    ):
        features_of(known, pd.DataFrame({"x": [1]}), "a.csv")


def test_texts_without_a_table_behind_them_are_taken_as_they_stand() -> None:
    known = Known([Column(name="text", type="text")], {})
    found = features_of(known, pd.DataFrame({"text": ["NA", "", "null"]}), "a.csv")
    assert found.features["text"].tolist() == ["NA", None, "null"]


def test_packed_tables_in_any_encoding_are_rows_too(tmp_path: Path) -> None:
    known = Known([Column(name="name", type="text")], {})
    names = ["第一种鸟叫什么名字", "它叫鹪鹩是一种小鸟", "你们几点开门"]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(("name\n" + "\n".join(names) + "\n").encode("gb18030")))
    found = read_source(known, str(tmp_path / "a.csv.gz"))
    assert found.rows["name"].tolist() == names and any("read as GB18030" in note for note in found.notes)
