"""Files as people have them, whole and damaged: every row is read or named with its place and reason."""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.core.errors import DataError
from studio.data.chat.reading import CHAT_READERS, ChatReadOptions
from studio.data.readers import Damage, Raw, read_file

ROWS = [{"q": f"Fråga {number}?", "a": f"Svar {number}, med 'citat' och\nny rad."} for number in range(5)]


def values(path: Path, **options: str) -> list:
    return [found.value for found in read_file(path, ChatReadOptions(**options), CHAT_READERS) if isinstance(found, Raw)]


def damages(path: Path, **options: str) -> list[Damage]:
    return [found for found in read_file(path, ChatReadOptions(**options), CHAT_READERS) if isinstance(found, Damage)]


def write_all(folder: Path) -> dict[str, Path]:
    paths = {kind: folder / f"rows.{kind}" for kind in ("csv", "tsv", "json", "jsonl", "parquet", "yaml")}
    for kind in ("csv", "tsv"):
        with paths[kind].open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, ["q", "a"], delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(ROWS)
    paths["json"].write_text(json.dumps(ROWS, ensure_ascii=False), encoding="utf-8")
    paths["jsonl"].write_text("\n".join(json.dumps(row) for row in ROWS) + "\n", encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(ROWS), paths["parquet"])
    paths["yaml"].write_text(json.dumps(ROWS, ensure_ascii=False), encoding="utf-8")
    return paths


def test_every_kind_gives_the_same_rows(tmp_path: Path) -> None:
    for kind, path in write_all(tmp_path).items():
        assert values(path) == ROWS, kind


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"meta": {"list": ["x"]}, "questions": ROWS}),
        "\n".join(json.dumps(row) for row in ROWS),
        "\ufeff" + json.dumps(ROWS),
    ],
    ids=["under a key", "lines called .json", "byte-order mark"],
)
def test_json_in_other_clothes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text, encoding="utf-8")
    assert values(path) == ROWS


def test_one_conversation_in_a_json_file_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps({"id": 7, "conversations": [{"from": "human", "value": "hi"}]}))
    assert [value["id"] for value in values(path)] == [7]


def test_yaml_answers_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "talk.yml"
    path.write_text("categories: [x]\nconversations:\n- - Are you sure?\n  - No\n- - How many?\n  - 12\n")
    assert [value["conversation"] for value in values(path)] == [["Are you sure?", "No"], ["How many?", "12"]]


def test_csv_with_semicolons_and_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("q;a\nVad är det?;Ett hus, med tak.\n".encode("cp1252"))
    with pytest.raises(DataError) as error:
        values(path, encoding="utf-8")
    assert str(error.value) == (
        f"{path} is not UTF-8 text: byte 8 is 0xe4. Save it as UTF-8, or name its encoding in the recipe (too few letters "
        "tell which; encoding: cp1252 reads 'Vad är det?;Ett hus, med tak.')."
    )
    assert values(path, encoding="cp1252") == [{"q": "Vad är det?", "a": "Ett hus, med tak."}]


def test_wrong_byte_is_found_far_into_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes("å".encode() * 700_000 + b"\xff\xfe")
    with pytest.raises(DataError, match="byte 1400000 is 0xff"):
        values(path)


def test_utf16_is_recognised_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("q,a\nx,y\n", encoding="utf-16")
    with pytest.raises(DataError, match="encoding: utf-16"):
        values(path, encoding="utf-8")
    assert values(path, encoding="utf-16") == values(path) == [{"q": "x", "a": "y"}]


CUT = {
    "csv": ('q,a\n1,2\n3,"unfinished', "row 2", "the file is cut off inside a quoted value (line 3)"),
    "jsonl": ('{"q": 1}\n{"q": 2', "line 2", "is cut off: Expecting ',' delimiter at column 8"),
    "json": ('[{"q": 1}, {"q": "unfin', "row 2", "is cut off: the file ends in the middle of it, at byte 23"),
    "yaml": ("- q: 1\n- q: [unfinished", "line 3", "is not valid YAML: did not find expected ',' or ']'"),
}


