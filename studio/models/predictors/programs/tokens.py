"""Texts as the numbers of an encoder's tokens. Needs: pip install tokenizers numpy."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer


def items_of(arguments):
    """Each argument is a text."""
    return list(arguments)


class Reader:
    """Texts to ``input_ids`` and ``attention_mask``, int64 [texts, tokens]."""

    def __init__(self, folder: Path, reading: dict):
        """``reading``: ``max_length`` in tokens, ``padding``, and ``length`` where it is fixed."""
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(reading["max_length"])
        self.padding, self.length = reading["padding"], reading.get("length")

    def __call__(self, texts):
        """Texts, filled up on the right to the longest, or to the fixed length."""
        rows = [found.ids for found in self.tokenizer.encode_batch(list(texts))]
        length = self.length or max(map(len, rows))
        numbers = np.full((len(rows), length), self.padding, dtype=np.int64)
        mask = np.zeros((len(rows), length), dtype=np.int64)
        for place, row in enumerate(rows):
            numbers[place, : len(row)], mask[place, : len(row)] = row, 1
        return {"input_ids": numbers, "attention_mask": mask}
