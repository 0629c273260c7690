"""``studio data`` on tables: built, listed, shown, and a person's mistakes told in one sentence with exit code 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.tables.made_tables import credit

Studio = Callable[..., Any]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path / "workspace"))
    credit(120).to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


def test_a_table_is_built_listed_and_shown(studio: Studio, rows: Path) -> None:
    options = ("--set", f"sources.0.path={rows}", "--set", "target=repaid", "--name", "credits")
    built = studio("data", "build", "table/own-table", *options, "--json")
    assert built.code == 0 and built.json["record"]["kind"] == "table" and built.json["record"]["target"]["name"] == "repaid"
    assert [one["kind"] for one in studio("data", "list", "--json").json["datasets"]] == ["table"]
    shown = studio("data", "show", "credits", "--split", "test")
    assert shown.code == 0 and "repaid" in shown.out and "income" in shown.out and "report.html" in shown.out
    [row] = studio("data", "show", "credits", "--row", "2", "--json").json
    assert row["row"] == 2 and set(credit(1)) < set(row)
    assert "nothing was removed" in studio("data", "show", "credits", "--removed").out


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["target=repayed"], "target: the table has no column 'repayed'. Did you mean 'repaid'?"),
        (["target=repaid", "steps.0.stepp=leaks"], "stepp"),
        (["target=repaid", "split.gap=3 days"], "split.gap is a stretch of time"),
        (["target=repaid", "values.unreadable=guess"], "values.unreadable"),
        (["sources.0.path=nowhere.csv"], "there is no file or folder 'nowhere.csv'"),
    ],
)
def test_mistakes_are_one_sentence(studio: Studio, rows: Path, sets: list[str], said: str) -> None:
    recipe = rows.with_name("own.yaml")
    source = {"type": "local", "path": str(rows), "licence": "own data"}
    recipe.write_text(json.dumps({"kind": "table", "sources": [source], "steps": [{"step": "leaks"}]}), encoding="utf-8")
    found = studio("data", "build", recipe, *(part for one in sets for part in ("--set", one)))
    assert found.code == 2 and said in found.err and "Traceback" not in found.err
