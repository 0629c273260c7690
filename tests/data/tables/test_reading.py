"""What columns hold is found and told, and bad input is one sentence or a counted loss, never silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import DataError
from studio.schema.loading import Settings
from studio.schema.table_recipe import TableRecipe
from tests.data.tables.made_tables import read, recipe


def types(columns: dict[str, list[str]], /, **fields: object) -> dict[str, str]:
    return {name: column.type for name, column in read(columns, **fields).table.columns.items()}


def test_types_are_found() -> None:
    sentences = [f"the customer number {number} called about a late parcel" for number in range(60)]
    found = types(
        {
            "price": [f"{number}.5" for number in range(60)],
            "city": ["Ulm", "Bonn", "Kiel"] * 20,
            "postcode": ["01067", "89073", "53111"] * 20,
            "day": [f"2024-01-{1 + number % 28:02d}" for number in range(60)],
            "note": sentences,
            "paid": ["True", "False"] * 30,
        }
    )
    assert found == {
        "price": "number",
        "city": "category",
        "postcode": "category",
        "day": "time",
        "note": "text",
        "paid": "category",
    }


def test_columns_with_native_types_keep_them() -> None:
    frame = {
        "n": [1, 2, 3],
        "x": [1.5, None, float("inf")],
        "b": [True, False, True],
        "t": list(pd.to_datetime(["2024-01-01T10:00+02:00"] * 3)),
    }
    found = read(frame)
    assert {name: column.type for name, column in found.table.columns.items()} == {
        "n": "number", "x": "number", "b": "category", "t": "time",
    }  # fmt: skip
    assert found.table.frame["b"].tolist() == ["True", "False", "True"]
    assert found.table.frame["t"].iloc[0] == pd.Timestamp("2024-01-01T08:00")
    assert found.table.frame["x"].isna().tolist() == [False, True, True]
    assert any("x: 1 value of a column of type number is infinite" in note for note in found.notes)


def numbers_with_text() -> dict[str, list[str]]:
    return {
        "amount": [str(number) for number in range(97)] + ["12 EUR", "unknown", "inf"],
        "y": ["a", "b"] * 50,
    }


def test_text_among_numbers_is_made_missing_counted_and_shown() -> None:
    found = read(numbers_with_text(), target="y")
    assert found.table.columns["amount"].type == "number" and len(found.table) == 100
    assert found.table.frame["amount"].isna().sum() == 3
    assert found.notes == [
        "amount: 2 values of a column of type number are no number ('12 EUR', 'unknown'): made missing (values.unreadable)",
        "amount: 1 value of a column of type number is infinite ('inf'): made missing (values.unreadable)",
    ]


def test_rows_with_text_among_numbers_can_be_removed_with_the_reason() -> None:
    found = read(numbers_with_text(), target="y", values={"unreadable": "drop"})
    assert len(found.table) == 97 and [gone.id for gone in found.removed] == ["rows/98", "rows/99", "rows/100"]
    assert [(gone.reason, gone.value) for gone in found.removed] == [
        ("amount is no number", "12 EUR"), ("amount is no number", "unknown"), ("amount is infinite", "inf"),
    ]  # fmt: skip


def test_text_among_numbers_can_stop_the_build() -> None:
    with pytest.raises(DataError, match=r"amount: 2 values .* are no number \('12 EUR', 'unknown'\)\. Mend them"):
        read(numbers_with_text(), target="y", values={"unreadable": "refuse"})


def test_half_a_column_of_numbers_is_a_category_and_says_so() -> None:
    found = read({"size": ["1", "2", "3", "small", "large"] * 10})
    assert found.table.columns["size"].type == "category"
    assert "60% of its values are numbers" in found.notes[0] and "'small', 'large'" in found.notes[0]


def test_a_decimal_comma_is_noticed() -> None:
    found = read({"price": ["1,5", "12,25", "3,0"] * 10})
    assert found.table.columns["price"].type == "category" and "decimal sign ','" in found.notes[0]
    assert types({"price": ["1,5", "12,25", "3,0"] * 10}, values={"decimal": ","}) == {"price": "number"}


def test_dates_in_two_forms_are_read_and_told() -> None:
    days = [f"2024-01-{number:02d}" for number in range(1, 21)] + ["05.02.2024", "06.02.2024", "someday"]
    found = read({"day": days})
    assert found.table.columns["day"].type == "time" and found.table.frame["day"].isna().sum() == 1
    assert "day: dates in 2 forms: 20 as ISO 8601 ('2024-01-01'), 2 as %d.%m.%Y ('05.02.2024')" in found.notes[0]
    assert "1 value of a column of type time is no date in a known form ('someday'): made missing" in found.notes[1]


def test_dates_that_could_be_two_are_never_guessed() -> None:
    found = read({"day": ["25/04/2021", "26/04/2021", "04/27/2021", "03/04/2021"]})
    assert found.table.frame["day"].isna().tolist() == [False, False, False, True]
    assert any("could be two different dates ('03/04/2021'): made missing" in note for note in found.notes)


def test_missing_values_are_those_that_the_recipe_says() -> None:
    columns = {"x": ["1", " NA ", "", "None", "?"] * 3, "c": ["a", "None", "-", "?", "b"] * 3}
    plain = read(columns)
    assert plain.table.columns["x"].type == "category", "None and ? are no numbers and not missing by themselves"
    told = read(columns, values={"missing": ["", "NA", "None", "?"]})
    assert told.table.columns["x"].type == "number" and told.table.frame["x"].isna().sum() == 12
    assert told.table.frame["c"].isna().sum() == 6 and "-" in set(told.table.frame["c"].dropna())


def test_a_type_that_was_said_holds_and_a_hopeless_one_is_refused() -> None:
    assert types({"code": ["1", "2"] * 20}, columns=[{"name": "code", "type": "category"}]) == {"code": "category"}
    with pytest.raises(
        DataError, match="the column 'city' is to hold a number in each row, and 40 of its 40 values are none, such as 'Ulm'"
    ):
        read({"city": ["Ulm", "Bonn"] * 20}, columns=[{"name": "city", "type": "number"}])


def test_a_typo_in_a_name_offers_the_nearest() -> None:
    columns = {"income": ["1", "2"], "repaid": ["yes", "no"]}
    for fields, place in (
        ({"target": "repayed"}, "target"),
        ({"protected": ["incom"]}, "protected"),
        ({"columns": [{"name": "incme"}]}, "columns"),
        ({"features": ["income_"]}, "features"),
    ):
        with pytest.raises(DataError, match=rf"{place}: the table has no column '\w+'. Did you mean '(income|repaid)'"):
            read(columns, **fields)


def test_rows_without_a_target_are_removed_with_the_reason() -> None:
    found = read({"x": ["1", "2", "3", "4"], "y": ["a", "", "b", "NA"]}, target="y")
    assert [(gone.id, gone.reason) for gone in found.removed] == [
        ("rows/2", "the target is missing"), ("rows/4", "the target is missing"),
    ]  # fmt: skip
    assert found.removed[0].row == '{"x": 2, "y": null}'


def test_a_target_that_is_the_same_everywhere_is_refused() -> None:
    with pytest.raises(DataError, match="'y' is 'a' in all 3 rows, so there is nothing to predict"):
        read({"x": ["1", "2", "3"], "y": ["a"] * 3}, target="y")
    with pytest.raises(DataError, match="'y' is a time"):
        read({"x": ["1", "2"], "y": ["2024-01-01", "2024-01-02"]}, target="y")


def test_a_target_of_two_numbers_is_labels_and_of_many_a_number() -> None:
    found = read({"x": ["1", "2", "3", "4"], "y": ["0", "1", "1", "0"]}, target="y")
    assert found.table.columns["y"].type == "category" and found.table.frame["y"].tolist() == ["0", "1", "1", "0"]
    assert "taken for labels" in found.notes[-1]
    assert types({"x": ["1", "2", "3"], "y": ["0", "1", "2"]}, target="y")["y"] == "number"
    assert (
        types({"x": ["1", "2"] * 2, "y": ["0", "1"] * 2}, target="y", columns=[{"name": "y", "type": "number"}])["y"] == "number"
    )


def test_what_columns_are_for() -> None:
    columns = {
        "no": [str(number) for number in range(1, 31)],
        "who": ["a", "b", "c"] * 10,
        "sex": ["m", "f"] * 15,
        "when": ["2024-01-01", "2024-01-02"] * 15,
        "x": ["0.5", "1.5", "9"] * 10,
        "empty": [""] * 30,
        "y": ["u", "v"] * 15,
    }
    found = read(columns, target="y", group="who", time="when", protected=["sex"])
    assert {name: (column.role, column.feature) for name, column in found.table.columns.items()} == {
        "no": ("ignored", False), "who": ("group", False), "sex": ("protected", False), "when": ("time", False),
        "x": ("feature", True), "empty": ("ignored", False), "y": ("target", False),
    }  # fmt: skip
    assert any(note.startswith("no: counts the rows") for note in found.notes)
    assert any(note.startswith("empty: has no value") for note in found.notes)
    asked = read(columns, target="y", protected=["sex"], features=["sex", "no"]).table
    assert asked.columns["sex"].role == "protected" and asked.columns["sex"].feature and asked.columns["no"].feature
    assert not asked.columns["x"].feature


def test_ids_are_kept_and_a_doubled_one_is_refused() -> None:
    found = read({"key": ["k1", "k2"], "x": ["1", "2"]}, id="key")
    assert found.table.ids.tolist() == ["rows/k1", "rows/k2"]
    with pytest.raises(DataError, match="id: 'key' does not tell rows apart: 'k1' stands in 2 rows.*group: key"):
        read({"key": ["k1", "k1"], "x": ["1", "2"]}, id="key")


def test_a_name_that_the_studio_needs_is_refused() -> None:
    with pytest.raises(DataError, match=r"called 'studio_id'.*rename: \{studio_id: NAME\}"):
        read({"studio_id": ["1"], "x": ["2"]})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target": "y", "features": ["y"]}, "'y' is the target and stands under features too"),
        ({"features": ["a"], "ignore": ["a"]}, "'a' stands under features and under ignore"),
        ({"split": {"gap": "3 days"}}, "split.gap is a stretch of time"),
        ({"columns": [{"name": "a"}, {"name": "a"}]}, "columns names 'a' twice"),
        ({"values": {"decimal": ",", "thousands": ","}}, "cannot be the decimal sign and separate thousands too"),
    ],
)
def test_recipes_that_contradict_themselves(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recipe(**fields)


def test_the_schema_is_strict() -> None:
    assert issubclass(TableRecipe, Settings)
    with pytest.raises(ValueError, match="colums"):
        TableRecipe.model_validate({"kind": "table", "sources": [], "colums": []})


def test_codes_and_large_numbers() -> None:
    found = read({"code": ["007", "012", "100"] * 10, "big": [str(2**60 + number) for number in range(30)]})
    assert found.table.columns["code"].type == "category" and "leading zeros" in found.notes[0]
    assert np.isfinite(found.table.frame["big"]).all()


def test_numbers_that_stand_for_missing_ones_are_missing_whatever_the_file() -> None:
    for values in (["-999", "2", "3", "4"], [-999, 2, 3, 4], [-999.0, 2.0, 3.0, 4.0]):
        found = read({"x": values}, values={"missing": ["", "-999"]}).table
        assert found.columns["x"].type == "number" and found.frame["x"].isna().tolist() == [True, False, False, False]


def test_a_target_with_another_label_in_every_row_is_refused() -> None:
    with pytest.raises(DataError, match="'y' has another label in every row, such as 'a'.*Choose another column"):
        read({"x": ["1", "2", "1"], "y": ["a", "b", "c"]}, target="y")
