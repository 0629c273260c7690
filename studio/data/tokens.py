"""Counting tokens with the tokenizer of a base model, without opening the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.core.files import sha256_json
from studio.data.memo import HashMemo
from studio.models.bases import ResolvedBase, resolve_base

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
            from studio.models.loading import load_tokenizer

            self._tokenizer = load_tokenizer(base).backend_tokenizer  # type: ignore[attr-defined]
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def count_up_to(
        self, rows: Sequence[Sequence[str]], low: int | None, high: int | None
    ) -> list[tuple[int, bool]]:
        """Tokens of each row (a list of turns), as far as the limits ask.

        A token covers at least one byte of UTF-8, so a row with no more bytes than ``high`` need not be tokenised when there is
        no ``low``; and a row is left once it has more than ``high``.

        Returns:
            count and whether it is the whole row's. A count that is not whole is above ``high``, or a bound below it.
        """
        results: list[tuple[int, bool]] = [(0, True)] * len(rows)
        waiting: list[tuple[int, int, str]] = []
        for index, turns in enumerate(rows):
            size = sum(map(len, turns))
            if high is not None and low is None and size * 4 <= high:
                results[index] = (size, False)
                continue
            for turn in turns:
                waiting += [(index, part, turn[part : part + _STRETCH]) for part in range(0, max(1, len(turn)), _STRETCH)]
        counts = [0] * len(rows)
        over: set[int] = set()
        for start in range(0, len(waiting), _BATCH):
            batch = [item for item in waiting[start : start + _BATCH] if item[0] not in over]
            for (index, _, _), count in zip(batch, self.count([text for _, _, text in batch]), strict=True):
                counts[index] += count
                results[index] = (counts[index], index not in over)
                if high is not None and counts[index] > high:
                    over.add(index)
                    results[index] = (counts[index], False)
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