@pytest.mark.parametrize("kind", CUT)
def test_cut_off_files_name_the_place(tmp_path: Path, kind: str) -> None:
    text, place, reason = CUT[kind]
    path = tmp_path / f"rows.{kind}"
    path.write_text(text)
    found = damages(path)
    assert [(damage.place, damage.reason) for damage in found] == [(place, reason)]
    if kind != "yaml":
        assert len(values(path)) == 1


def test_cut_off_parquet(tmp_path: Path) -> None:
    path = write_all(tmp_path)["parquet"]
    path.write_bytes(path.read_bytes()[:-20])
    (damage,) = damages(path)
    assert damage.reason.startswith("cannot be read: the file is cut off or damaged")


def test_bad_json_in_the_middle_is_not_called_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"q": 1}, {"q": oops}, {"q": 3}]')
    (damage,) = damages(path)
    assert damage.place == "row 2" and damage.reason.startswith("is not valid JSON (invalid")


def test_each_bad_line_of_jsonl_is_named_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"q": 1}\nnonsense\n{"q": "\xff"}\n{"q": 4}\n')
    assert [value["q"] for value in values(path)] == [1, 4]
    first, second = damages(path)
    assert (first.place, first.reason) == ("line 2", "is not valid JSON: Expecting value at column 1")
    assert second.place == "line 3" and "byte 25 of the file is 0xff" in second.reason


