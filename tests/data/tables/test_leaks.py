"""What a model could cheat with is named, and what is only a good column is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import DataError
from studio.data.tables.build import make_table_step
from studio.data.tables.single_column import label_scores, number_scores
from studio.data.tables.steps.base import Outcome
from studio.data.tables.table import DataTable
from tests.data.tables.made_tables import recipe, table

ROWS = 400


def made(target: str = "label", **more: Any) -> DataTable:
    """An honest column, and a target of labels or numbers; ``more`` are further columns."""
    rng = np.random.default_rng(0)
    honest = rng.normal(size=ROWS)
    number = honest + rng.normal(size=ROWS)
    truth = np.where(number > 0, "yes", "no").tolist() if target == "label" else number.tolist()
    fields = {name: more.pop(name) for name in ("group", "time", "protected") if name in more}
    split = rng.permutation(["train"] * 300 + ["test"] * 100).tolist()
    columns = {"honest": honest.tolist(), **{name: make(truth, rng) for name, make in more.items()}, "y": truth}
    return table(columns, split, target="y", **fields)


def run(found: DataTable, **settings: Any) -> Outcome:
    return make_table_step(recipe(steps=[{"step": "leaks", **settings}]).steps[0]).run(found)


def as_number(truth: list[Any], rng: np.random.Generator) -> list[float]:
    """The label with a little noise."""
    return [(1.0 if value == "yes" else 0.0) + 0.1 * noise for value, noise in zip(truth, rng.normal(size=ROWS), strict=True)]


def as_category(truth: list[Any], rng: np.random.Generator) -> list[str]:
    """What was done once the label was known."""
    return [rng.choice(["reminder", "court"]) if value == "no" else rng.choice(["thanks", "bonus"]) for value in truth]


def only_where_yes(truth: list[Any], rng: np.random.Generator) -> list[float | None]:
    """A value that is there for one label only, whatever it is."""
    return [rng.normal() if value == "yes" else None for value in truth]


@pytest.mark.parametrize("make", [as_number, as_category, only_where_yes])
def test_a_column_that_gives_the_label_away_is_named(make: Any) -> None:
    found = run(made(cheat=make))
    assert found.facts["leaking"] == ["cheat"] and found.facts["measure"] == "AUC"
    assert found.notes[0].startswith("cheat alone gives the label y away (AUC ")
    assert 0.7 < found.facts["scores"]["honest"] < 0.9
    assert found.table.columns["cheat"].feature, "a warning changes nothing"


def test_a_column_that_gives_the_number_away_is_named() -> None:
    cheats = {
        "cheat": lambda truth, _: [3 * value + 5 for value in truth],
        "cube": lambda truth, _: [value**3 for value in truth],
    }
    found = run(made("number", **cheats))
    assert set(found.facts["leaking"]) == {"cheat", "cube"} and found.facts["measure"] == "R2"
    assert 0.3 < found.facts["scores"]["honest"] < 0.7


@pytest.mark.parametrize("target", ["label", "number"])
def test_a_text_that_says_the_target_is_named(target: str) -> None:
    def written(truth: list[Any], rng: np.random.Generator) -> list[str]:
        said = [value if target == "label" else f"{value:g}" for value in truth]
        return [f"caller {rng.integers(900)} was told '{value}', and left" for value in said]

    def silent(truth: list[Any], rng: np.random.Generator) -> list[str]:
        return [f"caller {rng.integers(900)} said neither yes nor no, and left" for _ in truth]

    found = run(made(target, cheat=written, plain=silent), action="ignore")
    assert found.facts["texts"] == {"cheat": 1.0} and not found.table.columns["cheat"].feature
    assert found.table.columns["plain"].feature, "what says every label says nothing"
    told = "cheat says y outright in 100% of training rows (that of another row in 0%)"
    assert any(note.startswith(told) for note in found.notes)
    assert run(made(target, cheat=written), known=["cheat"]).facts["texts"] == {}


def test_what_is_done_with_leaks_is_a_setting() -> None:
    leaky = made(cheat=as_number)
    ignored = run(leaky, action="ignore").table.columns["cheat"]
    assert not ignored.feature and ignored.role == "ignored" and leaky.columns["cheat"].feature
    with pytest.raises(DataError, match="leaks: cheat alone gives the label y away.*name them under known"):
        run(leaky, action="refuse")
    assert "cheat" not in run(leaky, known=["cheat"], action="refuse").facts["scores"]
    with pytest.raises(DataError, match="leaks.known names the column 'chaet', which is not there. Did you mean 'cheat'"):
        run(leaky, known=["chaet"])


def test_many_categories_that_say_nothing_give_nothing_away() -> None:
    found = run(made(street=lambda _, rng: [f"s{number}" for number in rng.integers(0, 250, ROWS)]))
    assert not found.facts["leaking"] and found.facts["scores"]["street"] < 0.65, "measured on rows that were not learned from"


def test_scores_are_learned_from_training_rows_alone() -> None:
    one, other = made(cheat=as_number), made(cheat=as_number)
    other.frame.loc[other.split == "test", "cheat"] = 0.0
    assert run(one).facts["scores"] == run(other).facts["scores"]


def test_the_scores_of_several_labels_are_means() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b", "c"], 600).astype(object)
    columns = {
        "one of three": pd.Series((labels == "a").astype(float)),
        "all": pd.Series([{"a": "x", "b": "y", "c": "z"}[label] for label in labels], dtype="str"),
    }
    scores = label_scores(columns, labels, None)
    assert scores["all"] == pytest.approx(1.0) and scores["one of three"] == pytest.approx((1 + 0.75 + 0.75) / 3, abs=0.03)


def test_rows_of_one_group_are_not_measured_by_each_other() -> None:
    who = np.repeat(np.arange(60), 10)
    truth = np.random.default_rng(0).normal(size=60)[who]
    columns = {"who": pd.Series([f"p{one}" for one in who], dtype="str")}
    assert number_scores(columns, truth, None)["who"] > 0.7
    assert number_scores(columns, truth, who.astype(object))["who"] < 0.1


def test_values_from_the_future_are_named() -> None:
    def closed(_: Any, rng: np.random.Generator) -> list[pd.Timestamp]:
        return list(pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(-5, 30, ROWS), "D"))

    found = run(made(asked=lambda *_: [pd.Timestamp("2024-01-01")] * ROWS, closed=closed, time="asked"), action="ignore")
    assert 300 < found.facts["future"]["closed"] < 400 and not found.table.columns["closed"].feature
    assert any("closed is later than asked in 3" in note and "cannot be predicted from" in note for note in found.notes)


def test_an_entity_in_two_splits_is_named_unless_it_is_the_group() -> None:
    def who(_: Any, rng: np.random.Generator) -> list[str]:
        return [f"c-{number}" for number in rng.integers(0, 60, ROWS)]

    found = run(made(customer=who))
    assert found.facts["shared"]["customer"] > 0.9 and any("say group: customer" in note for note in found.notes)
    assert not run(made(customer=who, group="customer")).facts["shared"]
    assert not run(made(age=lambda _, rng: rng.integers(18, 80, ROWS).tolist())).facts["shared"], "an age names nobody"
    assert run(made(customer_id=lambda _, rng: rng.integers(0, 90, ROWS).tolist())).facts["shared"], "a number called so does"


def test_equal_cases_with_other_targets_in_two_splits_are_told() -> None:
    columns = {"x": ["1", "2", "3", "1"], "z": ["a", "b", "c", "a"], "y": ["u", "v", "u", "v"]}
    found = run(table(columns, ["train", "train", "train", "test"], target="y"))
    assert found.facts["equal_rows"] == 1
    assert "a training row has the same values, in all that is predicted from, as 1 test row;" in found.notes[0]


def test_without_a_target_only_what_needs_none_is_looked_at() -> None:
    found = run(table({"x": ["1", "2", "3"]}, ["train", "train", "test"]))
    assert found.facts["scores"] == {} and not found.notes
