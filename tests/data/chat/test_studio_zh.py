"""The Chinese starter corpus: whole, and true to the studio: every command, option, preset and target in it exists."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.cli.main import COMMANDS, load_command
from studio.core.content import list_content
from studio.core.workspace import Workspace

ROOT = Path(__file__).parents[3]
ROWS = [json.loads(line) for line in (ROOT / "data_recipes/chat/studio-zh.jsonl").read_text(encoding="utf-8").splitlines()]
TEXTS = [f"{row['question']} {row['answer']}" for row in ROWS]


def options(command: Any) -> set[str]:
    """Every option of a command, its own and those of its parts."""
    parts = getattr(command, "commands", {}).values()
    return {flag for parameter in command.params for flag in parameter.opts}.union(*(options(part) for part in parts))


def test_it_is_built_without_losing_a_row(studio: Callable[..., Any], workspace: Workspace) -> None:
    built = studio("data", "build", "chat/studio-zh", "--workspace", workspace.root, "--json")
    assert built.code == 0, built.err
    record = built.json["record"]
    assert record["splits"] == {"train": 160, "validation": 15, "test": 25} and record["rows_removed"] == 0
    assert record["sources"][0]["licence"] == "CC-BY-4.0"


def test_rows_are_different_chinese_and_end_as_sentences() -> None:
    assert len(ROWS) == 200 == len({row["question"] for row in ROWS}) == len({row["answer"] for row in ROWS})
    assert all(row["question"].endswith("？") and row["answer"].endswith("。") for row in ROWS)
    assert all(len(re.findall(r"[\u4e00-\u9fff]", text)) >= 6 for text in TEXTS)


def test_every_command_and_option_exists() -> None:
    known: dict[str, Any] = {name: load_command(name) for name in COMMANDS}
    top = {"--json", "--workspace", "--lang", "--version", "--help", "--install-completion"}
    checked = 0
    for text in TEXTS:
        named = []
        for line in re.findall(r"studio ([a-z][a-z -]*[a-z])", text):
            words = line.split()
            assert words[0] in known, text
            named.append(known[words[0]])
            parts = getattr(named[-1], "commands", {})
            assert not parts or len(words) == 1 or words[1] in parts or words[0] == "serve", text
            checked += 1
        allowed = top.union(*(options(command) for command in (named or known.values())))
        assert set(re.findall(r"(?<!\S)--[a-z][a-z-]*", text)) <= allowed, text
    assert checked >= 60


def test_every_preset_recipe_step_and_target_exists() -> None:
    content = {*list_content("adapters"), *list_content("data_recipes")}
    # What lies in folders of those names, beside the registry.
    other = {"data/example", "image/own-pictures"}
    for text in TEXTS:
        named = set(re.findall(r"(?<![\w/])(?:chat|image|diffusion)/[a-z0-9-]+", text))
        assert named - other <= content, text
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z-]+)", " ".join(TEXTS)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
