"""Raw texts as rows: read from files, tables and documents, cleaned, divided, shown and written without losing anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from studio.core.errors import ConfigError, DataError, UserError
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.entries import chat_entries
from studio.data.chat.rows import ChatRow, read_removed, read_split, rows_to_table, table_to_rows
from studio.data.kinds import Wanted
from studio.schema.loading import load_yaml
from studio.schema.recipe import ChatRecipe
from tests.data.made_rows import sentence

STEPS = [
    {"step": "unicode"}, {"step": "whitespace"}, {"step": "missing"}, {"step": "drop_empty"}, {"step": "roles"},
    {"step": "turns"}, {"step": "refusals"}, {"step": "boilerplate"}, {"step": "scrub"}, {"step": "repetition"},
    {"step": "score", "what": ["words", "answer_words"]}, {"step": "length", "min": 2, "unit": "words", "min_turns": 2},
    {"step": "exact_duplicates", "of": "question"}, {"step": "exact_duplicates"}, {"step": "near_duplicates"},
]  # fmt: skip


def build(tmp_path: Path, *sources: dict[str, Any], steps: Any = (), name: str = "docs", **more: Any) -> BuildOutcome:
    given = [{"type": "local", "licence": "own", "format": "document", **source} for source in sources]
    recipe = {"kind": "chat", "sources": given, "steps": list(steps), "split": {"validation": 2, "test": 3}, **more}
    return build_chat_dataset(ChatRecipe.model_validate(recipe), Workspace(tmp_path / "w"), name=name)


def texts(count: int, start: int = 0) -> list[str]:
    return [f"# Paper {n}\n\n" + "\n\n".join(sentence(50 * n + k) for k in range(5)) for n in range(start, start + count)]


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    folder.mkdir()
    for number, text in enumerate(texts(12)):
        (folder / f"p{number:02}.{'md' if number % 2 else 'txt'}").write_text(text, encoding="utf-8")
    return folder


def everything(done: BuildOutcome) -> dict[str, ChatRow]:
    return {row.id: row for split in done.record.splits for row in read_split(done.folder, split)}


def test_a_file_is_one_row_and_every_step_takes_it(tmp_path: Path, papers: Path) -> None:
    (papers / "p12.txt").write_text(texts(12)[3], encoding="utf-8")
    (papers / "p13.txt").write_text(texts(1, 13)[0] + "\n\nWrite to anna@example.org.", encoding="utf-8")
    done = build(tmp_path, {"path": str(papers)}, steps=STEPS)
    rows = everything(done)
    assert len(rows) == 13 and all(row.is_text for row in rows.values())
    assert {row.meta["file"]: row.text for row in rows.values()}["p00.txt"] == texts(12)[0]
    assert not any("anna@" in row.text for row in rows.values())
    gone = read_removed(done.folder)
    assert [(one.step, one.matched) for one in gone] == [("exact_duplicates", "papers/4")] and gone[0].row.text == texts(12)[3]
    assert all(row.meta["scores"]["answer_words"] == row.meta["scores"]["words"] > 20 for row in rows.values())
    assert done.record.format == 3 and (done.record.model_extra or {})["form"] == "texts"
    card, page = ((done.folder / name).read_text(encoding="utf-8") for name in ("README.md", "report.html"))
    assert "13 raw texts from 14" in card and "`text`" in card and "raw text" in page


def test_on_disk_the_text_is_a_column_that_others_know(tmp_path: Path, papers: Path) -> None:
    done = build(tmp_path, {"path": str(papers)})
    table = pq.read_table(done.folder / "train.parquet")
    assert all(table.column("text").to_pylist()) and table.column("messages").to_pylist() == [[]] * len(table)
    both = [
        ChatRow("t", [{"role": "text", "content": "A whole text."}], "s"),
        ChatRow("c", [{"role": "user", "content": "?"}], "s"),
    ]
    assert table_to_rows(rows_to_table(both)) == both
    assert "text" not in rows_to_table(both[1:]).column_names


def test_a_column_of_texts_is_read_by_its_name_or_the_one_given(tmp_path: Path) -> None:
    lines = [{"text": text, "id": f"n{n}", "year": n} for n, text in enumerate(texts(9))]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    import pandas as pd

    pd.DataFrame([{"novel": text} for text in texts(9, 20)]).to_parquet(tmp_path / "b.parquet")
    given = {"path": str(tmp_path / "b.parquet"), "columns": {"text": "novel"}}
    rows = everything(build(tmp_path, {"path": str(tmp_path / "a.jsonl")}, given))
    assert rows["a/n3"].text == texts(9)[3] and rows["a/n3"].meta == {"year": 3}
    assert sum(row.source == "b" for row in rows.values()) == 9
    with pytest.raises(DataError, match=r"has no column 'text'; its columns are novel. Name it in the recipe: columns: \{text"):
        build(tmp_path, {"path": str(tmp_path / "b.parquet")}, name="c")
    with pytest.raises(DataError, match="'format: document' in the source takes it as raw text, for chat/text"):
        build(tmp_path, {"path": str(tmp_path / "a.jsonl"), "format": "auto"}, name="d")


def test_documents_become_text_whole_or_by_chunks(tmp_path: Path, papers: Path) -> None:
    source = {"type": "documents", "path": str(papers), "licence": "own", "rows": "text"}

    def made(name: str, **more: Any) -> dict[str, ChatRow]:
        recipe = ChatRecipe.model_validate({"kind": "chat", "sources": [source | more], "split": {"validation": 1, "test": 2}})
        return everything(build_chat_dataset(recipe, Workspace(tmp_path / "w"), name=name))

    whole = made("whole")
    assert len(whole) == 12 and whole["papers/p01.md"].text.split() == texts(12)[1].split()
    chunks = made("chunks", group="chunk", chunk={"size": 120, "unit": "characters"})
    own = [row.text for row in chunks.values() if row.meta["document"] == "p01.md"]
    assert len(own) > 1 and set(" ".join(own).split()) == set(texts(12)[1].split())
    with pytest.raises(ConfigError, match="writer belongs to questions, and 'rows: text' takes documents as they are"):
        write(tmp_path, {"kind": "chat", "sources": [source | {"writer": {"base_url": "http://x/v1", "model": "m"}}]})


def write(tmp_path: Path, recipe: dict[str, Any]) -> ChatRecipe:
    import yaml

    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    return load_yaml(tmp_path / "r.yaml", ChatRecipe)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"system": "Be kind."}, "system of sources.0 belongs to conversations"),
        ({"columns": {"question": "q"}}, "columns.question of sources.0 belongs to conversations"),
        ({"format": "auto", "columns": {"text": "t"}}, "columns.text of sources.0 names raw text"),
    ],
)
def test_what_belongs_to_conversations_is_refused(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    source = {"type": "local", "path": "x", "licence": "own", "format": "document"} | more
    with pytest.raises(ConfigError, match=said):
        write(tmp_path, {"kind": "chat", "sources": [source]})


def test_texts_and_conversations_stand_together_and_preferences_do_not(tmp_path: Path, papers: Path, own_folder: Path) -> None:
    talks = {"path": str(own_folder), "format": "auto"}
    done = build(tmp_path, {"path": str(papers)}, talks, steps=STEPS[:5])
    rows = everything(done)
    assert sum(row.is_text for row in rows.values()) == 12 and len(rows) == 72
    assert (done.record.model_extra or {})["form"] == "texts and conversations"
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"prompt": "a?", "chosen": "b", "rejected": "c"}), encoding="utf-8")
    with pytest.raises(UserError, match=r"is a raw text, pairs/1 is a pair"):
        build(tmp_path, {"path": str(papers)}, {"path": str(tmp_path / "pairs.jsonl"), "format": "auto"}, name="e")


def test_texts_are_looked_at_like_other_rows(tmp_path: Path, papers: Path) -> None:
    from studio.data.chat.annotated import CONVERSATIONS
    from studio.data.chat.showing import show_conversations

    done = build(tmp_path, {"path": str(papers)})
    entry = next(iter(chat_entries(done.folder, "train")))
    assert entry.turns[0]["role"] == "text" and entry.answer.startswith("# Paper")
    assert CONVERSATIONS.items(done.folder, "train")[0].text is None
    assert show_conversations(done.folder, Wanted("train")).document[0]["messages"][0]["role"] == "text"
    told = show_conversations(done.folder, Wanted("train", page=1), tokens=True, model="smollm2-135m-instruct", max_length=16)
    assert {line["id"] for line in told.document} and all(line["cut"] == 0 for line in told.document)


def test_damaged_texts_are_named(tmp_path: Path, papers: Path) -> None:
    (papers / "blank.txt").write_text(" \n\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"blank.txt: the file holds no text"):
        build(tmp_path, {"path": str(papers)})
    done = build(tmp_path, {"path": str(papers), "damaged": "keep"}, name="kept")
    assert "blank.txt" in read_removed(done.folder)[0].reason
