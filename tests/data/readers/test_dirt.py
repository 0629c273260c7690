"""Ordinary dirt in files: half characters, patterns that lead out, anchors and lines without end. Told or refused, no defect."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from studio.core.errors import ConfigError, DataError, UserError
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.rows import read_split
from studio.data.frames import FrameOptions, read_frame
from studio.data.images.build import build_image_dataset
from studio.data.images.rows import read_image_split
from studio.data.readers import Damage, Raw, ReadOptions, read_file
from studio.data.readers.repair import without_halves
from studio.data.tables.build import build_table_dataset
from studio.schema.image_recipe import ImageRecipe
from studio.schema.loading import load_value, validate
from studio.schema.recipe import ChatRecipe
from studio.schema.table_recipe import TableRecipe

HALF = (
    '{"id": "\\ud83d%d", "question": "Name \\ud83d bird no. %d", "answer": "A wren \\ud83d\\ude00", "note": ["\\udc00"], '
    '"\\ud800": 1}'
)


def chat(folder: Path, source: dict[str, object]) -> BuildOutcome:
    value = {
        "kind": "chat",
        "sources": [{"licence": "own data", "type": "local", **source}],
        "split": {"validation": 0, "test": 0},
    }
    return build_chat_dataset(validate(value, ChatRecipe), Workspace(folder / "workspace"), name="dirt", beside=folder)


def read(path: Path, **options: str) -> tuple[list, list[str]]:
    notes: list[str] = []
    return list(read_file(path, ReadOptions(**options, note=notes.append))), notes


@pytest.mark.parametrize("damaged", ["refuse", "keep"])
@pytest.mark.parametrize("form", ["rows.jsonl", "rows.json", "rows.ndjson"])
def test_half_a_character_is_mended_and_told_for_conversations(tmp_path: Path, form: str, damaged: str) -> None:
    lines = [HALF % (number, number) for number in range(6)] + ['{"question": "Whole?", "answer": "Yes 😀"}']
    (tmp_path / form).write_text("[" + ",".join(lines) + "]" if form.endswith(".json") else "\n".join(lines))
    outcome = chat(tmp_path, {"path": form, "damaged": damaged})
    assert outcome.record.rows_read == 7 and outcome.record.rows_removed == 0
    rows = read_split(outcome.folder, "train")
    texts = {row.messages[0]["content"] for row in rows}
    assert "Name \ufffd bird no. 3" in texts and any(row.id.endswith("/\ufffd3") for row in rows)
    assert {row.messages[1]["content"] for row in rows} == {"A wren 😀", "Yes 😀"}
    (note,) = [note for note in outcome.notes if "half a character" in note]
    assert note.startswith(f"read: {form}: 6 rows hold half a character") and "replaced by U+FFFD" in note


def test_half_a_character_in_tables_and_captions(tmp_path: Path) -> None:
    lines = [f'{{"text": "bird \\ud83d {number}", "label": "{"ab"[number % 2]}"}}' for number in range(60)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    value = {"kind": "table", "target": "label", "sources": [{"type": "local", "path": "rows.jsonl", "licence": "own data"}]}
    outcome = build_table_dataset(validate(value, TableRecipe), Workspace(tmp_path / "w"), name="t", beside=tmp_path)
    assert any("60 rows hold half a character" in note for note in outcome.notes)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(4):
        Image.effect_noise((64, 64), 50 + 40 * number).convert("RGB").save(pictures / f"{number}.png")
    (pictures / "metadata.jsonl").write_text(
        "\n".join(f'{{"file_name": "{number}.png", "text": "bird \\ud83d {number}", "extra": "\\udc00"}}' for number in range(4))
    )
    recipe = {
        "kind": "image",
        "sources": [{"type": "local", "path": "pictures", "licence": "own"}],
        "split": {"validation": 0, "test": 0},
    }
    made = build_image_dataset(validate(recipe, ImageRecipe), Workspace(tmp_path / "w"), name="i", beside=tmp_path)
    assert {row.caption for row in read_image_split(made.folder, "train")} == {f"bird \ufffd {number}" for number in range(4)}
    assert any("metadata.jsonl: 4 rows hold half a character" in note for note in made.notes)


def test_half_a_character_in_json_that_stands_in_a_column(tmp_path: Path) -> None:
    talk = '[{""role"": ""user"", ""content"": ""Name \\ud83d bird""}, {""role"": ""assistant"", ""content"": ""A wren""}]'
    (tmp_path / "rows.csv").write_text(f'id,messages\n1,"{talk}"\n2,"{talk.replace("bird", "fish")}"\n')
    rows = read_split(chat(tmp_path, {"path": "rows.csv"}).folder, "train")
    assert {row.messages[0]["content"] for row in rows} == {"Name \ufffd bird", "Name \ufffd fish"}


def test_halves_that_belong_together_become_one_and_whole_values_stay_the_same() -> None:
    whole = {"a": ["x", {"b": "löv 😀"}], "n": 1.5, "none": None}
    assert without_halves(whole) is whole
    assert without_halves({"\ud83d": 1, chr(0xD83E): 2, "x": 3}) == {"\ufffd": 1, "\ufffd~2": 2, "x": 3}
    assert without_halves({"a\ud83d": ["\ud83d\ude00", "\ude00\ud83d", 2]}) == {"a\ufffd": ["😀", "\ufffd\ufffd", 2]}


def test_json_with_escaped_backslashes_reads_the_same(tmp_path: Path) -> None:
    rows = [{"q": "write \\ud83d in code", "a": "x" * 600_000}, {"q": "😀", "a": "\\"}, {"q": "y" * 700_000, "a": "\U0001f600"}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    found, notes = read(tmp_path / "a.json")
    assert [one.value for one in found] == rows and not notes


def test_text_in_parquet_that_is_not_utf8(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"caf\xe9", b"ok"], pa.binary()).buffers())
    pq.write_table(pa.table({"q": bad, "n": [1, 2]}), tmp_path / "a.parquet")
    found, notes = read(tmp_path / "a.parquet")
    assert [one.value for one in found] == [{"q": "caf\ufffd", "n": 1}, {"q": "ok", "n": 2}]
    assert "text that is not UTF-8 stands in 1 column" in notes[0]
    frame = read_frame(tmp_path / "a.parquet", FrameOptions())
    assert frame.columns["q"].tolist() == ["caf\ufffd", "ok"] and "not UTF-8" in frame.notes[0]


@pytest.mark.parametrize("pattern", ["/*.jsonl", "", "  ", "../*.jsonl", "a/../../b"])
def test_a_pattern_that_leads_out_of_the_folder_is_refused(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    with pytest.raises(UserError, match="names no files inside the folder. Write it relative to it, for example"):
        chat(tmp_path, {"path": "rows", "pattern": pattern})


def test_a_star_without_quotes_says_to_put_it_in_quotes() -> None:
    with pytest.raises(ConfigError, match=r"""quote it twice: --set 'sources.0.pattern="\*.json"'"""):
        load_value({"kind": "chat", "sources": [{}]}, ChatRecipe, ["sources.0.pattern=*.json"])


def test_links_out_of_the_folder_need_leave(tmp_path: Path) -> None:
    inside = tmp_path / "rows"
    inside.mkdir()
    (tmp_path / "secret.jsonl").write_text('{"question": "What is secret?", "answer": "This."}\n')
    (inside / "own.jsonl").write_text('{"question": "What is own?", "answer": "That."}\n')
    (inside / "again.jsonl").symlink_to("own.jsonl")
    assert chat(tmp_path, {"path": "rows"}).record.rows_read == 2
    (inside / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(DataError, match=r"link.jsonl is a link to .*secret.jsonl, which lies outside .*links: true"):
        chat(tmp_path, {"path": "rows"})
    assert chat(tmp_path, {"path": "rows", "links": True}).record.rows_read == 3
    # A link that is named itself is what the person asked for.
    assert chat(tmp_path, {"path": "rows/link.jsonl"}).record.rows_read == 1


def test_links_in_folders_of_tables_and_pictures(tmp_path: Path) -> None:
    for name in ("tables", "pictures"):
        (tmp_path / name).mkdir()
    (tmp_path / "a.csv").write_text("a,b\n1,x\n")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "tables" / "a.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "pictures" / "a.png").symlink_to(tmp_path / "a.png")
    workspace = Workspace(tmp_path / "w")
    table = {"kind": "table", "target": "b", "sources": [{"type": "local", "path": "tables", "licence": "own"}]}
    with pytest.raises(DataError, match="which lies outside"):
        build_table_dataset(validate(table, TableRecipe), workspace, name="t", beside=tmp_path)
    image = {"kind": "image", "sources": [{"type": "local", "path": "pictures", "licence": "own"}]}
    with pytest.raises(DataError, match="which lies outside"):
        build_image_dataset(validate(image, ImageRecipe), workspace, name="i", beside=tmp_path)


def test_anchors_without_end_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    (tmp_path / "a.yaml").write_text("\n".join(lines) + "\nrows:\n- question: *a8\n  answer: b\n")
    began = time.monotonic()
    with pytest.raises(DataError, match="its anchors .* stand for more than 10,000,000 values"):
        read(tmp_path / "a.yaml")
    assert time.monotonic() - began < 5
    (tmp_path / "a.yaml").write_text("- &a [*a]\n")
    ((damage,), _) = read(tmp_path / "a.yaml")
    assert isinstance(damage, Damage) and "recursive" in damage.reason
    (tmp_path / "a.yaml").write_text("- &a {question: x, answer: y}\n- *a\n")
    assert len(read(tmp_path / "a.yaml")[0]) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "[" * 300_000),
        ("a.jsonl", "[" * 100_000 + "\n"),
        ("a.jsonl", '{"a":' * 100_000 + "\n"),
        ("a.yaml", "[" * 50_000),
    ],
)
def test_brackets_without_end_are_damage(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (found,) = read(tmp_path / name)[0]
    assert isinstance(found, Damage) and (
        "nested too deeply" in found.reason or "not valid YAML" in found.reason or "cut off" in found.reason
    )


def test_brackets_inside_texts_are_no_depth(tmp_path: Path) -> None:
    rows = [{"q": "[" * 5000, "a": "{[" * 3000}] * 3
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert [one.value for one in read(tmp_path / "a.json")[0]] == rows


def test_a_hundred_megabytes_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as stream:
        stream.write('{"question": "q", "answer": "' + "x" * (100 << 20) + '"}\n{"question": "r", "answer": "s"}\n')
    found, _ = read(path)
    assert [len(one.value["answer"]) for one in found] == [100 << 20, 1]


def test_a_line_beyond_the_bound_is_damage_and_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.data.readers import json as module

    monkeypatch.setattr(module, "_LONGEST_LINE", 1000)
    path = tmp_path / "a.jsonl"
    path.write_text('{"q": "' + "x" * 5000 + '"}\n{"q": 1}\n')
    first, second = read(path)[0]
    assert first == Damage("line 1", "is longer than 0 MB, which no row is") and second == Raw("line 2", {"q": 1})


def test_huge_numbers_are_damage_of_their_row(tmp_path: Path) -> None:
    digits = "9" * 5000
    (tmp_path / "a.jsonl").write_text(f'{{"q": {digits}}}\n{{"q": 1}}\n')
    first, second = read(tmp_path / "a.jsonl")[0]
    assert isinstance(first, Damage) and second.value == {"q": 1}
    (tmp_path / "a.json").write_text(f'[{{"q": {digits}}}, {{"q": 1}}]')
    first, second = read(tmp_path / "a.json")[0]
    assert isinstance(first, Damage) and second.value == {"q": 1}


def test_kinds_that_no_reader_knows_say_what_can_be_done(tmp_path: Path) -> None:
    for name, said in {
        "a.pdf": "type: documents", "a.docx": "type: documents", "a.xls": "Save it as xlsx", "a.pkl": "run code when",
        "a.tar": "Pack the files as zip", "a.db": "type: sqlite", "a.weird": "Save it as CSV in UTF-8",
        "a.pdf.gz": "type: documents",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(DataError, match=f"{name} is of no known kind. Known: .csv, .*{said}"):
            read(tmp_path / name)


def test_a_copy_of_a_hub_repository_with_documents_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "manual.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    with pytest.raises(UserError) as caught:
        chat(tmp_path, {"type": "hub", "id": str(folder), "revision": "main"})
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "a.csv.gz").write_bytes(b"x")
    (tmp_path / "a.csv.gz").chmod(0)
    with pytest.raises(DataError, match="may not be read by this user"):
        read(tmp_path / "a.csv.gz")


@pytest.mark.parametrize(
    "text", ['[{"q": 1}}, {"q": 2}]', '[{"q": 1}, ]]', '[{"q": 1}, }}}, {"q": 2}]', '{"rows": [{"q": 1}}, {"q": 2}]}']
)
def test_brackets_too_many_are_damage_and_reading_ends(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    found, _ = read(tmp_path / "a.json")
    assert found[0] == Raw("row 1", {"q": 1}) and len(found) < 10


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.yaml", "b.csv", "b.jsonl", "b.json"])
def test_half_a_character_in_the_bytes_of_a_file(tmp_path: Path, name: str) -> None:
    """Written by programs that take UTF-16 apart: as three bytes of UTF-8, or alone in UTF-16."""
    rows = [{"q": "bird \ud83d", "a": "löv \ud83d\ude00"}, {"q": "fish", "a": "x"}]
    separator = "\t" if name.endswith("tsv") else ","
    text = {
        "csv": "q,a\n" + "".join(f"{row['q']},{row['a']}\n" for row in rows),
        "jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        "json": json.dumps(rows, ensure_ascii=False),
        "yaml": "".join(f"- q: {row['q']}\n  a: {row['a']}\n" for row in rows),
    }["csv" if name.endswith("tsv") else name[2:]].replace(",", separator if "sv" in name else ",")
    path = tmp_path / name
    path.write_bytes(text.encode("utf-16" if name[0] == "b" else "utf-8", "surrogatepass"))
    found, notes = read(path)
    assert [one.value for one in found] == [{"q": "bird \ufffd", "a": "löv 😀"}, {"q": "fish", "a": "x"}]
    assert any("half a character" in note for note in notes)
    if not name.endswith("yaml"):
        frame = read_frame(path, FrameOptions())
        assert frame.columns["q"].tolist() == ["bird \ufffd", "fish"] and any("half a character" in note for note in frame.notes)
