"""Runs of words that texts share with a reference: found by hash, decided by comparing the words.

Legend: g runs of all references, w words of a text.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from studio.data.sketch import Numbers, Places, numbers_of_words, shingles_of, text_blocks
from studio.data.workers import Workers
from studio.language.scripts import LETTERS_PER_WORD, script_of, word_places, words_of

# A run that stands in so many references, and in more than a tenth of them, is an instruction and tells none from another.
_COMMON, _COMMON_SHARE = 10, 0.1
# Characters of the parts that processes work on; starting some is worth it from so many parts on, and sending them up to so many
# hashes with each.
_PART, _WORTH_PARTS, _MOST_SENT = 1_000_000, 8, 500_000
# Longest passage that is shown, in characters.
_SHOWN = 400


@dataclass(frozen=True)
class Overlap:
    """What a text shares with a reference. passage: as it stands in the text; words: of the longest shared run."""

    reference: int
    passage: str
    words: int
    share: float


@dataclass(frozen=True)
class _Runs:
    """Runs of one length. hashes: ascending [g]; references: which each is of [g]; places: its first word there [g]."""

    hashes: Numbers
    references: Places
    places: Places


class References:
    """Texts that others may not share runs of words with.

    common: runs left out because a tenth of the references hold them; short: references with too few words to be looked for.
    """

    def __init__(self, texts: Sequence[str], size: int, shortest: int) -> None:
        """``size``: words in a row, of letters of scripts without blanks more; ``shortest``: words of a reference at least."""
        self.common = self.short = 0
        self._words = [words_of(text) for text in texts]
        self._whole: dict[tuple[str, ...], int] = {}
        self._counts: dict[int, int] = {}
        by_length: dict[int, list[int]] = {}
        for number, (text, words) in enumerate(zip(texts, self._words, strict=True)):
            letters = LETTERS_PER_WORD.get(script_of(text) or "", 1)
            if len(words) >= size * letters:
                by_length.setdefault(size * letters, []).append(number)
            elif len(words) >= shortest * letters:
                self._whole.setdefault(tuple(words), number)
            else:
                self.short += 1
        self._runs = {length: self._index(texts, numbers, length) for length, numbers in by_length.items()}

    def _index(self, texts: Sequence[str], numbers: Sequence[int], length: int) -> _Runs:
        """Runs of references, without those that many of them hold."""
        units, counts = numbers_of_words([texts[number] for number in numbers])
        hashes, owners = shingles_of(units, counts, length)
        places = np.concatenate([np.arange(count - length + 1) for count in counts])
        references = np.array(numbers, dtype=np.intp)[owners]
        _, first, kind = np.unique(hashes, return_index=True, return_inverse=True)
        pairs = np.unique(kind * len(texts) + references)
        spread = np.bincount(pairs // len(texts), minlength=len(first))
        most = max(_COMMON, _COMMON_SHARE * len(texts))
        self.common += int((spread > most).sum())
        kept = np.flatnonzero(spread[kind] <= most)
        for reference, count in Counter(references[kept].tolist()).items():
            self._counts[reference] = count
        order = kept[np.argsort(hashes[kept], kind="stable")]
        return _Runs(hashes[order], references[order], places[order])

    def suspects(self, texts: Iterable[str], crew: Workers | None = None) -> list[int]:
        """Texts that share the hash of a run, in order; in several processes where that is worth it."""
        known = {length: np.unique(runs.hashes) for length, runs in self._runs.items()}
        parts = text_blocks(texts, _PART)
        begin = list(itertools.islice(parts, _WORTH_PARTS))
        if crew is None or crew.alone or len(begin) < _WORTH_PARTS or sum(map(len, known.values())) > _MOST_SENT:
            found = [_suspects(part, known) for part in itertools.chain(begin, parts)]
        else:
            found = list(crew.in_order(_suspects, itertools.chain(begin, parts), known))
        starts = np.cumsum([0, *(count for count, _ in found)])
        return [int(start) + place for start, (_, places) in zip(starts, found, strict=False) for place in places]

    def same(self, text: str) -> int | None:
        """The reference below the length of a run whose words are all those of a text, if there is one."""
        words = tuple(words_of(text))
        return self._whole.get(words) if words else None

    def overlap(self, text: str) -> Overlap | None:
        """The reference of which a text holds the largest share, None where it shares no run with any."""
        words = words_of(text)
        held: dict[int, set[int]] = {}
        where: dict[int, set[tuple[int, int]]] = {}
        for length, runs in self._runs.items():
            hashes, _ = shingles_of(*numbers_of_words([text]), length)
            lows, highs = np.searchsorted(runs.hashes, hashes), np.searchsorted(runs.hashes, hashes, side="right")
            for start in np.flatnonzero(lows < highs).tolist():
                for place in range(lows[start], highs[start]):
                    reference, begin = int(runs.references[place]), int(runs.places[place])
                    if self._words[reference][begin : begin + length] == words[start : start + length]:
                        held.setdefault(reference, set()).add(begin)
                        where.setdefault(reference, set()).add((start, length))
        if not held:
            return None
        shares = {reference: len(places) / self._counts[reference] for reference, places in held.items()}
        best = max(shares, key=lambda reference: (shares[reference], len(held[reference]), -reference))
        first, last = _longest(where[best])
        return Overlap(best, _passage(text, first, last), last - first, min(1.0, shares[best]))


def _suspects(texts: Sequence[str], known: dict[int, Numbers]) -> tuple[int, list[int]]:
    """How many texts a part has, and the places of those that hold one of some hashes."""
    units, counts = numbers_of_words(texts)
    found: set[int] = set()
    for length, hashes in known.items():
        shingles, owners = shingles_of(units, counts, length)
        if len(hashes):
            near = np.minimum(np.searchsorted(hashes, shingles), len(hashes) - 1)
            found.update(owners[hashes[near] == shingles].tolist())
    return len(texts), sorted(found)


def _longest(runs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """First word of the longest stretch that runs (start, length) cover without a gap, and the one after its last."""
    best = (0, 0)
    begin = end = -1
    for start, length in sorted(runs):
        if start > end:
            begin = start
        end = max(end, start + length)
        best = max(best, (begin, end), key=lambda stretch: stretch[1] - stretch[0])
    return best


def _passage(text: str, first: int, last: int) -> str:
    """Some words of a text as they stand there, on one line."""
    places = word_places(text)
    lowered = text.lower()
    # A few letters are longer in lower case; what is shown is then in lower case.
    shown = text if len(lowered) == len(text) else lowered
    passage = " ".join(shown[places[first][0] : places[last - 1][1]].split())
    return passage if len(passage) <= _SHOWN else f"{passage[:_SHOWN].rstrip()} …"
