"""``studio data look``: it says what a file is and proposes a recipe that builds; no file makes it crash."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import os
import pickle
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from PIL import Image

from studio.core.errors import UserError
from studio.data.looking import look_at, told_of
from tests.data.chat import made_exports as made
from tests.data.made_rows import sentence

PAIRS = [(f"What about case {number}?", sentence(number)) for number in range(80)]
DAYS = [datetime.date(2020, 1, 1) + datetime.timedelta(days=number) for number in range(200)]


def zipped() -> bytes:
    """An archive with a table in it."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("rows.csv", "a,b\n")
    return whole.getvalue()


# Name of a file to what stands in it, and how the sentence or the best proposal begins (None: whatever it says).
FILES: dict[str, tuple[Any, str | None]] = {
    "qa.csv": ("question,answer\nName a bird,A wren\n", "chat: conversations, read as question_answer (1)"),
    "excel.csv": ("sep=;\nQuestion;Answer\nName a bird;A wren\n", "chat: conversations, read as question_answer (1)"),
    "bare.csv": ("Name a small bird,A wren it is\nName a big fish,A cod I think\n", "chat: conversations"),
    "numbers.csv": (
        "5.1,3.5,setosa\n4.9,3.0,setosa\n6.9,3.1,virginica\n6.8,3.2,virginica\n",
        "table: a table of 3 columns: column 1",
    ),
    "sixteen.csv": ("question,answer\nName a bird,A wren\n".encode("utf-16"), "chat: conversations"),
    "umlaut.csv": ("question,answer\nIst es grün?,Es ist schön grün\n".encode("cp1252"), "chat: conversations"),
    "noise.csv": (bytes(range(256)) * 20, "not as"),
    "noise.bin": (bytes(range(255, -1, -1)) * 20, "nothing here reads noise.bin"),
    "empty.csv": ("", "not as"),
    "names.csv": ("question,answer\n", "not as"),
    "wide.csv": ("\n".join([",".join(f"c{n}" for n in range(2000)), ",".join("1" * 2000)]), "chat"),
    "words.json": (json.dumps({f"word {n}": f"another {n}" for n in range(3000)}), "chat"),
    "figures.csv": ("input,output\n0.1,0.2\n0.3,0.5\n", "table: a table of 2 columns"),
    "twice.csv": ("a,a\n1,2\n", "not as chat or table or series"),
    "messages.jsonl": (
        json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
        "chat:",
    ),
    "pairs.jsonl": (json.dumps({"prompt": "p", "chosen": "good", "rejected": "bad"}), "chat: preferences"),
    "cut.jsonl": ('{"question": "a", "answer": "b"}\n{"quest', "chat: conversations"),
    "cut.json": ('[{"question": "a", "answer": "b"}, {"que', "chat: conversations"),
    "half.jsonl": ('{"question": "Name \\ud83d bird", "answer": "A wren"}\n', "chat:"),
    "nan.json": ('[{"question": "a", "answer": NaN}, {"question": "b", "answer": "c"}]', "chat:"),
    "list.json": ("[1, 2, 3]", "not as"),
    "string.json": ('"hello"', "not as"),
    "deep.json": ("[" * 100_000, "not as rows: deep.json holds values nested"),
    "mixed.jsonl": ('1\n"a"\n[]\n{}\nnull\n', None),
    "long.jsonl": (json.dumps({"question": "a", "answer": "x" * 2_000_000}), "chat:"),
    "two.json": (json.dumps({"train": [{"question": "a", "answer": "b"}], "test": [{"question": "c", "answer": "d"}]}), "chat:"),
    "note.txt": ("a short note on wrens\n", "chat: conversations"),
    "long.txt": ("long text. " * 5000, "chat: documents"),
    "nul.txt": (b"ab\x00\x00cd" * 50, "not as chat"),
    "tabs.txt": ("Name a small bird\tA wren it is\nName a big fish\tA cod I think\n", "chat:"),
    "chat.txt": (made.WHATSAPP["iOS"], "chat: conversations, read as messages (1)"),
    "faq.md": ("# FAQ\n\n**Q: What?**\n\nThat.\n", "chat: conversations"),
    "result.json": (json.dumps(made.TELEGRAM), "chat: conversations"),
    "discord.json": (json.dumps(made.discord()), "chat: conversations"),
    "conversations.json": (json.dumps(made.chatgpt()), "chat: conversations, read as messages (2)"),
    "tickets.json": (json.dumps(made.ZENDESK), "chat: conversations"),
    "rows.yaml": ("- {question: a, answer: b}\n", "chat: conversations"),
    "recipe.yaml": ("kind: chat\nsources: []\n", "not as data: recipe.yaml is a recipe of kind chat. Build it"),
    "broken.yaml": ("a: [b\n", "not as chat"),
    "fake.parquet": (b"PAR1" + b"\x07" * 100, "not as"),
    "fake.xlsx": (b"PK\x03\x04" + b"\x07" * 100, None),
    "fake.sqlite": (b"SQLite format 3\x00" + b"\x07" * 100, "not as table"),
    "plain.db": ("no database\n", "nothing here reads plain.db"),
    "a.zip": (zipped(), None),
    "a.jsonl.gz": (gzip.compress(b'{"question": "a", "answer": "b"}\n'), None),
    "a.pkl": (pickle.dumps({"a": 1}), "nothing here reads a.pkl. Such files can run code"),
    "a.html": ("<html><body><h1>Hi</h1></body></html>", None),
    "a.pdf": (b"%PDF-1.4\n%%EOF", None),
    "noending": ("just text\n", "nothing here reads noending"),
    "a.safetensors": (b"\x02\0\0\0\0\0\0\0{}", "nothing here reads a.safetensors. These are weights"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_told_or_refused(tmp_path: Path, name: str) -> None:
    value, begins = FILES[name]
    path = tmp_path / name
    path.write_bytes(value if isinstance(value, bytes) else value.encode())
    looked = look_at(path)
    told = told_of(looked)
    json.dumps(told.document)
    best = looked.best
    said = f"{best.kind}: {best.what}" if best else looked.why_not()
    assert begins is None or said.startswith(begins), said
    assert looked.facts[0] == ("path", path) and looked.facts[1][0] == "what"


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Files and folders of every kind, large enough to be divided."""
    (tmp_path / "qa.csv").write_text("\n".join(["question,answer", *(f'"{asked}","{said}"' for asked, said in PAIRS)]))
    bare = [f'"{asked} of these","{said}"' for asked, said in PAIRS]
    (tmp_path / "bare.csv").write_text("\n".join(bare))
    table = pd.DataFrame({"age": range(90), "city": ["Lund", "Kiel", "Bonn"] * 30, "churn": ["yes", "no"] * 45})
    table.to_csv(tmp_path / "table.csv", index=False)
    table.to_excel(tmp_path / "book.xlsx", index=False)
    pd.DataFrame({"date": DAYS, "sold": [100 + number % 7 for number in range(200)]}).to_csv(tmp_path / "sales.csv", index=False)
    with sqlite3.connect(tmp_path / "shop.sqlite") as database:
        table.to_sql("orders", database, index=False)
    for number in range(24):
        file = tmp_path / "pictures" / ("cats", "dogs")[number % 2] / f"IMG_{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = Image.frombytes("RGB", (80, 80), os.urandom(80 * 80 * 3))
        noise.save(file)
    hub = tmp_path / "hub"
    hub.mkdir()
    (hub / "README.md").write_text("---\nlicense: mit\n---\n# Rows\n")
    (hub / "train.jsonl").write_text("\n".join(json.dumps({"instruction": asked, "output": said}) for asked, said in PAIRS))
    made.slack(tmp_path / "slack")
    names = ("qa.csv", "bare.csv", "table.csv", "book.xlsx", "sales.csv", "shop.sqlite", "pictures", "hub")
    return {name: tmp_path / name for name in names}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("qa.csv", "chat"), ("bare.csv", "chat"), ("hub", "chat"), ("table.csv", "table"), ("book.xlsx", "table"),
        ("shop.sqlite", "table"), ("sales.csv", "series"), ("pictures", "image"),
    ],
)  # fmt: skip
def test_a_proposed_recipe_builds(
    places: dict[str, Path], tmp_path: Path, studio: Callable[..., Any], name: str, kind: str
) -> None:
    recipe = tmp_path / "mine.yaml"
    made_one = studio("data", "look", places[name], "--to", recipe)
    assert made_one.code == 0 and yaml.safe_load(recipe.read_text(encoding="utf-8"))["kind"] == kind, made_one.err
    built = studio("data", "build", recipe, "--workspace", tmp_path / "ws")
    assert built.code == 0, built.err
    rows = {"sales.csv": 200, "pictures": 24, "table.csv": 90, "book.xlsx": 90, "shop.sqlite": 90}.get(name, 80)
    assert f"{rows} read" in built.out


def test_the_screen_shows_what_is_there(places: dict[str, Path], studio: Callable[..., Any]) -> None:
    shown = studio("data", "look", places["qa.csv"])
    assert shown.code == 0
    for words in (
        "comma-separated",
        "utf-8",
        "50 of 50",
        "What about case 0?",
        "kind: chat",
    ):
        assert words in shown.out
    printed = studio("data", "look", places["table.csv"], "--recipe")
    said = yaml.safe_load(printed.out)
    assert said["target"] == "churn" and said["sources"][0]["path"] == str(places["table.csv"])
    other = studio("data", "look", places["sales.csv"], "--recipe", "--kind", "table")
    assert yaml.safe_load(other.out)["kind"] == "table"
    document = json.loads(studio("data", "look", places["qa.csv"], "--json").out)
    assert [one["kind"] for one in document["proposals"]] == ["chat", "table"]


def test_who_answers_is_a_choice_to_check(places: dict[str, Path], tmp_path: Path, studio: Callable[..., Any]) -> None:
    shown = studio("data", "look", tmp_path / "slack", "--recipe")
    assert yaml.safe_load(shown.out)["sources"][0]["assistant"] == ["Ida"]
    assert "# Check assistant: [Ida]" in shown.out and "Ida (3)" in shown.out


def test_nothing_is_overwritten_and_mistakes_are_sentences(tmp_path: Path, studio: Callable[..., Any]) -> None:
    (tmp_path / "qa.csv").write_text("question,answer\nName a bird,A wren\n")
    (tmp_path / "mine.yaml").write_text("mine")
    for arguments, words in (
        (("qa.csv", "--to", tmp_path / "mine.yaml"), "exists already and is not overwritten"),
        (("qa.csv", "--to", tmp_path / "mine.txt"), "ends in .yaml"),
        (("gone.csv",), "there is no file or folder"),
        (("qa.csv", "--kind", "chta"), "Did you mean 'chat'?"),
    ):
        result = studio("data", "look", tmp_path / arguments[0], *arguments[1:])
        assert result.code == 2 and words in result.err and "Traceback" not in result.err, result.err
    assert (tmp_path / "mine.yaml").read_text() == "mine"
    (tmp_path / "x.bin").write_bytes(b"\x00\x01")
    assert studio("data", "look", tmp_path / "x.bin").code == 0
    refused = studio("data", "look", tmp_path / "x.bin", "--recipe")
    assert refused.code == 2 and "nothing here reads x.bin" in refused.err and refused.out == ""


def test_a_large_table_is_read_at_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{DAYS[number % 200]},{number},{'yes' if number % 3 else 'no'}" for number in range(20_000)]
    path = tmp_path / "large.csv"
    path.write_text("\n".join(["day,sold,churn", *lines, '"never closed']))
    monkeypatch.setattr("studio.data.proposals._LARGE", 1000)
    monkeypatch.setattr("studio.data.proposals._BEGINNING", 5000)
    best = look_at(path, "table").best
    assert best is not None and best.recipe["target"] == "churn", "the bad end is not among the first lines"
    assert best.recipe["sources"][0]["path"] == str(path)


@pytest.mark.parametrize("name", ["large.json", "large.csv.gz"])
def test_of_a_large_file_of_rows_the_first_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    rows = [{"day": DAYS[number], "sold": number, "churn": ("no", "yes")[number % 2]} for number in range(200)]
    path = tmp_path / name
    if name.endswith("json"):
        path.write_text(json.dumps(rows, default=str)[:-40])
    else:
        path.write_bytes(gzip.compress(pd.DataFrame(rows).to_csv(index=False).encode() + b'"never closed'))
    monkeypatch.setattr("studio.data.proposals._LARGE", 100)
    monkeypatch.setattr("studio.data.proposals._FIRST_ROWS", 90)
    best = look_at(path, "table").best
    assert best is not None and best.recipe["target"] == "churn", "the bad end is not among the first rows"
    assert best.recipe["sources"][0]["path"] == str(path)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.csv")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        look_at(tmp_path / "rows.csv")


def test_a_folder_of_documents_is_one_source_even_with_markdown_in_it(tmp_path: Path) -> None:
    (tmp_path / "faq.md").write_text("# Parking\n**Q: Where?**\n\nBehind the hall.\n", encoding="utf-8")
    (tmp_path / "page.html").write_text("<h1>Hours</h1><p>From 9 to 21 on weekdays.</p>", encoding="utf-8")
    best = look_at(tmp_path).best
    assert best is not None and [source["type"] for source in best.recipe["sources"]] == ["documents"]
    (tmp_path / "rows.csv").write_text("question,answer\nName a bird,A wren\n", encoding="utf-8")
    best = look_at(tmp_path).best
    assert best is not None and [source["type"] for source in best.recipe["sources"]] == ["local"]


def test_documents_are_tried_before_they_are_proposed(tmp_path: Path) -> None:
    torn = tmp_path / "torn.pdf"
    torn.write_bytes(b"%PDF-1.4 but no more")
    assert look_at(torn).why_not() == (
        "not as chat: torn.pdf is damaged or no PDF (Failed to load document (PDFium: Data format error)). Save it again."
    )
    (tmp_path / "empty.epub").write_bytes(b"")
    assert look_at(tmp_path / "empty.epub").why_not() == "not as chat: empty.epub is empty."
    folder = tmp_path / "docs"
    folder.mkdir()
    torn.rename(folder / "torn.pdf")
    (folder / "talk.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello there.\n")
    best = look_at(folder).best
    assert best is not None and best.recipe["sources"][0] | {"type": "documents", "damaged": "keep"} == best.recipe["sources"][0]
    assert best.what.startswith("documents, 1 of 2 read") and best.shown == ("  talk.srt: 1 passage\n  Hello there.",)
    assert any("torn.pdf is damaged" in choice for choice in best.choices)


@pytest.mark.parametrize("name", ["rows.csv", "rows.json", "rows.jsonl", "rows.yaml", "rows.md", "rows.parquet", "rows.xlsx"])
def test_a_file_without_a_row_is_not_told_to_keep_its_good_rows(tmp_path: Path, studio: Callable[..., Any], name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    empty = f"sources.0.path={tmp_path / name}"
    failed = studio("data", "build", "chat/own-folder", "--set", empty)
    assert failed.code == 2 and failed.err.endswith(f"{name}: the file is empty. Repair it, or give another file.\n")
    (tmp_path / "good.csv").write_text("question,answer\nName a bird,A wren\n")
    failed = studio("data", "build", "chat/own-folder", "--set", f"sources.0.path={tmp_path}")
    assert "Repair it, or go on without it with 'damaged: keep' in the source's recipe." in failed.err


def test_the_encoding_that_readers_find_is_the_one_that_is_shown(tmp_path: Path) -> None:
    rows = "frage;antwort\nWie heißt der Vogel?;Ein Zaunkönig, klein, für Gärten.\n"
    for encoding, said in (
        ("cp1252", "CP1252, found by its letters"),
        ("utf-16-le", "UTF-16-LE: it has no mark"),
        ("utf-8", "utf-8"),
    ):
        (tmp_path / "a.csv").write_bytes(rows.encode(encoding))
        facts = dict(look_at(tmp_path / "a.csv").facts)
        assert str(facts["encoding"]).startswith(said) and facts["what"] == "table, comma-separated text"
    (tmp_path / "b.csv").write_text("<!DOCTYPE html>\n<html><body>Not found</body></html>")
    assert "b.csv is called .csv and is a web page" in look_at(tmp_path / "b.csv").why_not()


def test_roles_that_nobody_knows_are_proposed_in_turn(tmp_path: Path) -> None:
    turns = [{"role": role, "content": f"I am the {role} here"} for role in ("student", "tutor", "student")]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    best = look_at(tmp_path / "rows.jsonl").best
    assert best is not None and best.kind == "chat"
    assert best.recipe["sources"][0]["roles"] == {"student": "user", "tutor": "assistant"}


def test_a_weak_guess_says_why_nothing_better_reads_the_file(tmp_path: Path) -> None:
    row = {
        "messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A cat"}],
        "images": ["a.png"],
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    told = told_of(look_at(tmp_path / "rows.jsonl"))
    assert any("not as chat: " in str(block) and "a chat model cannot see" in str(block) for block in told.blocks)
