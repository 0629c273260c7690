"""How alike two texts are. MinHash proposes pairs (gaoya, in Rust); the exact Jaccard similarity of their shingles decides.

Unverified hash matches closed transitively once deleted 859,090 of 859,092 rows of a corpus; here no pair counts before its
shingles were compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.language.scripts import MARKS, UNSPACED_SIGN, words_of

Shingles = NDArray[np.uint64]

_FOREIGN = re.compile("[^\\x00-\\x7f]+")
# An odd constant with no structure; shingles are polynomials in it, modulo 2^64 (Karp and Rabin, 1987).
_BASE = 0x9E3779B97F4A7C15
# Documents asked for at once: bounds the memory of the answers when very many rows resemble each other.
_BLOCK = 2048


def plain_key(text: str) -> str:
    """Text with case and blanks set aside; punctuation stays, for ``3+4`` is not ``3-4``."""
    return " ".join(text.split()).casefold()


@dataclass(frozen=True)
class Shingling:
    """Shingles of ``size`` words or characters."""

    unit: str = "word"
    size: int = 5


class Shingler:
    """Exact shingle sets of texts, as sorted 64-bit numbers. Two words never share a number within one shingler."""

    def __init__(self, shingling: Shingling) -> None:
        self._unit, self._size = shingling.unit, shingling.size
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> Shingles:
        """Sorted, unique shingles [n]; a text shorter than one shingle gives a single one."""
        if self._unit == "character":
            folded = plain_key(text)
            units = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
            return self._cut(units)
        return self.of_words(words_of(text))

    def of_words(self, words: Sequence[str]) -> Shingles:
        """As a call, of a text that is cut into words already."""
        numbers = self._numbers
        return self._cut(np.array([numbers.setdefault(word, len(numbers) + 1) for word in words], dtype=np.uint64))

    def _cut(self, units: Shingles) -> Shingles:
        """Shingles of numbered words or characters."""
        width = max(1, min(self._size, len(units)))
        count = max(0, len(units) - width + 1)
        total = np.zeros(count, dtype=np.uint64)
        with np.errstate(over="ignore"):
            for offset in range(width):
                total = total * np.uint64(_BASE) + units[offset : offset + count]
        return np.unique(total)


def jaccard(first: Shingles, second: Shingles) -> float:
    """Size of the intersection over size of the union; two empty sets are not alike."""
    if not len(first) or not len(second):
        return 0.0
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


class NearPairs:
    """Verified similar pairs among texts.

    Texts equal but for case and blanks are found by hash (`same`), so that a row repeated a thousand times costs one comparison.
    Texts shorter than one shingle are similar only to equal ones: MinHash would call them all alike.
    """

    def __init__(self, texts: Sequence[str], threshold: float, shingling: Shingling) -> None:
        """``threshold``: least Jaccard similarity of a pair."""
        self._texts, self._threshold, self._shingling = texts, threshold, shingling
        self._shingler = Shingler(shingling)
        self._cache: dict[int, Shingles] = {}
        self.same: list[int] = []
        """For each text, the index of the first one equal to it but for case and blanks (its own index for the first)."""
        self._indexed: list[int] = []
        first_of: dict[Any, int] = {}
        for index, text in enumerate(texts):
            key = self._key(text)
            first = first_of.setdefault(key, index)
            self.same.append(first)
            if first == index and not isinstance(key, str):
                self._indexed.append(index)

    def _key(self, text: str) -> object:
        """Identity of a text: a number, or the text itself where it is shorter than a shingle."""
        if self._shingling.unit == "character":
            folded = plain_key(text)
            return hash(folded) if len(folded) >= self._shingling.size else folded
        if len(text) < 40 * self._shingling.size and len(words_of(text)) < self._shingling.size:
            return plain_key(text)
        return hash(plain_key(text))

    def earlier(self) -> Iterator[tuple[int, list[int]]]:
        """For each first-of-its-kind text in order, the earlier ones that MinHash proposes, in order; not yet verified."""
        proposed = self._propose()
        for index in self._indexed:
            yield index, next(proposed)

    def _propose(self) -> Iterator[list[int]]:
        """Earlier candidates of each indexed text, block by block."""
        import gaoya

        bands, width = bands_for(self._threshold)
        # The estimate of 125 hashes has a standard deviation of at most 0.045; three of them below the threshold lose nothing.
        floor = max(0.05, self._threshold - 0.135)
        analyzer = "char" if self._shingling.unit == "character" else "word"
        index = gaoya.minhash.MinHashStringIndex(
            32, floor, bands, width, None, analyzer, True, (self._shingling.size, self._shingling.size), "smallvec"
        )
        for start in range(0, len(self._indexed), _BLOCK):
            numbers = self._indexed[start : start + _BLOCK]
            texts = [self._spaced(self._texts[number]) for number in numbers]
            # Only earlier texts are asked for, so that those of later blocks need not be there yet.
            index.par_bulk_insert_docs(numbers, texts)
            answers = index.par_bulk_query(texts)
            for number, found in zip(numbers, answers, strict=True):
                yield sorted({other for other in found if other < number})

    def _spaced(self, text: str) -> str:
        """Text as gaoya is to cut it, into the words of :func:`words_of`: what is proposed and what decides are cut alike.

        Gaoya takes signs outside ASCII for letters where they are no part of a word.
        """
        if self._shingling.unit == "character":
            return plain_key(text)
        if text.isascii():
            return text
        foreign = "".join(_FOREIGN.findall(text))
        if MARKS.search(foreign):
            return " ".join(words_of(text))
        # A few signs (curly quotes, dashes) are replaced one by one: a search for all of them takes three times as long.
        for sign in {sign for sign in foreign if not (sign.isalnum() or sign == "_")}:
            text = text.replace(sign, " ")
        return UNSPACED_SIGN.sub(r" \g<0> ", text) if UNSPACED_SIGN.search(foreign) else text

    def similarity(self, first: int, second: int) -> float:
        """Exact Jaccard similarity of two texts by index."""
        return jaccard(self._shingles(first), self._shingles(second))

    def shingles_of(self, text: str) -> Shingles:
        """Shingles of any text, cut as those that are compared."""
        return self._shingler(text)

    def _shingles(self, index: int) -> Shingles:
        """Shingles of one text, kept for the next comparison."""
        found = self._cache.get(index)
        if found is None:
            if len(self._cache) > 20_000:
                self._cache.clear()
            found = self._cache[index] = self._shingler(self._texts[index])
        return found


def bands_for(threshold: float) -> tuple[int, int]:
    """Bands and hashes per band (about 128 in all) that miss a pair at the threshold less than once in 500.

    A pair of similarity t shares a band with probability 1 - (1 - t^r)^b (Leskovec et al., Mining of Massive Datasets, 3.4.2).
    """
    for width in (8, 6, 5, 4, 3, 2):
        bands = 128 // width
        if (1 - threshold**width) ** bands < 0.002:
            return bands, width
    return 128, 1


class Clusters:
    """Union-find over row numbers."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, number: int) -> int:
        """Smallest number of the cluster that holds ``number``."""
        root = number
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[number] != root:
            self._parent[number], number = root, self._parent[number]
        return root

    def join(self, first: int, second: int) -> None:
        """Make one cluster of two."""
        one, other = sorted((self.find(first), self.find(second)))
        self._parent[other] = one

    def groups(self) -> list[list[int]]:
        """Clusters with their members in order, by first member."""
        members: dict[int, list[int]] = {}
        for number in range(len(self._parent)):
            members.setdefault(self.find(number), []).append(number)
        return list(members.values())
