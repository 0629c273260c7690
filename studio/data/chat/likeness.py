"""What of conversations is compared, so that rows are alike in what they say and not in what they are all asked.

A fixed instruction before every input (classification, translation, extraction, questions to one schema) makes all rows alike
though it tells none from another. Runs of words that stand in the questions of more than a tenth of the rows do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.data.chat.rows import ChatRow, comparable_text
from studio.data.chat.turns import TEXT_ROLE, Message, turn_text
from studio.data.shelf import Ahead, Derived
from studio.data.similarity import NearPairs, Shingler, Shingling, jaccard, plain_key
from studio.data.sketch import firsts_of, key_of, keys_of
from studio.data.workers import Workers
from studio.language.scripts import words_of

# Words in a run: fewer ("what is the height of the") are shared by questions that have nothing to do with each other.
_RUN = 8
# Rows that are looked at for shared runs, and words of each.
_SAMPLE = 1000
_WORDS = 4000
# A real near-duplicate is nearly as alike in the lines it does not repeat; rows with one passage and two questions are not.
_LEAST_REST = 0.5

Runs = frozenset[tuple[str, ...]]


class Comparison:
    """The texts of rows as they are compared. notes: what a person should know about that."""

    def __init__(self, rows: Sequence[ChatRow], on: str = "rows") -> None:
        """``on``: what is compared: questions and answers (``rows``), or only ``prompts`` or ``answers``."""
        self._ahead = None if isinstance(rows, list) else Ahead(rows)
        self._rows, self._on = rows if self._ahead is None else self._ahead, on
        self._runs, share = shared_runs(rows)
        self.questions = keys_of(key_of(_first_question(row)) for row in rows)
        """Keys of what is asked first, uint64 [n, 2]; that of an empty text where nothing is."""
        self.common = self._common()
        """Questions that so many rows ask that they tell none from another: bool [n]."""
        self.texts: Sequence[str] = Derived(self._rows, self._text)
        """What of each row is compared; held where the rows are."""
        if self._ahead is None:
            self.texts = list(self.texts)
        self.notes: tuple[str, ...] = ()
        if self._runs:
            self.notes = (
                f"about {100 * share:.0f}% of the questions share runs of {_RUN} words or more (a fixed instruction); "
                "these do not count when rows are compared",
            )

    def _common(self) -> NDArray[np.bool_]:
        """Which rows ask what very many ask."""
        kinds = firsts_of(self.questions)
        counts = np.bincount(kinds, minlength=len(kinds))
        empty = (self.questions == keys_of([key_of("")])).all(axis=1)
        common: NDArray[np.bool_] = (counts[kinds] > _limit(len(kinds))) & ~empty
        return common

    def _text(self, index: int, row: ChatRow) -> str:
        """What of one row is compared; a system turn only where the question says nothing, for it then holds what it is about."""
        if self._on == "answers":
            return "\n".join(map(turn_text, turns_of(row, self._on)))
        text = comparable_text(row)
        if self._runs or self._on == "prompts":
            text = "\n".join(self._own(turn) for turn in turns_of(row, self._on) if turn["role"] != "system")
        if self.common[index] and row.messages[0]["role"] == "system":
            text = f"{self._own(row.messages[0])}\n{text}"
        return text

    def _own(self, turn: Message) -> str:
        """A turn without the runs that many rows share; answers are compared as they are."""
        text = turn_text(turn)
        return without_runs(text, self._runs) if self._runs and turn["role"] in {"system", "user"} else text

    def really_alike(self, pairs: NearPairs, first: int, second: int) -> bool:
        """True for two rows that are alike in more than the lines that both are given (one passage, other questions)."""
        if self._on == "answers":
            return True
        one, other = (_lines(self._rows[index]) for index in (first, second))
        shared = set(one) & set(other)
        if not shared:
            return True
        own = ["\n".join(line for line in lines if line not in shared) for lines in (one, other)]
        rest = own
        if self._on == "rows":
            rest = [f"{lines}\n{_answers(self._rows[index], shared)}" for lines, index in zip(own, (first, second), strict=True)]
        if plain_key(rest[0]) == plain_key(rest[1]):
            return True
        return jaccard(pairs.shingles_of(rest[0]), pairs.shingles_of(rest[1])) >= _LEAST_REST

    def pairs(self, threshold: float, shingling: Shingling, crew: Workers | None = None) -> NearPairs:
        """Similar pairs among the texts; ``crew``: processes that may help."""
        return NearPairs(self.texts, threshold, shingling, crew, None if self._ahead is None else self._ahead.fetch)


def turns_of(row: ChatRow, on: str) -> list[Message]:
    """The turns of a row that are compared: all, those the assistant is given (``prompts``), or those it says (``answers``, raw
    text too).
    """
    said = {"assistant", "chosen", "rejected", TEXT_ROLE}
    return [turn for turn in row.turns if on == "rows" or (turn["role"] in said) == (on == "answers")]


def _limit(rows: int) -> float:
    """So many rows may share something that still tells them from others; in few rows, half of them."""
    return max(0.1 * rows, min(0.5 * rows, 10), 1)


def _first_question(row: ChatRow) -> str:
    """What is asked first, as it is compared."""
    return plain_key(next((message["content"] for message in row.messages if message["role"] == "user"), ""))


def _lines(row: ChatRow) -> list[str]:
    """The lines that the assistant is given; of a preference also each answer, which may be the same in two rows."""
    asked = [line.strip() for turn in row.messages if turn["role"] in {"system", "user"} for line in turn["content"].split("\n")]
    return [line for line in asked if line] + [answer for answer in (row.chosen, row.rejected) if answer]


def _answers(row: ChatRow, shared: set[str]) -> str:
    """What a row answers, without the answer of a preference that two rows share."""
    spoken = [turn_text(turn) for turn in row.messages if turn["role"] not in {"system", "user"}]
    return "\n".join(spoken + [answer for answer in (row.chosen, row.rejected) if answer and answer not in shared])


def shared_runs(rows: Sequence[ChatRow]) -> tuple[Runs, float]:
    """Runs of words in the questions of more than a tenth of the rows, and the share of rows that hold one of them."""
    step = max(1, len(rows) // _SAMPLE)
    sample = [_asked_words(row) for row in rows[::step]]
    most = _limit(len(sample))
    if not _any_shared(sample, most):
        return frozenset(), 0.0
    counts: Counter[tuple[str, ...]] = Counter()
    for words in sample:
        counts.update(set(_runs_of(words)))
    shared = frozenset(run for run, count in counts.items() if count > most)
    holding = sum(any(run in shared for run in _runs_of(words)) for words in sample) if shared else 0
    return shared, holding / max(1, len(sample))


def _any_shared(sample: Sequence[list[str]], most: float) -> bool:
    """True when a run stands in more than so many texts, found by numbers; most corpora have none, and end here."""
    shingler = Shingler(Shingling("word", _RUN))
    runs = [shingler.of_words(words) for words in sample if len(words) >= _RUN]
    return bool(runs) and int(np.unique(np.concatenate(runs), return_counts=True)[1].max()) > most


def _asked_words(row: ChatRow) -> list[str]:
    """The words of a row's questions, as far as they are looked at."""
    words: list[str] = []
    for turn in row.messages:
        if turn["role"] == "user" and len(words) < _WORDS:
            words += words_of(turn["content"][: 8 * _WORDS])
    return words[:_WORDS]


def _runs_of(words: Sequence[str]) -> list[tuple[str, ...]]:
    """Every run of words."""
    return [tuple(words[start : start + _RUN]) for start in range(len(words) - _RUN + 1)]


def without_runs(text: str, runs: Runs) -> str:
    """Text without the words that lie in one of the runs."""
    words = words_of(text)
    covered = bytearray(len(words))
    for start, run in enumerate(_runs_of(words)):
        if run in runs:
            covered[start : start + _RUN] = b"\x01" * _RUN
    return " ".join(word for word, gone in zip(words, covered, strict=True) if not gone) if any(covered) else text
