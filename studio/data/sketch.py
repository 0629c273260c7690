"""Sketches of texts: words, their numbers, shingles, one-permutation MinHash. Whole parts of a corpus at once, in numpy.

Legend: n texts of a part, w words (or characters) of all of them, m shingles, k bins of a sketch.

One-permutation MinHash (Li, Owen and Zhang, https://arxiv.org/abs/1208.1259) hashes each shingle once and keeps the smallest
hash of each bin. Bins that no shingle fell into are filled by hashing again with another seed, and those left after some rounds
by a hash of their own: two texts agree in a bin with the probability of their Jaccard similarity, however short they are.
(Shrivastava's densification, https://arxiv.org/abs/1703.04664, copies other bins, which ties those of short texts to each other.)
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.data.workers import Workers
from studio.language.scripts import MARKS, UNSPACED_SIGN, words_of

Numbers = NDArray[np.uint64]
Places = NDArray[np.intp]

BINS = 128
# Rounds of hashing after which a bin that is still empty gets a hash of its own.
_ROUNDS = 6
# Words above so many bytes are hashed one by one: they are rare, and would be read in steps of eight bytes.
_LONG_WORD = 512
# Characters that are worked on at once: arrays of this size stay in the processor's cache.
_AT_ONCE = 400_000
# Characters of the parts that processes work on; starting some is worth it from so many parts on.
_PART = 2_000_000
_WORTH_PARTS = 5

_FOREIGN = re.compile("[^\\x00-\\x7f]+")
# An odd constant with no structure; shingles are polynomials in it, modulo 2^64 (Karp and Rabin, 1987).
BASE = 0x9E3779B97F4A7C15
_EMPTY = np.uint64(2**64 - 1)
_SHIFT = np.uint64(64 - 7)
# Bytes that belong to words once the text is prepared: letters, digits, the underscore, and all beyond ASCII.
_IN_WORD = np.array([chr(code).isalnum() or chr(code) == "_" or code > 127 for code in range(256)])
# The first so many bytes of a number of eight, by how many are wanted.
_FIRST_BYTES = np.array([2 ** (8 * count) - 1 for count in range(9)], dtype=np.uint64)


@dataclass(frozen=True)
class Shingling:
    """Shingles of ``size`` words or characters."""

    unit: str = "word"
    size: int = 5


@dataclass(frozen=True)
class Sketches:
    """What is known of the texts of a part.

    keys: uint64 [n, 2], equal for texts that are equal but for case and blanks. long: bool [n], texts of at least one shingle.
    marks: uint16 [n, k], the end of the smallest hash of each bin.
    """

    keys: Numbers
    long: NDArray[np.bool_]
    marks: NDArray[np.uint16]


def plain_key(text: str) -> str:
    """Text with case and blanks set aside; punctuation stays, for ``3+4`` is not ``3-4``."""
    return " ".join(text.split()).casefold()


def key_of(text: str) -> bytes:
    """16 bytes that are equal for equal texts."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def keys_of(digests: Iterable[bytes]) -> Numbers:
    """Digests of 16 bytes as numbers [n, 2], which take a fifth of their memory."""
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)


