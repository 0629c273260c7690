"""Counting tokens with the tokenizer of a base model, without opening the model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.core.files import sha256_json
from studio.data.memo import HashMemo
from studio.models.bases import ResolvedBase, resolve_base

# Runs of letters, which most tokenizers never cut across blanks or signs, and every other sign on its own.
_PIECE = re.compile(r"[A-Za-z]+|[^A-Za-z ]")
# Longest stretch of text that is tokenised before the count is looked at, in characters.
_STRETCH = 16_384
_BATCH = 256


class TokenCounter:
    """Counts tokens of plain text; marks of a chat template are not counted."""

    def __init__(self, base: ResolvedBase) -> None:
        """Reads ``tokenizer.json`` where there is one (no torch needed), else lets transformers build the tokenizer."""
        file = base.folder / "tokenizer.json"
        self._tokenizer: Any
        if file.is_file():
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_file(str(file))
        else:
            from studio.models.chat.loading import load_tokenizer

            self._tokenizer = load_tokenizer(base).backend_tokenizer  # type: ignore[attr-defined]
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        # Words that are one token after a blank: "Ġword" in byte-level vocabularies, "▁word" in SentencePiece's.
        self._words = {token[1:] for token in self._tokenizer.get_vocab() if token[:1] in {"Ġ", "▁"}}

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def bound(self, turns: Sequence[str]) -> int:
        """At least as many tokens as the turns have, found without tokenising: about 1.5 times the count in English.

        A word of the vocabulary counts as one, any other piece as its bytes: a byte-level token covers one or more.
        """
        known, total = self._words, 4 * len(turns)
        for turn in turns:
            for piece, times in Counter(_PIECE.findall(turn)).items():
                total += times * (1 if piece in known else len(piece) if piece.isascii() else 4)
            total += turn.count("  ")
        return total

    def count_up_to(self, rows: Sequence[Sequence[str]], low: int | None, high: int | None) -> list[tuple[int, bool]]:
        """Tokens of each row (a list of turns), as far as the limits ask.

        A row that cannot exceed ``high`` is not tokenised when there is no ``low``; one that has is not tokenised further.
        Long turns are tokenised in stretches of 16,384 characters, which can add one token per border.

        Returns:
            count and whether it is the whole row's. A count that is not whole is above ``high``, or a bound below it.
        """
        results: list[tuple[int, bool]] = [(0, True)] * len(rows)
        waiting: list[tuple[int, str]] = []
        for index, turns in enumerate(rows):
            if high is not None and low is None:
                size = sum(len(turn) if turn.isascii() else 4 * len(turn) for turn in turns) + 4 * len(turns)
                most = size if size <= high else self.bound(turns)
                if most <= high:
                    results[index] = (most, False)
                    continue
            for turn in turns:
                waiting += [(index, turn[part : part + _STRETCH]) for part in range(0, max(1, len(turn)), _STRETCH)]
        counts = [0] * len(rows)
        for start in range(0, len(waiting), _BATCH):
            batch = [(index, text) for index, text in waiting[start : start + _BATCH] if high is None or counts[index] <= high]
            for (index, _), count in zip(batch, self.count([text for _, text in batch]), strict=True):
                counts[index] += count
                results[index] = (counts[index], high is None or counts[index] <= high)
        return results


def tokenizer_identity(model: str, memo: HashMemo) -> str:
    """Hash of the files a count depends on."""
    folder: Path = resolve_base(model).folder
    files = [folder / name for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt")]
    return sha256_json({file.name: memo.sha256(file) for file in files if file.is_file()})


def open_counter(model: str) -> TokenCounter:
    """The counter of a base model by name.

    Raises:
        UserError: no such model, or it has no tokenizer that can be opened safely.
    """
    return TokenCounter(resolve_base(model))
