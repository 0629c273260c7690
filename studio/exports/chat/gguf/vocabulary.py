"""The tokenizer of a model as GGUF says it. Which way of cutting text llama.cpp is told is read off ``tokenizer.json`` itself.

llama.cpp's own script knows models by a hash of what their tokenizers make of one text. A tuned model may have another vocabulary
than its base, so here the rules are compared instead; a rule that is not in the table is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import UserError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # llama_token_type, llama.h

_WORDS_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _WORDS_TAIL
_QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _WORDS_TAIL
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES, _WORDS = ("bytes",), ("bytes", "words")
CUTS: dict[tuple[tuple[str, ...], ...], dict[bool, str]] = {
    (_WORDS,): {False: "gpt-2"},
    (("digits",), _WORDS): {False: "smollm"},
    (("split", _LLAMA3), _BYTES): {False: "dbrx", True: "llama-bpe"},
    (("split", _QWEN2), _BYTES): {False: "qwen2"},
    (("split", _TEKKEN), _BYTES): {True: "tekken"},
}
"""Steps that cut a text, to llama.cpp's name of them without and with words of the vocabulary taken whole (``ignore_merges``)."""


@dataclass(frozen=True)
class Vocabulary:
    """What is written of a tokenizer.

    model: ``gpt2`` for byte-level pairs, ``llama`` for SentencePiece's. cut: how text is cut before. tokens, types: per id.
    merges: as pairs with a blank between, the first joined first. scores: per id, of SentencePiece's. space: a blank is put
    before a text, None where that is not asked. composed: characters are composed first (NFC), which llama.cpp does not do.
    """

    model: str
    cut: str
    tokens: list[str]
    types: list[int]
    merges: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    space: bool | None = None
    composed: bool = False


def read_vocabulary(folder: Path, entries: int, base: str) -> Vocabulary:
    """The tokenizer of a model's folder.

    Args:
        entries: rows of the embedding; those without a word get one that is never written.
        base: name, for messages.
    Raises:
        UserError: it has no ``tokenizer.json``, or one of a kind that llama.cpp is not known to read the same.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"--to gguf cannot hold {base}: it has no tokenizer.json, so its tokens cannot be written down.")
    saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    model = saved["model"]
    if model.get("type") != "BPE":
        raise refused(base, f"its tokenizer is of the kind {model.get('type')!r}, and only BPE has been proven")
    if model.get("byte_fallback"):
        return _sentencepiece(saved, entries, base)
    normalizer = saved.get("normalizer")
    if normalizer not in (None, {"type": "NFC"}):
        raise refused(base, f"its tokenizer changes text in a way that llama.cpp does not ({normalizer.get('type')})")
    cut = cut_of(saved.get("pre_tokenizer"), bool(model.get("ignore_merges")), base)
    tokens, types = _words(saved, entries, base)
    return Vocabulary("gpt2", cut, tokens, types, merges=_merges(model), composed=normalizer is not None)


def refused(base: str, reason: str) -> UserError:
    """The sentence for a tokenizer that cannot be written."""
    return UserError(
        f"--to gguf cannot hold {base}: {reason}. Export it with --to merged and convert it with llama.cpp's own script."
    )


def cut_of(steps: Mapping[str, Any] | None, whole: bool, base: str) -> str:
    """llama.cpp's name for a ``pre_tokenizer``.

    Raises:
        UserError: it is not in the table.
    """
    listed: Sequence[Mapping[str, Any]] = [] if steps is None else steps.get("pretokenizers", [steps])
    known = CUTS.get(tuple(_step(each) for each in listed), {})
    if whole not in known:
        kinds = ", ".join(str(each.get("type")) for each in listed) or "nothing"
        raise refused(base, f"its tokenizer cuts text by a rule that llama.cpp is not known to have ({kinds})")
    return known[whole]


def _step(step: Mapping[str, Any]) -> tuple[str, ...]:
    """One step of cutting, in the table's words; an unknown one stands for itself and matches nothing."""
    kind = step.get("type")
    if kind == "ByteLevel" and not step.get("add_prefix_space"):
        return _WORDS if step.get("use_regex", True) else _BYTES
    if kind == "Digits" and step.get("individual_digits"):
        return ("digits",)
    if kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert") and "Regex" in step["pattern"]:
        return ("split", str(step["pattern"]["Regex"]))
    return ("unknown", json.dumps(step, sort_keys=True))


