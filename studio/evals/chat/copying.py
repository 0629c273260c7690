"""How much of an answer stands in training answers: the longest run of words in common, and the share of short runs.

A run is as long as it takes to be no chance, and letters carry less than words: in scripts without blanks, where letters stand
for words, two letters of Han or kana count as one word and four of Thai, Lao, Khmer or Burmese.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from studio.evals.metrics.rouge import UnicodeWords
from studio.language.scripts import LETTERS_PER_WORD, composed, script_of, spaced

# Words in a row that make up the fingerprints of near-verbatim copies.
RUN = 5
LETTERS_TOLD = ("two letters of Han or kana", "four of Thai, Lao, Khmer or Burmese")
# Below this share of its words a script is a quotation in a text, and makes no fingerprints of its own.
_SOME = 0.05


def words_of(text: str) -> list[str]:
    """Words in lower case, of any script, without punctuation; single letters where a script has no blanks."""
    return UnicodeWords().tokenize(text)


def size_of(words: Sequence[str]) -> float:
    """How many words a text is worth, letters of scripts without blanks at their part of a word."""
    return sum(map(_weight, words))


def holds(text: str, secret: str) -> bool:
    """True when a secret stands in a text, whatever form its accents have and whatever blanks stand between Chinese letters."""
    if composed(secret) in composed(text):
        return True
    squeezed = spaced(composed(secret))
    return squeezed != composed(secret) and "".join(squeezed.split()) in "".join(composed(text).split())


def _weight(word: str) -> float:
    """The part of a word that a word, or a letter, is."""
    return 1.0 if word.isascii() else 1.0 / LETTERS_PER_WORD.get(script_of(word) or "", 1)


def _runs(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """All runs of so many words."""
    return list(zip(*(words[start:] for start in range(size)), strict=False))


def _sizes(words: Sequence[str]) -> dict[int, int]:
    """Lengths of fingerprints that suit a text, each with how many of its words ask for it."""
    counts: dict[int, int] = {}
    for word in words:
        size = RUN if word.isascii() else RUN * LETTERS_PER_WORD.get(script_of(word) or "", 1)
        counts[size] = counts.get(size, 0) + 1
    return counts


@dataclass(frozen=True)
class TrainingText:
    """The training answers as word runs, to be searched quickly.

    runs: fingerprint to the answers that hold it. words: the words of each answer.
    """

    words: list[list[str]]
    runs: dict[tuple[str, ...], list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, answers: Sequence[str]) -> TrainingText:
        """Index answers, those in several scripts with fingerprints of every length that suits them."""
        text = cls([words_of(answer) for answer in answers])
        for number, words in enumerate(text.words):
            for size, count in _sizes(words).items():
                if count >= max(size, _SOME * len(words)) or count == len(words):
                    for run in dict.fromkeys(_runs(words, size)):
                        text.runs.setdefault(run, []).append(number)
        return text

    def copied(self, answer: str) -> tuple[float, float, int | None]:
        """Longest run of words shared with one training answer, largest share of the answer's fingerprints found in one training
        answer, and which answer the longest run is from.
        """
        words = words_of(answer)
        counts = _sizes(words)
        size = max(counts, key=lambda key: counts[key], default=RUN)
        runs = _runs(words, size)
        hits: dict[int, list[int]] = {}
        for place, run in enumerate(runs):
            for number in self.runs.get(run, ()):
                hits.setdefault(number, []).append(place)
        longest, source = 0.0, None
        for number in sorted(hits, key=lambda key: -len(hits[key])):
            if len(hits[number]) + size - 1 <= longest:
                break
            length = _longest_run(words, self.words[number])
            if length > longest:
                longest, source = length, number
        share = max(map(len, hits.values()), default=0) / len(runs) if runs else 0.0
        return longest, share, source


def _longest_run(first: Sequence[str], second: Sequence[str]) -> float:
    """Length of the longest run of words that both have, letters at their part of a word."""
    best = 0.0
    before = [0.0] * (len(second) + 1)
    for word in first:
        weight = _weight(word)
        now = [0.0] * (len(second) + 1)
        for place, other in enumerate(second, 1):
            if word == other:
                now[place] = before[place - 1] + weight
                best = max(best, now[place])
        before = now
    return best
