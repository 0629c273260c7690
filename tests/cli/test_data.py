"""``studio data`` from the command line: build, list, show, and the mistakes people make."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RECIPE = """kind: chat
sources:
- {type: local, path: rows.jsonl, licence: own data}
steps:
- step: drop_empty
split: {test: 3, validation: 2}
"""


@pytest.fixture
def built(tmp_path: Path, studio: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with one Dataset, built by the command line; returns the recipe."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": f"n{number}", "question": f"How high is wall {number}?", "answer": "å" * (number + 1), "topic": "walls"}
        for number in range(20)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in [*rows, {"question": "?", "answer": ""}]))
    recipe = tmp_path / "walls.yaml"
    recipe.write_text(RECIPE)
    result = studio("data", "build", recipe)
    assert result.code == 0, result.err
    return recipe


def test_build_prints_the_way_on(built: Path, studio: Callable[..., Any]) -> None:
    again = studio("data", "build", built)
    assert again.code == 0
    assert again.out.startswith("found unchanged: walls/")
    assert "21 read, 1 removed; train 15, validation 2, test 3" in again.out
    other = studio("data", "build", built, "--name", "other", "--set", "split.test=5", "--json")
    assert other.json["record"]["splits"] == {"train": 13, "validation": 2, "test": 5}
    assert other.json["cached"] is False and Path(other.json["folder"]).parent.name == "other"
    listed = studio("data", "list")
    assert [line.split()[0] for line in listed.out.splitlines()[2:4]] == ["other", "walls"]
    assert "chat/construction-faq-en" in studio("data", "list", "--json").json["recipes"]


def test_show_prints_conversations_plainly(built: Path, studio: Callable[..., Any]) -> None:
    page = studio("data", "show", "walls")
    assert page.out.count("── walls, train ") == 10 and "\x1b[" not in page.out
    assert studio("data", "show", "walls", "--page", 2).out.count("── walls, train ") == 5
    one = studio("data", "show", "walls", "--split", "test", "--row", 1)
    assert "     user  How high is wall" in one.out and "assistant  å" in one.out and "topic=walls" in one.out
    wanted = studio("data", "show", "walls", "--row", 3, "--json").json[0]["id"]
    assert studio("data", "show", "walls", "--id", wanted, "--json").json[0]["row"] == 3
    gone = studio("data", "show", "walls", "--removed")
    assert "drop_empty: empty turn; found turn 2 (assistant); allowed some text in every turn" in gone.out
    assert studio("data", "show", "walls", "--removed", "--json").json[0]["reason"] == "empty turn"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["build", "constuction-faq-en"], "unknown recipe 'constuction-faq-en'. Did you mean 'construction-faq-en'?"),
        (
            ["build", "RECIPE", "--set", "split.tset=3"],
            "--set split.tset=3: unknown field 'tset' in 'split'. Did you mean 'test'?",
        ),
        (["build", "RECIPE", "--set", "sources.0.path=gone"], "there is no file or folder 'gone'"),
        (["show", "wals"], "there is no dataset 'wals'"),
        (["show", "walls", "--split", "tets"], "has no split 'tets'. Did you mean 'test'?"),
        (["show", "walls", "--row", "99"], "there is no row 99: rows go from 1 to 15."),
        (["show", "walls", "--page", "9"], "there is no page 9: the last one is 2."),
        (["show", "walls", "--id", "rows/n99"], "there is no row 'rows/n99' here."),
        (["show", "walls", "--tokens", "--train-on", "asistant"], "--train-on is 'asistant'. Did you mean 'assistant'?"),
    ],
)
def test_mistakes_are_one_sentence(built: Path, studio: Callable[..., Any], arguments: list[str], sentence: str) -> None:
    result = studio("data", *[str(built) if argument == "RECIPE" else argument for argument in arguments])
    assert result.code == 2
    assert sentence in result.err and "Traceback" not in result.err and len(result.err.strip().splitlines()) == 1


def test_tokens_show_what_is_trained(built: Path, studio: Callable[..., Any], tiny_base: Path) -> None:
    result = studio("data", "show", "walls", "--row", 1, "--tokens", "--model", tiny_base)
    assert result.code == 0, result.err
    row = studio("data", "show", "walls", "--row", 1, "--json").json[0]
    answer = row["messages"][1]["content"]
    assert "legend: [trained]" in result.out
    assert f"[{answer}][<|im_end|>]" in result.out, "the answer and its end token are trained, nothing else"
    assert result.out.count("[") - result.out.count("legend: [") - 1 == 2
    value = studio("data", "show", "walls", "--row", 1, "--tokens", "--model", tiny_base, "--max-length", 5, "--json").json[0]
    assert len(value["input_ids"]) == 5 and value["cut"] > 0 and not any(value["trained"])


def test_tokens_in_colour(built: Path, studio: Callable[..., Any], tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    result = studio("data", "show", "walls", "--row", 1, "--tokens", "--model", tiny_base)
    assert "\x1b[1;30;42m" in result.out, "trained tokens stand on green"
    assert "[<|im_end|>]" not in result.out


def test_tokens_of_preferences_are_those_of_their_answers(
    tmp_path: Path, studio: Callable[..., Any], tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"Wall {number}?", "chosen": f"High {number}.", "rejected": f"Low {number}."} for number in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [*rows, rows[0]])))
    (tmp_path / "walls.yaml").write_text(RECIPE.replace("drop_empty", "exact_duplicates"))
    assert studio("data", "build", tmp_path / "walls.yaml").code == 0
    for more in ((), ("--removed",)):
        shown = studio("data", "show", "walls", "--row", 1, "--tokens", "--model", tiny_base, *more)
        assert shown.code == 0, shown.err
        assert "row 1, chosen): " in shown.out and "row 1, rejected): " in shown.out and "0 trained" not in shown.out
        assert re.search(r"\[High \d+\.\]", shown.out) and re.search(r"\[Low \d+\.\]", shown.out)
    both = studio("data", "show", "walls", "--row", 1, "--tokens", "--model", tiny_base, "--json").json
    assert [value["answer"] for value in both] == ["chosen", "rejected"] and both[0]["row"] == both[1]["row"] == 1


@pytest.mark.parametrize("command", ["train", "plan"])
def test_a_wrong_dataset_is_told_before_torch_is_imported(tmp_path: Path, command: str) -> None:
    """And of many names ten are listed."""
    for number in range(14):
        folder = tmp_path / "datasets" / f"walls{number}" / "aaaabbbb"
        folder.mkdir(parents=True)
        (folder / "dataset.json").write_text("{}")
    code = (
        "import sys; from studio.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    line = [sys.executable, "-c", code, command, "chat/lora", "--data", "wals3", "--workspace", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2", "False"], done.stderr
    assert "there is no dataset 'wals3'" in done.stderr and "Did you mean 'walls3'?" in done.stderr
    assert done.stderr.count(", walls") == 9 and "and 4 more. Build one" in done.stderr


@pytest.fixture
def thoughtful(tmp_path: Path, studio: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Dataset whose answers have thoughts and weights."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.chdir(tmp_path)
    answer = {"role": "assistant", "content": "<think>Look.</think>\n\nHigh.", "weight": 0.25}
    rows = [{"messages": [{"role": "user", "content": f"Wall {number}?"}, answer]} for number in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "walls.yaml").write_text(RECIPE)
    assert studio("data", "build", tmp_path / "walls.yaml").code == 0
    return tmp_path


def test_tokens_as_a_preset_trains_them(thoughtful: Path, studio: Callable[..., Any], tiny_base: Path) -> None:
    (thoughtful / "own.yaml").write_text(f"kind: chat\nmodel: {tiny_base}\nthinking: mask\nmax_length: 99\n")
    show = ("data", "show", "walls", "--row", 1, "--tokens", "--preset", thoughtful / "own.yaml")
    masked = studio(*show)
    assert masked.code == 0, masked.err
    assert "</think>\n\n[High.]" in masked.out and "weights 0.25" in masked.out
    assert "[<think>Look.</think>\n\nHigh.]" in studio(*show[:-2], "--model", tiny_base).out
    dropped = studio(*show, "--thinking", "drop", "--json").json[0]
    assert "think" not in "".join(dropped["tokens"]) and set(dropped["weights"]) == {0.25, 1.0}
    wrong = studio(*show[:-2], "--thinking", "hide")
    assert wrong.code == 2 and "--thinking is 'hide'. Allowed: keep, mask, drop." in wrong.err
