"""The Chinese README says what the English one says: the same commands, pictures, links, presets and figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
# What only a reader in China needs.
MORE_COMMANDS = [
    "export HF_ENDPOINT=https://hf-mirror.com",
    "studio doctor",
    "studio data build chat/studio-zh",
    "studio train chat/lora --data studio-zh --model ms:Qwen/Qwen3-0.6B",
]


def without_outputs(text: str) -> str:
    return re.sub(r"<!-- quickstart -->.*?<!-- /quickstart -->", "", text, flags=re.DOTALL)


def commands(text: str) -> list[str]:
    """Indented lines that a person types, without what is said beside them."""
    lines = re.findall(r"^    ((?:git|make|source|export|studio) .*)$", without_outputs(text), re.MULTILINE)
    return [re.split(r"  +|\s+#", line)[0] for line in lines]


def test_the_commands_are_the_same_in_the_same_order() -> None:
    chinese = commands(CHINESE)
    assert [command for command in chinese if command not in MORE_COMMANDS] == commands(ENGLISH)
    assert [command for command in chinese if command in MORE_COMMANDS] == MORE_COMMANDS
    assert len(commands(ENGLISH)) >= 20


@pytest.mark.parametrize("pattern", [r"!\[.*?\]\((.*?)\)", r"^\| `([^|]*)` \|", r"^(#+) ", r"`(--[a-z-]+|studio [a-z ]+)`"])
def test_pictures_presets_sections_and_options_are_the_same(pattern: str) -> None:
    english, chinese = (re.findall(pattern, without_outputs(text), re.MULTILINE) for text in (ENGLISH, CHINESE))
    # The pages of the studio are shown as the reader will see them.
    chinese = [re.sub(r"(images/studio-\w+)-zh\.png", r"\1.png", item) if isinstance(item, str) else item for item in chinese]
    # One section more: how to come by models in China; the option --lang is of use to its readers.
    extra = {"##": 1} if pattern.startswith("^(#") else {"--lang": 0, "studio": 0}
    for item, count in extra.items():
        for _ in range(count):
            chinese.remove(item)
    assert [item for item in chinese if item not in {"studio doctor"}] == english


def test_the_quickstart_is_the_same_run() -> None:
    english, chinese = (re.findall(r"<!-- quickstart -->.*?<!-- /quickstart -->", text, re.DOTALL) for text in (ENGLISH, CHINESE))
    assert english == chinese and len(english) == 1


def test_every_link_leads_to_a_file_that_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", CHINESE) if "://" not in link]
    same = {re.sub(r"(images/studio-\w+)-zh\.png", r"\1.png", link) for link in links}
    assert len(links) > 20 and [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []
    english = {link for link in re.findall(r"\]\(([^)]+)\)", ENGLISH) if "://" not in link}
    # Places on the page itself have names in its language.
    assert {link for link in english - same if link[0] != "#"} == {"README.zh.md"}, "what the one leads to, the other does"


def test_figures_are_the_same_where_the_same_is_told() -> None:
    """Numbers outside of outputs; those of the Chinese quickstart's own run and of the Chinese corpus are its own."""

    def figures(text: str) -> set[str]:
        return set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", without_outputs(text)))

    # 135 million are 1.35 of the unit that Chinese counts in.
    assert figures(CHINESE) - {"1.35"} == figures(ENGLISH)
    assert "[中文](README.zh.md)" in ENGLISH.split("\n    git clone")[0], "found on the first screen"
