"""Sketches: words as their own pattern finds them, bins that agree as often as Jaccard says, in any number of processes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.data import sketch
from studio.data.bands import earlier_alike
from studio.data.similarity import NearPairs, Shingling
from studio.data.sketch import minhash, numbers_of_words, sketch_part, sketch_texts
from studio.data.workers import workers
from studio.language.scripts import words_of
from tests.data.made_rows import changed, sentence

ALPHABET = "aB1_ .,-\n\u201c\u2019éßİſﬁ²½世界・カ。ไทยก้า\u0e3fनमस्ते\u064b\u0301😀\u200b\ud800Ωж"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet=ALPHABET, max_size=40) | st.text(max_size=30), max_size=4))
def test_words_are_those_of_words_of(texts: list[str]) -> None:
    numbers, counts = numbers_of_words(texts)
    words = [words_of(text) for text in texts]
    assert counts.tolist() == [len(found) for found in words]
    known: dict[str, int] = {}
    flat = [word for found in words for word in found]
    assert [known.setdefault(word, int(number)) for word, number in zip(flat, numbers, strict=True)] == numbers.tolist()
    assert len(set(known.values())) == len(known), "two words have one number"


def test_words_of_any_length_differ_in_any_byte() -> None:
    long = "x" * 3000
    words = [long[:size] for size in (1, 7, 8, 9, 15, 16, 17, 511, 512, 513, 3000)]
    words += [f"{word[:-1]}y" for word in words] + [f"y{word[1:]}" for word in words[1:]]
    numbers, counts = numbers_of_words([" ".join(words), ""])
    assert counts.tolist() == [len(words), 0]
    assert len(set(numbers.tolist())) == len(words)


def made_pairs(shared: int, own: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Marks of many pairs of sets with so many common members, and so many more in each."""
    generator = np.random.default_rng(shared)
    members = generator.integers(0, 2**63, (count, shared + 2 * own)).astype(np.uint64)
    sets = np.stack(
        [members[:, : shared + own], np.concatenate([members[:, :shared], members[:, shared + own :]], axis=1)], axis=1
    )
    marks = minhash(sets.reshape(-1), np.repeat(np.arange(2 * count), shared + own), 2 * count)
    return marks[::2], marks[1::2]


@pytest.mark.parametrize(("shared", "own"), [(8, 1), (34, 4), (180, 22), (900, 112), (60, 20), (600, 200)])
def test_bins_agree_with_the_probability_of_jaccard(shared: int, own: int) -> None:
    """However few shingles there are: copied bins would agree more or less often together, and pairs be missed."""
    similarity = shared / (shared + 2 * own)
    one, other = made_pairs(shared, own, 1500)
    shares = (one == other).mean(axis=1)
    assert shares.mean() == pytest.approx(similarity, abs=0.004)
    assert shares.std() <= 1.1 * (similarity * (1 - similarity) / sketch.BINS) ** 0.5


@pytest.mark.parametrize(
    ("threshold", "shared", "own"), [(0.8, 32, 4), (0.8, 160, 20), (0.8, 800, 100), (0.6, 30, 10), (0.6, 300, 100)]
)
def test_pairs_at_the_threshold_are_proposed(threshold: float, shared: int, own: int) -> None:
    one, other = made_pairs(shared, own, 3000)
    marks = np.stack([one, other], axis=1).reshape(6000, -1)
    nothing = np.zeros(6000, dtype=bool)
    found = {(later, early) for later, earlier in earlier_alike(marks, threshold, lambda: nothing) for early in earlier}
    assert len(found & {(2 * n + 1, 2 * n) for n in range(3000)}) >= 0.995 * 3000


def test_what_is_gone_is_not_proposed_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.data.bands._AT_ONCE", 50)
    base = sentence(5, 60)
    pairs = NearPairs([f"{base} ending{number}" for number in range(40)], 0.5, Shingling("word", 5))
    sizes = []
    for index, found in pairs.earlier():
        sizes.append(len(found))
        pairs.gone[index] = True
    assert len(sizes) == 39 and sizes[-1] < 10, "only the first row is left to be compared with, and those of one block"


def test_any_number_of_processes_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.data.sketch._PART", 2000)
    texts = [sentence(number, 30 + number) for number in range(60)]
    texts += [changed(text, 0.03, number) for number, text in enumerate(texts)] + ["short", "", "关于阳台栏杆的高度"]
    shingling = Shingling("word", 3)
    alone = sketch_part(texts, shingling)
    for count in (1, 2, 3):
        with workers(count) as crew:
            found = sketch_texts(texts, shingling, crew)
        assert np.array_equal(found.keys, alone.keys)
        assert np.array_equal(found.long, alone.long) and np.array_equal(found.marks, alone.marks)
    assert alone.long[-3:].tolist() == [False, False, True]