def firsts_of(keys: Numbers) -> Places:
    """For each key [n, 2] the place of the first one equal to it [n]."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    firsts = np.empty(len(keys), dtype=np.intp)
    # Equal keys keep their order, so the first of each run is the earliest.
    firsts[order] = order[np.maximum.accumulate(np.where(new, np.arange(len(keys)), 0))]
    return firsts


def sketch_part(texts: Iterable[str], shingling: Shingling) -> Sketches:
    """Sketches of some texts, in order."""
    keys: list[Numbers] = [np.zeros((0, 2), dtype=np.uint64)]
    long: list[NDArray[np.bool_]] = [np.zeros(0, dtype=bool)]
    marks: list[NDArray[np.uint16]] = [np.zeros((0, BINS), dtype=np.uint16)]
    for block in text_blocks(texts):
        folded = [plain_key(text) for text in block]
        keys.append(keys_of(map(key_of, folded)))
        units, counts = numbers_of_characters(folded) if shingling.unit == "character" else numbers_of_words(block)
        shingles, owners = shingles_of(units, counts, shingling.size)
        long.append(counts >= shingling.size)
        marks.append(minhash(shingles, owners, len(block)))
    return Sketches(np.concatenate(keys), np.concatenate(long), np.concatenate(marks))


def sketch_texts(texts: Sequence[str], shingling: Shingling, crew: Workers | None = None) -> Sketches:
    """Sketches of texts, in order; in several processes where there are some and that is worth it."""
    parts = text_blocks(texts, _PART)
    begin = list(itertools.islice(parts, _WORTH_PARTS))
    rest = itertools.chain(begin, parts)
    found: Iterator[Sketches]
    if crew is None or crew.alone or len(begin) < _WORTH_PARTS:
        found = (sketch_part(part, shingling) for part in rest)
    else:
        found = crew.in_order(sketch_part, rest, shingling)
    # One place for all, because the sketches of a large corpus are most of what has to be in memory.
    whole = Sketches(np.empty((len(texts), 2), np.uint64), np.empty(len(texts), bool), np.empty((len(texts), BINS), np.uint16))
    start = 0
    for part in found:
        stop = start + len(part.keys)
        whole.keys[start:stop], whole.long[start:stop], whole.marks[start:stop] = part.keys, part.long, part.marks
        start = stop
    return whole


def text_blocks(texts: Iterable[str], size: int = _AT_ONCE) -> Iterator[list[str]]:
    """Texts in order, as lists of about as many characters."""
    block: list[str] = []
    room = size
    for text in texts:
        block.append(text)
        room -= len(text) + 50
        if room <= 0:
            yield block
            block, room = [], size
    if block:
        yield block


def numbers_of_words(texts: Sequence[str]) -> tuple[Numbers, Places]:
    """The words of :func:`studio.language.scripts.words_of` as 64-bit hashes [w], and how many each text has [n]."""
    encoded = [_prepared(text) for text in texts]
    # A blank before and after each text, and room for the last word to be read in steps of eight bytes.
    data = b"".join([b" ", b" ".join(encoded), b" " * 9])
    inside = _IN_WORD[np.frombuffer(data, dtype=np.uint8)]
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    firsts = np.cumsum([1, *(len(text) + 1 for text in encoded)])
    return _hashed(data, starts, lengths), np.diff(np.searchsorted(starts, firsts))


def _prepared(text: str) -> bytes:
    """Text in lower case whose words lie between bytes that are no part of a word (see ``_IN_WORD``)."""
    lowered = text.lower()
    if lowered.isascii():
        return lowered.encode()
    foreign = "".join(_FOREIGN.findall(lowered))
    if MARKS.search(foreign):
        return " ".join(words_of(lowered)).encode("utf-8", "surrogatepass")
    unspaced = UNSPACED_SIGN.search(foreign) is not None
    # A few signs (curly quotes, dashes) are replaced one by one: a search for all of them takes three times as long.
    for sign in set(foreign):
        if not (sign.isalnum() or (unspaced and UNSPACED_SIGN.match(sign))):
            lowered = lowered.replace(sign, " ")
    return (UNSPACED_SIGN.sub(r" \g<0> ", lowered) if unspaced else lowered).encode("utf-8", "surrogatepass")


def _hashed(data: bytes, starts: Places, lengths: Places) -> Numbers:
    """Hashes of words [w], read in steps of eight bytes from where each begins."""
    eight = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
    numbers = mixed(eight[starts] & _FIRST_BYTES[np.minimum(lengths, 8)])
    rest = np.flatnonzero(lengths > 8)
    for number in rest[lengths[rest] > _LONG_WORD]:
        word = data[starts[number] : starts[number] + lengths[number]]
        numbers[number] = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
    rest, offset = rest[lengths[rest] <= _LONG_WORD], 8
    while len(rest):
        more = eight[starts[rest] + offset] & _FIRST_BYTES[np.minimum(lengths[rest] - offset, 8)]
        numbers[rest] = mixed(numbers[rest] * np.uint64(BASE) + more)
        offset += 8
        rest = rest[lengths[rest] > offset]
    return numbers


def mixed(numbers: Numbers) -> Numbers:
    """Numbers whose bits all depend on all bits of the one given; changes the array (splitmix64, by Sebastiano Vigna)."""
    numbers ^= numbers >> np.uint64(30)
    numbers *= np.uint64(0xBF58476D1CE4E5B9)
    numbers ^= numbers >> np.uint64(27)
    numbers *= np.uint64(0x94D049BB133111EB)
    numbers ^= numbers >> np.uint64(31)
    return numbers


def numbers_of_characters(texts: Sequence[str]) -> tuple[Numbers, Places]:
    """Characters as 64-bit hashes [w], and how many each text has [n]."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return mixed(points.astype(np.uint64)), np.array([len(text) for text in texts], dtype=np.intp)


def shingles_of(units: Numbers, counts: Places, size: int) -> tuple[Numbers, Places]:
    """Shingles [m] in order, repeated ones too, and the text that each is of [m]; shorter texts have none."""
    owners = np.repeat(np.arange(len(counts)), counts)
    count = max(0, len(units) - size + 1)
    total = units[:count].copy()
    for offset in range(1, size):
        total *= np.uint64(BASE)
        total += units[offset : offset + count]
    own = owners[:count] == owners[size - 1 :][:count]
    return total[own], owners[:count][own]


def minhash(shingles: Numbers, owners: Places, count: int) -> NDArray[np.uint16]:
    """The marks of each of ``count`` texts [n, k]; those of texts without shingles mean nothing.

    Args:
        shingles: of all texts [m], in order of the text.
        owners: the text of each [m].
    """
    smallest = np.full((count, BINS), _EMPTY)
    wanted = np.zeros(count, dtype=bool)
    wanted[owners] = True
    for number in range(_ROUNDS):
        hashes = mixed(shingles + np.uint64(number * BASE % 2**64))
        found = smallest if not number else np.full((count, BINS), _EMPTY)
        np.minimum.at(found.reshape(-1), owners * BINS + (hashes >> _SHIFT).astype(np.intp), hashes)
        if number:
            np.copyto(smallest, found, where=smallest == _EMPTY)
        lacking = wanted & (smallest == _EMPTY).any(axis=1)
        if not lacking.any():
            break
        still = lacking[owners]
        shingles, owners = shingles[still], owners[still]
    else:
        _fill(smallest, shingles, owners, lacking)
    return smallest.astype(np.uint16)


def _fill(smallest: NDArray[np.uint64], shingles: Numbers, owners: Places, lacking: NDArray[np.bool_]) -> None:
    """Give each bin that is still empty the smallest of all its text's shingles, by a hash that belongs to the bin."""
    texts, bins = np.nonzero((smallest == _EMPTY) & lacking[:, None])
    firsts, sizes = np.searchsorted(owners, texts), np.bincount(owners, minlength=len(smallest))[texts]
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1]) - np.repeat(ends - sizes - firsts, sizes)
    seeds = mixed((bins + _ROUNDS).astype(np.uint64) * np.uint64(BASE))
    hashes = mixed(shingles[places] + np.repeat(seeds, sizes))
    smallest[texts, bins] = np.minimum.reduceat(hashes, ends - sizes)