def _merges(model: Mapping[str, Any]) -> list[str]:
    """Pairs in order; a pair is a list in new files and a text in old ones."""
    return [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]


def _words(saved: Mapping[str, Any], entries: int, base: str) -> tuple[list[str], list[int]]:
    """Every token with its type, by id.

    Raises:
        UserError: there are more tokens than the model has rows for.
    """
    by_id = {int(token): text for text, token in saved["model"]["vocab"].items()}
    added = {int(each["id"]): each for each in saved.get("added_tokens") or []}
    by_id |= {token: str(each["content"]) for token, each in added.items()}
    if by_id and max(by_id) >= entries:
        raise refused(base, f"its tokenizer has {max(by_id) + 1:,} tokens and the model {entries:,} rows for them")
    tokens, types = [], []
    for token in range(entries):
        tokens.append(by_id.get(token, f"[PAD{token}]"))
        kind = added.get(token)
        types.append(UNUSED if token not in by_id else NORMAL if kind is None else CONTROL if kind["special"] else USER_DEFINED)
    return tokens, types


def _sentencepiece(saved: Mapping[str, Any], entries: int, base: str) -> Vocabulary:
    """Pairs that SentencePiece learnt, which llama.cpp joins by the score of what comes out.

    The order of the pairs is the order of the scores: the rank of the first pair that makes a token is its score, negative.
    """
    space = _space_before(saved, base)
    tokens, types = _words(saved, entries, base)
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(_merges(saved["model"])):
        ranks.setdefault(pair.replace(" ", ""), rank)
    unknown = saved["model"].get("unk_token")
    for token, text in enumerate(tokens):
        if text == unknown:
            types[token] = UNKNOWN
        elif len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            types[token] = BYTE
    scores = [-float(ranks[text]) if text in ranks else -1e6 for text in tokens]
    return Vocabulary("llama", "default", tokens, types, scores=scores, space=space)


def _space_before(saved: Mapping[str, Any], base: str) -> bool:
    """Whether a blank is put before a text and after each mark, as llama.cpp does where it is told so.

    Raises:
        UserError: it is put somewhere else, or text is changed in another way.
    """
    normalizer, cutter = saved.get("normalizer"), saved.get("pre_tokenizer")
    steps = [] if normalizer is None else normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    blank = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    prepends = [each for each in steps if each == {"type": "Prepend", "prepend": "▁"}]
    others = [each for each in steps if each != blank and each not in prepends]
    kind = None if cutter is None else cutter["type"]
    if others or (kind not in {None, "Metaspace", "Split"}):
        raise refused(base, "its tokenizer changes text in a way that llama.cpp is not known to have")
    if cutter is not None and kind == "Metaspace":
        if cutter.get("prepend_scheme") == "first" or cutter.get("split"):
            raise refused(base, "its tokenizer puts a blank before the first word only, where llama.cpp puts one after each mark")
        return bool(cutter.get("prepend_scheme", "always") == "always")
    return bool(prepends)


def describe(writer: Any, found: Vocabulary) -> None:
    """Write a tokenizer into a ``gguf.GGUFWriter``."""
    writer.add_tokenizer_model(found.model)
    writer.add_tokenizer_pre(found.cut)
    writer.add_token_list(found.tokens)
    writer.add_token_types(found.types)
    if found.merges:
        writer.add_token_merges(found.merges)
    if found.scores:
        writer.add_token_scores(found.scores)
    if found.space is not None:
        writer.add_add_space_prefix(found.space)
