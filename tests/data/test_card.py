"""Data cards: as hubs read them, for every kind of Dataset, with nothing in them that was not recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard, DatasetCardData

from studio.core.content import find_content
from studio.core.files import sha256_file
from studio.core.records import DatasetRecord
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.card import card_text, size_category
from studio.data.kinds import load_recipe
from studio.data.licences import hub_licence
from tests.conftest import Result
from tests.data.made_rows import sentence


def build(recipe: dict[str, Any], workspace: Workspace, folder: Path) -> BuildOutcome:
    """A Dataset of any kind from a recipe written as a file."""
    file = folder / "own.yaml"
    file.write_text(json.dumps(recipe), encoding="utf-8")
    kind, settings = load_recipe(file)
    return kind.build(settings, workspace, name="own", beside=folder, tell=lambda _: None)


def read_card(outcome: BuildOutcome) -> DatasetCard:
    """The card as the Hub's own library reads it; the file, its hash in the record and the printed text are one."""
    file = outcome.folder / "README.md"
    assert outcome.record.files["README.md"] == sha256_file(file)
    assert file.read_text(encoding="utf-8") == card_text(outcome.record)
    card = DatasetCard.load(file)
    assert isinstance(card.data, DatasetCardData)
    parts = card.data.to_dict()["configs"][0]["data_files"]
    assert [part["split"] for part in parts] == list(outcome.record.splits)
    assert all((outcome.folder / part["path"]).is_file() for part in parts)
    return card


@pytest.fixture
def talks(tmp_path: Path) -> dict[str, Any]:
    """A recipe of a corpus with addresses in it, in a folder with a name of its own."""
    place = tmp_path / "secret-place"
    place.mkdir()
    rows = [{"question": f"What about case {number}?", "answer": sentence(number)} for number in range(60)]
    rows += [{"question": "Whom do I ask?", "answer": "Write to anna.berg@example.com and she will help you."}, rows[0]]
    (place / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    source = {"type": "local", "path": str(place / "rows.jsonl"), "licence": "CC-BY-4.0", "attribution": "By A & B"}
    return {"kind": "chat", "sources": [source], "steps": [{"step": "exact_duplicates"}, {"step": "scrub"}], "split": {"test": 6}}


def test_conversations(talks: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    outcome = build(talks, workspace, tmp_path)
    card = read_card(outcome)
    head = card.data.to_dict()
    assert (head["license"], head["size_categories"], head["task_categories"]) == ("cc-by-4.0", ["n<1K"], ["text-generation"])
    assert head["language"] == ["en"], "measured, not guessed"
    for said in ("By A & B", "61 conversations from 62", "| `exact_duplicates` | 62 | 0 | 1 |", "email: 1 replaced in 1 row\n"):
        assert said in card.text, said
    for hidden in ("secret-place", "anna", "a***", str(tmp_path)):
        assert hidden not in card.text, f"{hidden}: where files lay and what was found is not for strangers"


def test_without_a_look_for_personal_data_the_card_says_so(talks: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    card = read_card(build({**talks, "steps": []}, workspace, tmp_path))
    assert "No step looked for personal data" in card.text and "placeholders" not in card.text


def test_a_table_and_series(workspace: Workspace, tmp_path: Path) -> None:
    lines = [f"{'yes' if number % 4 else 'no'},{number},{'f' if number % 2 else 'm'}" for number in range(200)]
    (tmp_path / "loans.csv").write_text("repaid,income | net,sex\n" + "\n".join(lines))
    table = {
        "kind": "table", "target": "repaid", "protected": ["sex"],
        "sources": [{"type": "local", "path": "loans.csv", "licence": "house rules"}],
    }  # fmt: skip
    card = read_card(build(table, workspace, tmp_path))
    head = card.data.to_dict()
    assert head["task_categories"] == ["tabular-classification"]
    assert (head["license"], head["license_name"]) == ("other", "house rules")
    assert "`income \\| net`" in card.text and "protected: sex" in card.text and "75.0% have the label 'yes'" in card.text
    months = [f"{1990 + number // 12}-{number % 12 + 1:02d}-01,{number % 12}" for number in range(120)]
    (tmp_path / "sales.csv").write_text("month,sold\n" + "\n".join(months))
    series = {
        "kind": "series", "columns": {"time": "month", "value": "sold"}, "split": {"horizon": 6},
        "sources": [{"type": "local", "path": "sales.csv", "licence": "CC0-1.0"}],
    }  # fmt: skip
    card = read_card(build(series, workspace, tmp_path))
    assert card.data.to_dict()["task_categories"] == ["time-series-forecasting"] and "windows of 6 stamps" in card.text


def test_the_command_prints_it(
    talks: dict[str, Any], workspace: Workspace, tmp_path: Path, studio: Callable[..., Result]
) -> None:
    outcome = build(talks, workspace, tmp_path)
    printed = studio("--workspace", workspace.root, "data", "card", "own")
    assert printed.code == 0 and printed.out.strip() == card_text(outcome.record).strip()
    assert studio("--workspace", workspace.root, "data", "card", "own", "--json").json["card"] == card_text(outcome.record)
    missing = studio("--workspace", workspace.root, "data", "card", "nothing")
    assert missing.code == 2 and "nothing" in missing.err


def test_a_kind_from_outside_has_a_plain_card() -> None:
    known = {
        "name": "x",
        "fingerprint": "f",
        "created": "2026-01-01",
        "recipe": {},
        "sources": [],
        "steps": [],
        "splits": {"train": 5},
    }
    record = DatasetRecord.model_validate({"kind": "line", **known, "rows_read": 5, "rows_removed": 0, "studio_version": "0"})
    card = DatasetCard(card_text(record))
    assert card.data.license == "unknown" and "5 rows from 5" in card.text and "task_categories" not in card.data.to_dict()


@pytest.mark.parametrize(
    ("stated", "head"),
    [
        (["CC-BY-4.0", "cc-by-4.0"], {"license": "cc-by-4.0"}),
        (["MIT", None], {"license": ["mit", "unknown"]}),
        (["none declared", "MIT"], {"license": ["other", "mit"], "license_name": "none declared"}),
        ([], {"license": "unknown"}),
    ],
)
def test_licences_as_hubs_name_them(stated: list[str | None], head: dict[str, Any]) -> None:
    assert hub_licence(stated) == head


def test_sizes_as_hubs_name_them() -> None:
    named = [size_category(rows) for rows in (0, 999, 1000, 10**6, 10**9, 10**11, 10**12)]
    assert named == ["n<1K", "n<1K", "1K<n<10K", "1M<n<10M", "1B<n<10B", "100B<n<1T", "n>1T"]


def test_every_shipped_recipe_of_conversations_has_a_licence_that_hubs_know() -> None:
    for name in ("chat/construction-faq-en", "chat/construction-faq-sv", "chat/studio-zh"):
        _, recipe = load_recipe(find_content("data_recipes", name))
        assert "license_name" not in hub_licence(source.licence for source in recipe.sources), name
