"""Words that a network knows, learned from the training rows, and texts as the numbers of their words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.language.scripts import composed, words_of

VOCABULARY = "vocabulary.json"
PADDING, UNKNOWN = 0, 1
_FIRST = 2


class WordReader:
    """Texts as numbers: 0 fills up, 1 is any unknown word, 2 and on are the known words, the most frequent first."""

    def __init__(self, words: Sequence[str], max_length: int) -> None:
        """``max_length``: words of a text that are read."""
        self.words, self.max_length = list(words), max_length
        self._numbers = {word: number for number, word in enumerate(words, start=_FIRST)}

    @classmethod
    def learn(cls, texts: Sequence[str], *, most: int, min_rows: int, max_length: int) -> WordReader:
        """The words that occur in at least ``min_rows`` texts, at most ``most``; of equally frequent ones the first in order."""
        rows: Counter[str] = Counter()
        for text in texts:
            rows.update(set(pieces(text)))
        ranked = sorted((word for word, count in rows.items() if count >= min_rows), key=lambda word: (-rows[word], word))
        return cls(ranked[:most], max_length)

    def __len__(self) -> int:
        """Numbers that there are, those of padding and unknown words included."""
        return len(self.words) + _FIRST

    def pieces(self, text: str) -> list[str]:
        """The words of a text that are read, as :meth:`numbers` numbers them."""
        return pieces(text)[: self.max_length]

    def numbers(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Numbers of each text's words, and how many texts were longer than is read; a text without words is one unknown one."""
        cut = 0
        found = []
        for text in texts:
            words = pieces(text)
            cut += len(words) > self.max_length
            found.append([self._numbers.get(word, UNKNOWN) for word in words[: self.max_length]] or [UNKNOWN])
        return found, cut

    @property
    def padding(self) -> int:
        """The number that fills up."""
        return PADDING

    def write(self, folder: Path) -> None:
        """One JSON file."""
        write_json(folder / VOCABULARY, {"max_length": self.max_length, "words": self.words})

    @classmethod
    def load(cls, folder: Path) -> WordReader:
        """What :meth:`write` wrote.

        Raises:
            StudioError: it is missing or damaged.
        """
        path = folder / VOCABULARY
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls([str(word) for word in found["words"]], int(found["max_length"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StudioError(f"{path} cannot be read ({error}). Train the run again.") from error


def pieces(text: str) -> list[str]:
    """Words in lower case; letters one by one in scripts without blanks between words."""
    return words_of(composed(text))
