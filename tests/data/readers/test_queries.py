"""Rows of queries for conversations: the file that is named, read only."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.rows import read_split
from studio.schema.loading import validate
from studio.schema.recipe import ChatRecipe


def build(folder: Path, source: dict[str, object]) -> BuildOutcome:
    value = {"kind": "chat", "sources": [{"licence": "own data", **source}], "split": {"validation": 0, "test": 0}}
    return build_chat_dataset(validate(value, ChatRecipe), Workspace(folder / "workspace"), name="asked", beside=folder)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE asked (q TEXT, a TEXT, n INTEGER, note BLOB)")
        connection.executemany(
            "INSERT INTO asked VALUES (?, ?, ?, ?)", [(f"What is {n}?", f"It is {n}.", n, b"x") for n in range(40)]
        )
    connection.close()
    return path


def test_a_query_gives_conversations(tmp_path: Path, shop: Path) -> None:
    outcome = build(
        tmp_path,
        {"type": "sqlite", "path": "shop.sqlite", "query": "SELECT q AS question, a AS answer, n FROM asked WHERE n < 9"},
    )
    assert outcome.record.rows_read == 9 and outcome.record.sources[0].kind == "sqlite"
    rows = read_split(outcome.folder, "train")
    assert rows[0].messages[1]["content"].startswith("It is ") and "n" in rows[0].meta
    other = build(tmp_path, {"type": "sqlite", "path": "shop.sqlite", "query": "SELECT q AS question, a AS answer FROM asked"})
    assert other.record.rows_read == 40 and not other.cached


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("DELETE FROM asked", "It has to be one SELECT"),
        ("ATTACH '/tmp/x.db' AS x", "It has to be one SELECT"),
        ("SELECT q FROM gone", "no such table"),
        ("SELECT 1; SELECT 2", "one"),
        ("SELECT q AS question, a AS answer FROM asked WHERE n < 0", "finds no rows"),
    ],
)
def test_a_query_only_reads_and_finds_something(tmp_path: Path, shop: Path, query: str, said: str) -> None:
    before = shop.read_bytes()
    with pytest.raises(UserError, match=said):
        build(tmp_path, {"type": "sqlite", "path": "shop.sqlite", "query": query})
    assert shop.read_bytes() == before


def test_duckdb_for_conversations(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.csv").write_text("q,a\nWhat is it?,A wren\nAnd that?,A rook\n")
    outcome = build(tmp_path, {"type": "duckdb", "path": "rows", "query": "SELECT q AS question, a AS answer FROM './a.csv'"})
    assert outcome.record.rows_read == 2
