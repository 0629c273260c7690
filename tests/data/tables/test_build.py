"""A build from end to end: shipped recipes, counts that add up, caches that give the same table back, examples for predictors."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studio.core.content import find_content
from studio.core.errors import DataError, StudioError, UserError
from studio.core.workspace import Workspace, read_dataset
from studio.data.build import BuildOutcome
from studio.data.examples import Wanted, read_examples
from studio.data.kinds import Wanted as Shown
from studio.data.kinds import load_recipe
from studio.data.tables.build import build_table_dataset
from studio.data.tables.entries import table_entries
from studio.data.tables.rows import known_columns, read_removed_rows, read_table_split
from studio.data.tables.showing import show_rows
from studio.schema.table_recipe import TableRecipe
from tests.data.tables.made_tables import build, credit

ALL = [
    {"step": "exact_duplicates"}, {"step": "missing"}, {"step": "outliers"}, {"step": "rare_categories"},
    {"step": "constant_columns"}, {"step": "suspicious_numbers"}, {"step": "leaks"},
]  # fmt: skip
FACTS = {
    "german-credit": (1000, 0, {"train": 700, "validation": 100, "test": 200}, 7, "category"),
    "penguins": (344, 0, {"train": 241, "validation": 34, "test": 69}, 6, "category"),
    "iris": (150, 1, {"train": 104, "validation": 15, "test": 30}, 4, "category"),
    "breast-cancer": (569, 0, {"train": 398, "validation": 57, "test": 114}, 30, "category"),
    "diabetes": (442, 0, {"train": 310, "validation": 44, "test": 88}, 10, "number"),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("tables") / "ws")


@pytest.fixture(scope="module")
def shipped(workspace: Workspace) -> dict[str, BuildOutcome]:
    """Every shipped recipe that names its data."""
    found = {}
    for name in FACTS:
        path = find_content("data_recipes", f"table/{name}")
        found[name] = build_table_dataset(load_recipe(path)[1], workspace, name=name, beside=path.parent)
    return found


@pytest.mark.parametrize("name", FACTS)
def test_shipped_tables(shipped: dict[str, BuildOutcome], name: str) -> None:
    read, removed, splits, features, kind = FACTS[name]
    outcome = shipped[name]
    record = outcome.record
    assert (record.rows_read, record.rows_removed, record.splits) == (read, removed, splits)
    extra = record.model_extra or {}
    assert extra["target"]["type"] == kind and sum(column["feature"] for column in extra["columns"]) == features
    assert not [note for note in extra["notes"] if note.startswith("leaks:")], "what is shipped gives nothing away unsaid"
    for split, rows in splits.items():
        assert len(read_table_split(outcome.folder, split)) == rows
    ids = np.concatenate([read_table_split(outcome.folder, split)["studio_id"] for split in splits])
    assert len(set(ids)) == len(ids) == read - removed


def test_shares_of_labels_are_told_and_alike(shipped: dict[str, BuildOutcome]) -> None:
    shares = (shipped["german-credit"].record.model_extra or {})["label_shares"]
    assert shares == {"train": {"1": 490, "0": 210}, "validation": {"1": 70, "0": 30}, "test": {"1": 140, "0": 60}}
    assert (shipped["diabetes"].record.model_extra or {})["label_shares"] == {}


def test_columns_are_on_disk_with_their_types_and_figures(shipped: dict[str, BuildOutcome]) -> None:
    frame = read_table_split(shipped["penguins"].folder, "train")
    assert frame["body_mass_g"].dtype.kind == "f" and frame["bill_length_mm"].isna().sum() >= 1
    credits = read_table_split(shipped["german-credit"].folder, "train")
    assert credits["age"].dtype == np.int64 and pd.api.types.is_string_dtype(credits["risk"].dtype)
    facts = {one["name"]: one for one in (shipped["german-credit"].record.model_extra or {})["columns"]}
    assert facts["credit_amount"]["unit"] == "DM" and facts["sex"]["role"] == "protected" and not facts["sex"]["feature"]
    age = credits["age"]
    assert facts["age"]["statistics"]["minimum"] == age.min() and facts["age"]["statistics"]["mean"] == pytest.approx(age.mean())
    assert facts["housing"]["statistics"]["values"] == credits["housing"].value_counts().to_dict()
    assert known_columns(shipped["german-credit"].record)["credit_amount"].unit == "DM"


def test_the_equal_flower_went_with_its_values(shipped: dict[str, BuildOutcome]) -> None:
    [gone] = read_removed_rows(shipped["iris"].folder)
    assert (gone.id, gone.matched, gone.step) == ("iris/143", "iris/102", "exact_duplicates")
    assert json.loads(gone.row)["petal length (cm)"] == 5.1 and json.loads(gone.row)["target"] == "virginica"


def test_examples_of_labels(shipped: dict[str, BuildOutcome]) -> None:
    found = read_examples(shipped["penguins"].folder, "train", Wanted(target_type="category"))
    assert found.target_name == "species" and found.target is not None and len(found) == 241 == len(found.target)
    assert [column.name for column in found.columns] == list(found.features.columns)
    assert found.features["body_mass_g"].dtype == np.float64 and found.features["sex"].dtype == object
    assert {type(value) for value in found.features["sex"]} == {str, type(None)}
    assert list(found.features.index) == list(range(241)) and "year" in found.others and "year" not in found.features
    assert found.notes[0].startswith("not predicted from: year, bill_length_mm missing")
    part = found.part([5, 2])
    assert part.ids == [found.ids[5], found.ids[2]] and list(part.features.index) == [0, 1]


def test_examples_of_numbers_and_of_another_target(shipped: dict[str, BuildOutcome]) -> None:
    folder = shipped["diabetes"].folder
    found = read_examples(folder, "test", Wanted(target_type="number"))
    assert found.target is not None and found.target.dtype == np.float64 and found.target_name == "target"
    other = read_examples(folder, "test", Wanted(target="bmi", target_type="number", features=("age", "sex")))
    assert (
        list(other.features.columns) == ["age", "sex"]
        and {"bmi", "target"}.isdisjoint(other.features)
        and "target" in other.others
    )
    labels = read_examples(folder, "test", Wanted(target_type="category"))
    assert labels.target is not None and all(isinstance(label, str) and not label.endswith(".0") for label in labels.target)
    groups = read_examples(folder, "test", Wanted())
    assert groups.target is None and len(groups) == 88


def test_examples_that_cannot_be(shipped: dict[str, BuildOutcome]) -> None:
    folder = shipped["german-credit"].folder
    for wanted, said in (
        (
            Wanted(target="rsk", target_type="category"),
            "target: the dataset german-credit has no column 'rsk'. Did you mean 'risk'",
        ),
        (Wanted(target_type="number"), "'risk' of german-credit is of type category, and numbers are wanted"),
        (Wanted(target_type="category", features=("risk", "age")), "'risk' is the target"),
        (Wanted(target_type="category", features=("aeg",)), "features: .* has no column 'aeg'. Did you mean 'age'"),
    ):
        with pytest.raises(UserError, match=said):
            read_examples(folder, "train", wanted)
    with pytest.raises(UserError, match="has no split 'tset'. Did you mean 'test'"):
        read_examples(folder, "tset", Wanted())


def test_every_step_group_and_time_reach_the_examples(tmp_path: Path, workspace: Workspace) -> None:
    frame = credit()
    frame["customer"] = [f"c{number // 3}" for number in range(len(frame))]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    told: list[str] = []
    fields = {"target": "repaid", "group": "customer", "time": "asked_on", "protected": ["age"], "steps": ALL}
    outcome = build(tmp_path / "rows.csv", workspace, tell=told.append, **fields)
    assert [step.name for step in outcome.record.steps] == [
        "read",
        "exact_duplicates",
        "divide",
        *[step["step"] for step in ALL[1:]],
    ]
    train, test = (read_examples(outcome.folder, split, Wanted(target_type="category")) for split in ("train", "test"))
    assert train.groups is not None and test.groups is not None and not set(train.groups) & set(test.groups)
    assert list(train.features.columns) == ["income", "city"] and train.others["asked_on"].dtype.kind == "M"
    again = build(tmp_path / "rows.csv", workspace, **fields)
    assert again.cached and again.folder == outcome.folder


def test_what_is_known_is_not_done_again_and_gives_the_same_table(tmp_path: Path, workspace: Workspace) -> None:
    frame = credit(seed=1)
    frame.loc[::17, "income"] = np.nan
    frame.to_csv(tmp_path / "rows.csv", index=False)
    fields = {"target": "repaid", "steps": ALL[:4], "columns": [{"name": "income", "unit": "EUR"}]}
    build(tmp_path / "rows.csv", workspace, **fields)
    told: list[str] = []
    kept = build(tmp_path / "rows.csv", workspace, tell=told.append, **{**fields, "steps": ALL})
    assert kept.reused == 6 and told[0] == "reused 6 of 9 stages, 300 rows"
    fresh = build(tmp_path / "rows.csv", Workspace(tmp_path / "other"), **{**fields, "steps": ALL})
    assert fresh.reused == 0 and fresh.record.fingerprint == kept.record.fingerprint
    for split in kept.record.splits:
        pd.testing.assert_frame_equal(read_table_split(kept.folder, split), read_table_split(fresh.folder, split))
    ours, theirs = ({**(one.record.model_extra or {}), "peak_bytes": 0} for one in (kept, fresh))
    assert ours == theirs


def test_damaged_rows_stop_the_build_or_are_listed(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "rows.csv"
    lines = credit(100).to_csv(index=False).splitlines()
    lines[10] = "1,2"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"rows.csv: row 10 has 2 values, the header has 5 \(line 11\). Mend the file.*damaged: keep"
    ):
        build(path, workspace, target="repaid")
    outcome = build(path, workspace, target="repaid", source={"damaged": "keep"})
    assert outcome.record.rows_read == 100 and outcome.record.rows_removed == 1
    [gone] = read_removed_rows(outcome.folder)
    assert gone.id == "rows/10" and gone.step == "read"
    assert "rows/11" in set(
        np.concatenate([read_table_split(outcome.folder, split)["studio_id"] for split in outcome.record.splits])
    )


def test_rows_with_values_that_do_not_fit_are_in_removed_with_their_values(tmp_path: Path, workspace: Workspace) -> None:
    frame = credit(100).astype({"income": "object"})
    frame.loc[7, "income"] = "a lot"
    frame.loc[8, "repaid"] = None
    frame.to_csv(tmp_path / "rows.csv", index=False)
    outcome = build(tmp_path / "rows.csv", workspace, target="repaid", values={"unreadable": "drop"})
    gone = {one.id: one for one in read_removed_rows(outcome.folder)}
    assert gone["rows/8"].reason == "income is no number" and gone["rows/8"].value == "a lot"
    assert gone["rows/9"].reason == "the target is missing" and json.loads(gone["rows/9"].row)["repaid"] is None
    assert outcome.record.rows_removed == 2


def test_several_files_are_one_table_and_a_missing_column_is_told(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "months"
    folder.mkdir()
    credit(60).to_csv(folder / "a.csv", index=False)
    credit(60, seed=5).drop(columns="city").to_parquet(folder / "b.parquet")
    (folder / "notes.txt").write_text("not a table")
    outcome = build(folder, workspace, target="repaid")
    notes = (outcome.record.model_extra or {})["notes"]
    assert outcome.record.rows_read == 120 and any("notes" in note or ".txt (1)" in note for note in notes)
    frame = read_table_split(outcome.folder, "train")
    assert frame["studio_id"].str.match(r"rows/(a\.csv|b\.parquet)/\d+").all() and frame["city"].isna().any()
    assert any("b.parquet has no column city" in note for note in notes), notes


def test_a_table_without_a_target_is_one_too(tmp_path: Path, workspace: Workspace) -> None:
    credit(100).drop(columns="repaid").to_csv(tmp_path / "rows.csv", index=False)
    outcome = build(tmp_path / "rows.csv", workspace, steps=ALL)
    assert (outcome.record.model_extra or {})["target"] is None
    assert len(read_examples(outcome.folder, "train", Wanted())) == outcome.record.splits["train"]
    with pytest.raises(UserError, match="names no target. Say which column is predicted: --set target=COLUMN"):
        read_examples(outcome.folder, "train", Wanted(target_type="category"))


def test_rows_on_a_terminal_and_on_pages(shipped: dict[str, BuildOutcome]) -> None:
    folder = shipped["german-credit"].folder
    page = show_rows(folder, Shown(split="test", page=2))
    assert [line["row"] for line in page.document] == list(range(11, 21)) and page.document[0]["studio_id"].startswith(
        "german-credit/"
    )
    [one] = show_rows(folder, Shown(identity="german-credit/1")).document
    assert one["credit_amount"] == 1169 and one["risk"] == "1"
    assert show_rows(shipped["iris"].folder, Shown(removed=True)).document[0]["values"]["target"] == "virginica"
    with pytest.raises(UserError, match="there is no row 999"):
        show_rows(folder, Shown(row=999))
    entry = table_entries(folder, "train")[0]
    assert next(iter(entry.facts.items())) == ("risk", "1") and entry.facts["credit_amount"] == "1169"
    assert entry.facts["sex"] == "male" and "1169" in entry.text and not entry.turns
    [gone] = table_entries(shipped["iris"].folder, "removed")
    assert gone.reason == "exact_duplicates: repeats an earlier row" and gone.facts["repeats"] == "iris/102"
    assert gone.facts["target"] == "virginica"


def test_a_damaged_split_is_named(tmp_path: Path, workspace: Workspace) -> None:
    credit(100, seed=9).to_csv(tmp_path / "rows.csv", index=False)
    outcome = build(tmp_path / "rows.csv", Workspace(tmp_path / "ws"), target="repaid")
    (outcome.folder / "train.parquet").write_bytes(b"x")
    with pytest.raises(StudioError, match="train.parquet is damaged"):
        read_examples(outcome.folder, "train", Wanted())
    assert read_dataset(outcome.folder).kind == "table"


def test_a_copy_of_a_hub_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    credit(80).to_csv(folder / "train.csv", index=False)
    source = {"type": "hub", "id": str(folder), "revision": "main", "licence": "own data", "rename": {"repaid": "paid back"}}
    recipe = TableRecipe.model_validate({"kind": "table", "sources": [source], "target": "paid back"})
    outcome = build_table_dataset(recipe, Workspace(tmp_path / "ws"), name="copy")
    assert outcome.record.rows_read == 80 and outcome.record.sources[0].kind == "hub"
    assert known_columns(outcome.record)["asked_on"].type == "time"
    limited = {**source, "limit": 20, "rename": {"repayed": "y"}}
    with pytest.raises(UserError, match="rename: copy has no column 'repayed'. Did you mean 'repaid'"):
        build_table_dataset(
            TableRecipe.model_validate({"kind": "table", "sources": [limited]}), Workspace(tmp_path / "ws"), name="copy"
        )


def test_a_query_is_a_source(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.sqlite") as connection:
        credit(60).to_sql("asked", connection, index=False)
    query = "SELECT income, age, repaid FROM asked WHERE age > 20"
    source = {"type": "sqlite", "path": "shop.sqlite", "query": query, "licence": "own data"}
    recipe = TableRecipe.model_validate({"kind": "table", "sources": [source], "target": "repaid"})
    outcome = build_table_dataset(recipe, Workspace(tmp_path / "ws"), name="shop", beside=tmp_path)
    assert outcome.record.rows_read == int((credit(60)["age"] > 20).sum()) and list(known_columns(outcome.record)) == [
        "income",
        "age",
        "repaid",
    ]
    other = recipe.model_copy(update={"sources": [recipe.sources[0].model_copy(update={"query": f"{query} LIMIT 40"})]})
    again = build_table_dataset(other, Workspace(tmp_path / "ws"), name="shop", beside=tmp_path)
    assert again.record.rows_read == 40 and again.record.fingerprint != outcome.record.fingerprint
