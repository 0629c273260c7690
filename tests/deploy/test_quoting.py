"""Whatever stands in a name, the program that reads the file gets that name back."""

from __future__ import annotations

import json
import re
import shlex

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from studio.deploy.quoting import compose_scalar, kotlin_text, slug_of, unit_word, yaml_block, yaml_scalar

ODD = [
    "yes",
    "1.5",
    "null",
    "a: b",
    "#x",
    "- a",
    "{x}",
    "'",
    '"',
    "$HOME",
    "${X:?}",
    "%i",
    "\\",
    "a\tb",
    "Ü 模型 🙂",
    "a\nb",
    "",
    "0x1F",
    "1e3",
    "~",
]


@pytest.mark.parametrize("text", ODD)
def test_a_text_stays_that_text_in_yaml(text: str):
    assert yaml.safe_load(f"x: {yaml_scalar(text)}") == {"x": text}
    assert yaml.safe_load(f"x: {compose_scalar(text)}")["x"].replace("$$", "$") == text
    assert json.loads(kotlin_text(text).replace("\\$", "$")) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80))
def test_a_block_of_yaml_is_the_text(text: str):
    assert yaml.safe_load(f"x:\n  y: {yaml_block(text, 4)}\n") == {"x": {"y": text}}


def test_source_code_stays_readable_in_yaml():
    text = "def f():\n    return 1\n\n\ndef g():\n    pass\n"
    assert yaml_block(text, 2).startswith("|\n  def f():\n      return 1\n\n")


@given(st.text(max_size=100))
def test_a_slug_is_a_label_of_dns_that_leaves_room(name: str):
    slug = slug_of(name)
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", slug)


def test_slugs_as_people_expect_them():
    assert slug_of("My_Model v2.1") == "my-model-v2-1" and slug_of("3b-chat") == "m-3b-chat" and slug_of("模型") == "model"


@pytest.mark.parametrize("text", ["a b", "100%", "$x", 'say "x"', "back\\slash"])
def test_a_word_of_a_unit_is_one_word(text: str):
    [word] = shlex.split(unit_word(text))
    assert word.replace("%%", "%").replace("$$", "$") == text
