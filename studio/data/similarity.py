"""How alike two texts are. MinHash proposes pairs (:mod:`studio.data.sketch`); the exact Jaccard similarity of shingles decides.

Unverified hash matches closed transitively once deleted 859,090 of 859,092 rows of a corpus; here no pair counts before its
shingles were compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from studio.data.bands import alike_in_other_clusters, earlier_alike
from studio.data.sketch import BASE, Places, Shingling, firsts_of, key_of, keys_of, plain_key, sketch_texts
from studio.data.workers import Workers
from studio.language.scripts import words_of

__all__ = ["Clusters", "NearPairs", "Shingler", "Shingles", "Shingling", "jaccard", "plain_key"]

Shingles = NDArray[np.uint64]
# Proposals whose texts are fetched at a time; each fetch walks over the corpus once.
_FETCHED = 4000
_MOVED = 50_000


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
                total = total * np.uint64(BASE) + units[offset : offset + count]
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

    def __init__(
        self,
        texts: Sequence[str],
        threshold: float,
        shingling: Shingling,
        crew: Workers | None = None,
        fetch: Callable[[Sequence[int]], None] | None = None,
    ) -> None:
        """``threshold``: least Jaccard similarity of a pair; ``crew``: processes that help where there is much text; ``fetch``:
        is told which texts will be asked for next, where they are not in memory.
        """
        self._texts, self._threshold, self._fetch = texts, threshold, fetch
        self._shingler = Shingler(shingling)
        self._cache: dict[int, Shingles] = {}
        sketches = sketch_texts(texts, shingling, crew)
        first_of = firsts_of(sketches.keys)
        self.same: list[int] = first_of.tolist()
        """For each text, the index of the first one equal to it but for case and blanks (its own index for the first)."""
        self.empty: list[bool] = (sketches.keys == keys_of([key_of("")])).all(axis=1).tolist()
        """Texts of blanks alone."""
        firsts = first_of == np.arange(len(texts))
        self._indexed = np.flatnonzero(firsts & sketches.long)
        self._marks = _kept(sketches.marks, self._indexed)
        self.gone = np.zeros(len(texts), dtype=bool)
        """Texts that need not be proposed any more; may be set while `earlier` is read, and saves work where many are alike."""

    def earlier(self) -> Iterator[tuple[int, list[int]]]:
        """For each text that has any, in order, the earlier ones that MinHash proposes, in order; not yet verified."""
        for place, found in self._fetched(earlier_alike(self._marks, self._threshold, lambda: self.gone[self._indexed])):
            yield int(self._indexed[place]), self._indexed[found].tolist()

    def tie(self, clusters: Clusters) -> None:
        """Make one cluster of texts that are alike, directly or through others; texts that are the same are the caller's."""

        def labels() -> Places:
            return np.array([clusters.find(int(index)) for index in self._indexed], dtype=np.intp)

        for place, found in self._fetched(alike_in_other_clusters(self._marks, self._threshold, labels)):
            index = int(self._indexed[place])
            for other in self._indexed[found].tolist():
                if clusters.find(other) != clusters.find(index) and self.similarity(index, other) >= self._threshold:
                    clusters.join(other, index)

    def _fetched(self, proposed: Iterator[tuple[int, list[int]]]) -> Iterator[tuple[int, list[int]]]:
        """Proposals, of which the texts were fetched where they are not in memory: each on its own would be read from disk."""
        if self._fetch is None:
            yield from proposed
            return
        while batch := list(itertools.islice(proposed, _FETCHED)):
            places = {int(self._indexed[place]) for one, found in batch for place in (one, *found)}
            self._fetch(sorted(places))
            yield from batch

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


def _kept(marks: NDArray[np.uint16], places: Places) -> NDArray[np.uint16]:
    """The sketches at some places, which rise, moved to the beginning; a copy would take as much memory again."""
    for start in range(0, len(places), _MOVED):
        some = places[start : start + _MOVED]
        marks[start : start + len(some)] = marks[some]
    return marks[: len(places)]


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
