"""Texts, or pairs of a question and a passage, as the numbers of an encoder's tokens. Needs: pip install tokenizers numpy."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer


class Reader:
    """Texts or pairs to ``input_ids``, ``attention_mask`` and, where they are taken, ``token_type_ids``: int64 [n, tokens]."""

    def __init__(self, folder: Path, reading: dict):
        """``reading``: ``max_length`` in tokens, ``padding``, and whether ``types`` are taken."""
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(reading["max_length"])
        self.padding, self.types = reading["padding"], reading["types"]

    def __call__(self, items):
        """A text each, or a list of two; filled up on the right to the longest."""
        rows = self.tokenizer.encode_batch([item if isinstance(item, str) else tuple(item) for item in items])
        length = max(len(row.ids) for row in rows)
        arrays = {"input_ids": np.full((len(rows), length), self.padding, dtype=np.int64)}
        arrays["attention_mask"] = np.zeros((len(rows), length), dtype=np.int64)
        if self.types:
            arrays["token_type_ids"] = np.zeros((len(rows), length), dtype=np.int64)
        for place, row in enumerate(rows):
            count = len(row.ids)
            arrays["input_ids"][place, :count], arrays["attention_mask"][place, :count] = row.ids, 1
            if self.types:
                arrays["token_type_ids"][place, :count] = row.type_ids
        return arrays
