"""Tables, sizes and the one JSON document."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from pathlib import Path

import pytest

from studio.cli import output
from studio.core.telling import Pairs, Table, Told


@pytest.fixture(autouse=True)
def plain():
    """The switch for JSON belongs to the process: a command of an earlier test may have left it on."""
    output.set_json(False)


@dataclasses.dataclass
class Thing:
    """Something to print."""

    name: str
    place: Path
    loss: float


def test_json_has_plain_values_and_no_nan(capsys: pytest.CaptureFixture[str]):
    output.emit_json({"thing": Thing("å", Path("a/b"), float("nan")), "set": {1}, 2: (True, None)})
    assert json.loads(capsys.readouterr().out) == {
        "thing": {"name": "å", "place": "a/b", "loss": None},
        "set": [1],
        "2": [True, None],
    }


def test_table_lines_up_with_wide_characters(capsys: pytest.CaptureFixture[str]):
    output.table(["name", "n"], [["漢字", 1], ["e\u0301", 123.456789]], right=["n"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["name      n", "----  -----", "漢字      1", "e\u0301     123.5"]
    assert {output.screen_width(line) for line in lines} == {11}


def test_empty_table_says_so(capsys: pytest.CaptureFixture[str]):
    output.table(["name"], [], empty="No runs.")
    assert capsys.readouterr().out == "No runs.\n"


TOLD = Told(
    ("Done.\nLook:", Table(["a", "n"], [["x", 1.5]], right=["n"]), Table(["a"], [], empty="None."), Pairs([("b", True)])),
    {"a": 1},
)


def test_what_a_stage_hands_back_is_printed_in_order(capsys: pytest.CaptureFixture[str]):
    output.tell(TOLD)
    assert capsys.readouterr().out.splitlines() == ["Done.", "Look:", "a    n", "-  ---", "x  1.5", "None.", "b  yes"]


def test_with_json_only_its_document_is_printed(capsys: pytest.CaptureFixture[str]):
    output.set_json(True)
    try:
        output.tell(TOLD)
    finally:
        output.set_json(False)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": 1}
    assert captured.err == ""


def test_with_json_people_read_stderr(capsys: pytest.CaptureFixture[str]):
    output.set_json(True)
    try:
        output.say("hello")
        output.table(["a"], [[1]])
    finally:
        output.set_json(False)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["hello", "a", "-", "1"]


def test_on_a_terminal_the_widest_column_is_cut(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")
    output.table(["name", "text"], [["a", "x" * 100]])
    assert max(len(line) for line in stream.getvalue().splitlines()) == 30
    assert "…" in stream.getvalue()


def test_a_terminal_without_unicode_gets_question_marks(monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    output.say("5 € – å")
    assert raw.getvalue() == b"5 ? ? ?\n"
