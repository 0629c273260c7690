"""Each step does what its recipe says, on what it learned from training rows, and tells what it did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from studio.core.errors import DataError
from studio.data.tables.build import make_table_step
from studio.data.tables.facts import limit_categories
from studio.data.tables.steps.base import Outcome
from studio.data.tables.steps.suspicious import stand_in, two_units
from studio.data.tables.table import DataTable
from studio.schema.table_recipe import TableRecipe, ValueSettings
from tests.data.tables.made_tables import recipe, table


def run(made: DataTable, name: str, **settings: Any) -> Outcome:
    asked: TableRecipe = recipe(steps=[{"step": name, **settings}])
    return make_table_step(asked.steps[0]).run(made)


def halves(count: int) -> list[str]:
    return ["train"] * (count // 2) + ["test"] * (count - count // 2)


def test_missing_values_are_flagged_beside_their_column_and_not_predicted_from() -> None:
    made = table({"x": ["1", "", "3", ""], "z": ["a", "b", "c", "d"]}, halves(4))
    found = run(made, "missing")
    assert found.table.frame["x missing"].tolist() == ["no", "yes", "no", "yes"] and "z missing" not in found.table.columns
    assert not found.table.columns["x missing"].feature and found.changed == 2 and not found.drops
    assert "2 rows lack a value: x (2)" in found.notes[0]
    assert list(made.frame.columns) == ["x", "z"], "the table that came in is left as it was"


def test_rows_with_missing_values_go_with_the_column_named() -> None:
    found = run(table({"x": ["1", "", "3"], "z": ["a", "b", ""]}), "missing", action="drop")
    assert {place: (drop.reason, drop.value) for place, drop in found.drops.items()} == {
        1: ("a value is missing", "x"), 2: ("a value is missing", "z"),
    }  # fmt: skip
    assert list(run(table({"x": ["1", ""], "z": ["", "b"]}), "missing", action="drop", columns=["x"]).drops) == [1]


def test_equal_rows_go_and_name_the_first() -> None:
    made = table({"key": ["a", "b", "c", "d"], "x": ["1", "1", "1", ""], "y": ["u", "u", "v", "u"]}, id="key")
    found = run(made, "exact_duplicates")
    assert {place: drop.matched for place, drop in found.drops.items()} == {1: "rows/a"}
    assert list(run(made, "exact_duplicates", columns=["x"]).drops) == [1, 2]
    empty = table({"x": ["", "", "1"], "y": ["u", "u", "u"]})
    assert list(run(empty, "exact_duplicates").drops) == [1], "missing values equal each other"


def test_near_texts_go_and_other_targets_are_told() -> None:
    text = "the pump in the cellar of the old house by the river has been leaking since the storm of last week"
    texts = [text, f"{text} indeed", "nothing of the kind was ever seen in this town, say those who live in it", text.upper()]
    made = table({"note": texts, "y": ["a", "b", "a", "a"]}, columns=[{"name": "note", "type": "text"}], target="y")
    found = run(made, "near_duplicates")
    assert {place: drop.matched for place, drop in found.drops.items()} == {1: "rows/1", 3: "rows/1"}
    assert float(found.drops[1].value or 0) > 0.8 and found.notes == [
        "1 row had another y than the row whose text is nearly the same"
    ]
    with pytest.raises(DataError, match="no column of type text"):
        run(table({"x": ["1", "2"]}), "near_duplicates")


def with_outlier() -> DataTable:
    """99 values around 10 and one of 1,000 in train; one of 900 in test."""
    values = [str(10 + number % 7) for number in range(99)] + ["1000"] + [str(10 + number % 7) for number in range(99)] + ["900"]
    return table({"x": values}, halves(200))


@pytest.mark.parametrize("method", ["zscore", "boxplot"])
def test_outliers_are_flagged_in_every_split_by_limits_of_train(method: str) -> None:
    found = run(with_outlier(), "outliers", method=method)
    assert np.flatnonzero(found.table.frame["outlier"] == "yes").tolist() == [99, 199]
    assert found.changed == 2 and not found.table.columns["outlier"].feature
    facts = found.facts["columns"]["x"]
    assert facts["counts"] == {"train": 1, "validation": 0, "test": 1} and facts["beyond"] == [900, 1000]


def test_limits_are_those_of_the_books() -> None:
    made = with_outlier()
    train = made.frame["x"].to_numpy()[:100]
    box = run(made, "outliers").facts["columns"]["x"]["limits"]
    low, high = np.quantile(train, [0.25, 0.75])
    assert box == [low - 1.5 * (high - low), high + 1.5 * (high - low)]
    sigma = run(made, "outliers", method="zscore").facts["columns"]["x"]["limits"]
    assert np.allclose(sigma, [train.mean() - 3 * train.std(ddof=1), train.mean() + 3 * train.std(ddof=1)])
    assert run(made, "outliers", factor=3).facts["columns"]["x"]["limits"][1] == high + 3 * (high - low)


def test_limits_do_not_know_the_test_rows() -> None:
    one, other = with_outlier(), with_outlier()
    other.frame.loc[100:, "x"] = 1e9
    assert run(one, "outliers").facts["columns"]["x"]["limits"] == run(other, "outliers").facts["columns"]["x"]["limits"]


def test_outliers_are_clipped_or_dropped_from_train_only_unless_said() -> None:
    clipped = run(with_outlier(), "outliers", action="clip")
    assert clipped.table.frame["x"].max() == clipped.facts["columns"]["x"]["limits"][1] and clipped.changed == 2
    dropped = run(with_outlier(), "outliers", action="drop")
    assert list(dropped.drops) == [99] and dropped.drops[99].value == "1000" and "drop_from" in dropped.notes[0]
    assert list(run(with_outlier(), "outliers", action="drop", drop_from="all").drops) == [99, 199]


def test_rare_and_unseen_categories_become_one() -> None:
    city = ["Ulm"] * 60 + ["Bonn"] * 38 + ["Aachen"] * 2 + ["Ulm"] * 98 + ["Oslo", "Aachen"]
    made = table({"city": city}, halves(200))
    found = run(made, "rare_categories", below=0.05)
    assert found.table.frame["city"].iloc[[98, 99, 198, 199]].tolist() == ["other"] * 4 and found.changed == 4
    assert (
        "2 rare categories in 4 rows became 'other', those of fewer than 5 training rows or of none ('Aachen', 'Oslo')"
        in found.notes[0]
    )
    told = run(made, "rare_categories", below=3, action="report")
    assert told.table.frame["city"].equals(made.frame["city"]) and "stay as they are" in told.notes[0]


def test_constant_columns_go_with_a_note() -> None:
    made = table({"same": ["a"] * 10, "empty": [""] * 5 + ["1"] * 5, "x": [f"{one}.5" for one in range(10)]}, halves(10))
    found = run(made, "constant_columns")
    assert list(found.table.columns) == ["x"] == list(found.table.frame.columns)
    assert found.notes == [
        "same is 'a' in every training row and was taken out",
        "empty is missing in every training row and was taken out; other splits have 1 other value",
    ]
    with pytest.raises(DataError, match="would take out every column"):
        run(table({"same": ["a"] * 10, "x": ["1"] * 10}, halves(10)), "constant_columns")
    almost = table({"x": ["1"] * 19 + ["2"], "z": [f"{one}.5" for one in range(20)]})
    assert list(run(almost, "constant_columns", share=0.95).table.columns) == ["z"]


def test_two_units_in_one_column_are_told() -> None:
    rng = np.random.default_rng(0)
    kilos = rng.normal(70, 10, 200)
    said = two_units(np.concatenate([kilos, kilos[:20] * 1000]))
    assert said is not None and "about 1,000 times apart (200 values around" in said and "kg and g" in said
    assert two_units(kilos) is None
    assert two_units(rng.lognormal(7, 1.5, 2000)) is None, "a long tail is no second unit"
    assert two_units(np.concatenate([kilos, kilos[:20] * 30])) is None, "no unit is 30 times another"
    assert two_units(np.concatenate([kilos, [70_000.0] * 2])) is None, "two values are no group"


def test_stand_ins_for_missing_values_are_told() -> None:
    ages = np.random.default_rng(0).integers(18, 90, 300).astype(float)
    assert "999 stands in 12 rows" in (stand_in(np.concatenate([ages, [999.0] * 12])) or "")
    assert "-1 stands in 12 rows" in (stand_in(np.concatenate([ages, [-1.0] * 12])) or "")
    assert stand_in(ages) is None and stand_in(np.concatenate([ages, [99.0] * 12])) is None
    assert stand_in(np.random.default_rng(0).normal(0, 1, 300).round()) is None, "-1 among values around 0 is a value"


def test_skewness_is_told_and_nothing_changed() -> None:
    rng = np.random.default_rng(0)
    columns = {"even": rng.normal(0, 1, 300), "long": rng.lognormal(0, 1, 300), "y": rng.exponential(1, 300)}
    made = table({name: values.tolist() for name, values in columns.items()}, target="y")
    found = run(made, "suspicious_numbers", skewness=1.5)
    assert found.notes[0].startswith("skewed") and "even" not in found.notes[0]
    assert "long (" in found.notes[0] and "y (" in found.notes[0]
    assert found.table.frame.equals(made.frame)


def many_categories() -> DataTable:
    rng = np.random.default_rng(0)
    street = [f"street {number}" for number in range(10_000)] + [f"street {number}" for number in rng.integers(0, 10_000, 10_000)]
    return table({"street": street, "x": rng.normal(size=20_000).tolist()})


def test_ten_thousand_categories_are_kept_and_not_predicted_from() -> None:
    made, notes = limit_categories(many_categories(), ValueSettings(), None)
    assert not made.columns["street"].feature and "street" in made.frame
    assert "street has 10,000 different categories, more than values.max_categories (1,000), such as 'street 0'" in notes[0]
    kept, notes = limit_categories(many_categories(), ValueSettings(many_categories="keep"), None)
    assert kept.columns["street"].feature and "predicted from all the same" in notes[0]
    assert limit_categories(many_categories(), ValueSettings(), ["street"])[0].columns["street"].feature, "the recipe names it"
    with pytest.raises(DataError, match="10,000 different categories.*rare_categories"):
        limit_categories(many_categories(), ValueSettings(many_categories="refuse"), None)


def test_a_name_in_every_row_is_not_predicted_from() -> None:
    made = table({"who": [f"person {number}x" for number in range(60)], "x": ["1", "2", "3"] * 20})
    limited, notes = limit_categories(made, ValueSettings(), None)
    assert not limited.columns["who"].feature and "another value in almost every row (60 in 60)" in notes[0]


@pytest.mark.parametrize("step", ["missing", "exact_duplicates", "outliers", "rare_categories", "suspicious_numbers"])
def test_a_typo_in_a_step_offers_the_nearest(step: str) -> None:
    with pytest.raises(DataError, match=f"the step {step} names the column 'incme', which is not there. Did you mean 'income'"):
        run(table({"income": ["1", "2"], "city": ["a", "b"]}), step, columns=["incme"])


def test_a_step_refuses_columns_of_another_type() -> None:
    with pytest.raises(DataError, match="the step outliers is for columns of type number, and 'city' is of type category"):
        run(table({"city": ["a", "b"], "x": ["1", "2"]}), "outliers", columns=["city"])


def test_a_column_that_a_step_would_add_is_never_overwritten() -> None:
    for name, step in (("outlier", "outliers"), ("x missing", "missing")):
        with pytest.raises(DataError, match=rf"the step {step} adds a column '{name}', and the table has one already"):
            run(table({"x": ["1", "", "3"], name: ["a", "b", "c"]}), step)
    twice = run(run(with_outlier(), "outliers", factor=20).table, "outliers").table
    assert (twice.frame["outlier"] == "yes").sum() == 2, "two steps of one recipe share their column"
