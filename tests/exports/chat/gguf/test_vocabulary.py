"""How a tokenizer is said in GGUF, and which are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import UserError
from studio.exports.chat.gguf.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, read_vocabulary

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split(pattern: str) -> dict[str, Any]:
    words = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [words, {**BYTES, "use_regex": False}]}


def saved(folder: Path, **changes: Any) -> Path:
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3, "<t>": 4}, "merges": [["a", "b"]]}
    added = [{"id": 3, "content": "<s>", "special": True}, {"id": 4, "content": "<t>", "special": False}]
    whole = {"model": model | changes.pop("model", {}), "added_tokens": added, "normalizer": None, "pre_tokenizer": BYTES}
    (folder / "tokenizer.json").write_text(json.dumps(whole | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "cut"),
    [
        ({}, "gpt-2"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [DIGITS, BYTES]}}, "smollm"),
        ({"pre_tokenizer": split(QWEN), "normalizer": {"type": "NFC"}}, "qwen2"),
        ({"pre_tokenizer": split(QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")), "model": {"ignore_merges": True}}, "llama-bpe"),
    ],
)
def test_the_way_of_cutting_is_read_off_the_rules(tmp_path: Path, changes: dict[str, Any], cut: str):
    found = read_vocabulary(saved(tmp_path, **changes), 6, "tiny")
    assert (found.model, found.cut, found.merges) == ("gpt2", cut, ["a b"])
    assert found.tokens == ["a", "b", "ab", "<s>", "<t>", "[PAD5]"]
    assert found.types == [NORMAL, NORMAL, NORMAL, CONTROL, USER_DEFINED, UNUSED]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"pre_tokenizer": split(r"\w+")},
            r"cannot hold tiny: its tokenizer cuts text by a rule that llama.cpp is not known to have \(Split, By",
        ),
        ({"pre_tokenizer": {**BYTES, "add_prefix_space": True}}, r"cuts text by a rule"),
        ({"pre_tokenizer": split(QWEN), "model": {"ignore_merges": True}}, r"cuts text by a rule"),
        ({"normalizer": {"type": "Lowercase"}}, r"changes text in a way that llama.cpp does not \(Lowercase\)"),
        ({"model": {"type": "Unigram"}}, r"its tokenizer is of the kind 'Unigram', and only BPE has been proven"),
    ],
)
def test_an_unknown_tokenizer_is_refused(tmp_path: Path, changes: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        read_vocabulary(saved(tmp_path, **changes), 6, "tiny")


def test_more_tokens_than_rows_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"its tokenizer has 5 tokens and the model 4 rows for them"):
        read_vocabulary(saved(tmp_path), 4, "tiny")
    with pytest.raises(UserError, match=r"it has no tokenizer.json"):
        read_vocabulary(tmp_path / "elsewhere", 4, "tiny")


def test_pairs_of_sentencepiece_become_scores(tmp_path: Path):
    words = {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "▁": 3, "a": 4, "b": 5, "ab": 6, "▁a": 7, "▁ab": 8}
    model = {
        "vocab": words,
        "merges": [["a", "b"], ["▁", "a"], ["▁", "ab"], ["▁a", "b"]],
        "byte_fallback": True,
        "unk_token": "<unk>",
    }
    blank = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, blank]}
    added = [{"id": 1, "content": "<s>", "special": True}]
    rules = {"model": model, "normalizer": normalizer, "pre_tokenizer": None, "added_tokens": added}
    found = read_vocabulary(saved(tmp_path, **rules), 9, "tiny")
    assert (found.model, found.cut, found.space) == ("llama", "default", True)
    assert found.types[:4] == [UNKNOWN, CONTROL, BYTE, NORMAL]
    assert found.scores[6:] == [0.0, -1.0, -2.0]
    first = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    with pytest.raises(UserError, match=r"puts a blank before the first word only"):
        read_vocabulary(saved(tmp_path, **rules | {"normalizer": None, "pre_tokenizer": first}), 9, "tiny")