def test_csv_row_with_another_width(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("q,a\n1,2\n3\n4,5\n")
    assert damages(path) == [Damage("row 2", "has 1 values, the header has 2 (line 3)")]
    assert len(values(path)) == 2


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet", "yaml", "txt", "md"])
def test_empty_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"rows.{kind}"
    path.touch()
    assert damages(path) == [Damage.of_file("is empty")]


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "q,a\n"), ("a.json", "[]"), ("a.jsonl", "\n\n"), ("a.yaml", "[]"), ("a.md", "\n")]
)
def test_files_without_rows(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert len(damages(path)) == 1 and not values(path)


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv does not exist"):
        values(tmp_path / "gone.csv")
    other = tmp_path / "rows.docx"
    other.write_text("x")
    with pytest.raises(DataError, match=r"is of no known kind. Known: \.csv, \.json"):
        values(other)


def test_a_large_json_array_is_streamed(tmp_path: Path) -> None:
    """60 MB of rows, cut off at the end, are read with little more memory than one row takes."""
    path = tmp_path / "large.json"
    row = json.dumps({"conversations": [{"from": "human", "value": "x" * 3000}, {"from": "gpt", "value": "y" * 3000}]})
    with path.open("w") as stream:
        stream.write("[" + ",".join([row] * 10_000) + ', {"conversations": [{"from": "hum')
    code = (
        "import sys, resource; from pathlib import Path; from studio.data.readers import *;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "found = [type(item).__name__ for item in read_file(Path(sys.argv[1]), ReadOptions())];"
        "print(found.count('Raw'), found.count('Damage'), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    rows, damaged, grown = map(int, done.stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024
    assert (rows, damaged) == (10_000, 1)
    assert grown * unit < 20_000_000, resource.getrusage(resource.RUSAGE_SELF)


def test_markdown_headings_become_questions(tmp_path: Path) -> None:
    path = tmp_path / "house-rules.md"
    path.write_text(
        "Intro text.\n\n# House rules\n\n## Noise\nQuiet after ten.\n```\n# no heading\n```\n\n"
        "## Bins\n\n### Glass\nIn the yard.\n"
    )
    rows = values(path, prompt="What about {heading} in {title}?")
    assert [(row["question"], row["answer"]) for row in rows] == [
        ("What about house rules in house rules?", "Intro text."),
        ("What about Noise in House rules?", "Quiet after ten.\n```\n# no heading\n```"),
        ("What about Glass in House rules?", "In the yard."),
    ]


def test_written_out_questions_are_taken_at_their_word(tmp_path: Path) -> None:
    path = tmp_path / "faq.txt"
    path.write_text("Q: Who are you?\nA: A house.\nWith a roof.\n\nQ: How old?\nA: Ten.\n")
    rows = values(path)
    assert [[turn["content"] for turn in row["messages"]] for row in rows] == [
        ["Who are you?", "A house.\nWith a roof."],
        ["How old?", "Ten."],
    ]


def test_csv_goes_on_after_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('question,answer\nq0,a0\n"q1 "x" y",a1\nq2,a2\nq3,a3\n')
    assert [value["question"] for value in values(path)] == ["q0", "q2", "q3"]
    assert damages(path) == [Damage("row 2", "is not valid csv: ',' expected after '\"' (line 3)")]
    lines = [f"q{number},a{number}" for number in range(50_000)]
    lines[17] = '"q17 "x",a17'
    path.write_text("question,answer\n" + "\n".join(lines))
    assert len(values(path)) == 49_999


def test_quotes_between_tabs_are_text_where_they_quote_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('question\tanswer\n"q0\nx"\ta0\n"q1" x\ta1\n"q2\ta2\n\'q3\' "y"\ta3\n"q4\ta4')
    assert [value["question"] for value in values(path)] == ["q0\nx", '"q1" x', '"q2', "'q3' \"y\"", '"q4']
    assert not damages(path)


def test_a_quote_that_nobody_closes_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('question,answer\nq0,a0\n"q1,a1\nq2,a2\nq3,a3')
    assert [value["question"] for value in values(path)] == ["q0", "q2", "q3"]
    (damage,) = damages(path)
    assert damage == Damage("row 2", "opens a quoted value that is never closed (line 3)")


@pytest.mark.parametrize(
    "text", ["sep=;\nquestion;answer\nq, 0;a0\n", '"sep=|"\nquestion|answer\nq, 0|a0\n', "question|answer\nq, 0|a0\n"]
)
def test_separators_that_spreadsheets_name_or_use(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    assert values(tmp_path / "rows.csv") == [{"question": "q, 0", "answer": "a0"}]


def test_two_columns_of_one_name_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("question,answer,answer\nq,a,b\n")
    with pytest.raises(DataError, match=r"has several columns called 'answer' \(columns 2, 3\)"):
        values(path)


def test_nan_is_read_and_reading_goes_on_after_a_bad_item(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"q": "q0"}, {"q": "q1", "a": NaN}, {"q": oops}, {"q": "q3"}]')
    assert [value["q"] for value in values(path)] == ["q0", "q1", "q3"]
    assert [damage.place for damage in damages(path)] == ["row 3"]
    path.write_text('{"about": "x", "rows": [{"q": "q0"}, {"q": oops, "b": "]}"}, {"q": "q2"}], "end": 1}')
    assert [value["q"] for value in values(path)] == ["q0", "q2"]
    many = [json.dumps({"q": "x" * 500, "n": number}) for number in range(5000)]
    many[10] = '{"q": oops}'
    path.write_text("[" + ",\n".join(many) + "]")
    assert len(values(path)) == 4999 and len(damages(path)) == 1


def test_several_lists_of_rows_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"train": ROWS, "test": ROWS}))
    with pytest.raises(DataError, match="holds rows under several keys: train, test"):
        values(path)
    assert values(path, records="test") == ROWS


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "[\n" + ",\n".join(json.dumps(row) for row in ROWS) + "\n]",
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        "[" + ",\n".join(json.dumps(row) for row in ROWS) + "]",
    ],
    ids=["one line", "pretty array", "line by line", "pretty objects", "tight"],
)
def test_jsonl_that_holds_no_lines(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    assert values(path) == ROWS


def test_a_conversation_on_a_line_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    path.write_text(json.dumps(talk))
    assert values(path) == [talk]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("Question; long,Answer; short\nName a bird,A wren\nName a fish,A cod\n", ["Question; long", "Answer; short"]),
        ("question;answer, short\nWhat, then?;A, b, c\nOk;d, e\n", ["question", "answer, short"]),
        ('question,a|b\n"x\ny",z\n', ["question", "a|b"]),
    ],
)
def test_of_several_separators_in_a_header_the_rows_decide(tmp_path: Path, text: str, columns: list[str]) -> None:
    (tmp_path / "rows.csv").write_text(text)
    assert [list(value) for value in values(tmp_path / "rows.csv")] == [columns] * (text.count("\n") - 1 - ('"' in text))
