"""Captions as words, for networks that learn language from a few hundred captions and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from studio.core.errors import UserError
from studio.core.files import write_json

FILE = "words.json"
_WORD = re.compile(r"\w+")
# Two rows of 2,048 stand for a word: two words share both once in four million pairs.
TABLE_ROWS = 2048
HASHES = 2


class Words:
    """The words a model was trained on, and how any word becomes rows of its embedding table.

    A word's rows come from a hash, so that a word first met in a later tuning has a place (and random values) already, and
    nothing grows. Which words were really seen is kept apart, so that the others can be told to the person.
    """

    def __init__(self, seen: Iterable[str] = (), *, max_words: int = 12) -> None:
        """``max_words``: how many words of a caption are read."""
        self.seen = dict.fromkeys(seen)
        self.max_words = max_words

    def learn(self, captions: Iterable[str]) -> list[str]:
        """Note the words of captions; returns the new ones."""
        new = self.unknown(captions)
        self.seen |= dict.fromkeys(new)
        return new

    def unknown(self, prompts: Iterable[str]) -> list[str]:
        """Words that were never seen, each once, in order."""
        return list(dict.fromkeys(word for prompt in prompts for word in split_words(prompt) if word not in self.seen))

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Rows int64 [b, w, hashes] and mask bool [b, w] of the first w words; the empty prompt has none."""
        rows = torch.zeros((len(prompts), self.max_words, HASHES), dtype=torch.int64)
        mask = torch.zeros((len(prompts), self.max_words), dtype=torch.bool)
        for place, prompt in enumerate(prompts):
            for index, word in enumerate(split_words(prompt)[: self.max_words]):
                rows[place, index] = torch.tensor(word_rows(word))
                mask[place, index] = True
        return rows, mask

    def save(self, folder: Path) -> None:
        """Write ``words.json``."""
        write_json(folder / FILE, {"max_words": self.max_words, "seen": list(self.seen)})

    @classmethod
    def load(cls, folder: Path) -> Words:
        """Read ``words.json``.

        Raises:
            UserError: it is missing or damaged.
        """
        try:
            value = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(value["seen"], max_words=int(value["max_words"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{folder / FILE} is missing or damaged ({error}). Take the whole folder of the model.") from error


def split_words(text: str) -> list[str]:
    """Lower-case words and numbers, in order; accents are part of a letter, punctuation and symbols are dropped."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold().replace("_", " "))


def word_rows(word: str) -> list[int]:
    """The rows of the embedding table that a word is the sum of; the same on every machine."""
    digest = hashlib.sha256(word.encode()).digest()
    return [int.from_bytes(digest[4 * index : 4 * index + 4], "little") % TABLE_ROWS for index in range(HASHES)]
