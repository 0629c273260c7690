"""Texts as the numbers of their words. Needs: numpy."""

import json
import re
import unicodedata
from pathlib import Path

import numpy as np

PADDING, UNKNOWN, FIRST = 0, 1, 2


def items_of(arguments):
    """Each argument is a text."""
    return list(arguments)


class Reader:
    """Texts to ``input_ids`` and ``attention_mask``, int64 [texts, words]."""

    def __init__(self, folder: Path, reading: dict):
        """``reading``: the patterns of words, and ``length`` where it is fixed."""
        known = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        self.numbers = {word: number for number, word in enumerate(known["words"], start=FIRST)}
        self.most, self.length = known["max_length"], reading.get("length")
        self.patterns = {name: re.compile(pattern) for name, pattern in reading["patterns"].items()}

    def words(self, text):
        """Words in lower case; letters one by one in scripts without blanks between words."""
        lowered = unicodedata.normalize("NFC", text).lower()
        name = "ascii" if lowered.isascii() else "marked" if self.patterns["marks"].search(lowered) else "plain"
        return self.patterns[name].findall(lowered)

    def __call__(self, texts):
        """Texts, filled up on the right to the longest, or to the fixed length."""
        rows = [[self.numbers.get(word, UNKNOWN) for word in self.words(text)[: self.most]] or [UNKNOWN] for text in texts]
        length = self.length or max(map(len, rows))
        numbers = np.full((len(rows), length), PADDING, dtype=np.int64)
        mask = np.zeros((len(rows), length), dtype=np.int64)
        for place, row in enumerate(rows):
            numbers[place, : len(row)], mask[place, : len(row)] = row, 1
        return {"input_ids": numbers, "attention_mask": mask}
