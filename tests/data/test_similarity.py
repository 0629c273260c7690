"""Near-duplicates: found by MinHash, decided by exact Jaccard, checked against comparing every pair."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.data.bands import bands_for
from studio.data.chat.rows import ChatRow, comparable_text
from studio.data.chat.steps.base import Drop
from studio.data.chat.steps.duplicates import ExactDuplicates, NearDuplicates
from studio.data.similarity import Clusters, NearPairs, Shingler, Shingling, jaccard
from studio.language.scripts import MARK_SIGNS, words_of
from tests.data.made_rows import WORDS, changed, pair, sentence


def plain_shingles(text: str, size: int) -> set[tuple[str, ...]]:
    words = words_of(text)
    width = max(1, min(size, len(words)))
    return {tuple(words[start : start + width]) for start in range(len(words) - width + 1)}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(WORDS[:8]), max_size=30), st.lists(st.sampled_from(WORDS[:8]), max_size=30), st.integers(1, 6))
def test_jaccard_is_the_plain_one(first: list[str], second: list[str], size: int) -> None:
    one, other = " ".join(first), " ".join(second)
    a, b = plain_shingles(one, size), plain_shingles(other, size)
    expected = len(a & b) / len(a | b) if first and second else 0.0
    shingler = Shingler(Shingling("word", size))
    assert jaccard(shingler(one), shingler(other)) == pytest.approx(expected)


def test_words_of_scripts_without_blanks() -> None:
    assert words_of("Hi, 世界! カナ don't") == ["hi", "世", "界", "カ", "ナ", "don", "t"]


def test_combining_signs_are_looked_up_in_a_table() -> None:
    """A class that reaches beyond 0x10000 is searched sign by sign: a second for each megabyte outside ASCII."""
    assert max(map(ord, MARK_SIGNS)) < 0x10000
    assert all(sign in MARK_SIGNS for sign in "\u0301\u093f\u09be\u0bc6\u064b\u05b0"), "accents, vowels, points"
    assert "\ufe0f" not in MARK_SIGNS and "\u20e3" not in MARK_SIGNS, "what makes an emoji belongs to no word"


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.8, 0.9])
def test_bands_miss_little(threshold: float) -> None:
    bands, width = bands_for(threshold)
    assert bands * width <= 128
    assert (1 - threshold**width) ** bands < 0.002


@pytest.mark.parametrize(("unit", "size", "threshold"), [("word", 5, 0.8), ("word", 3, 0.6), ("character", 5, 0.8)])
def test_near_pairs_are_those_of_comparing_all(unit: str, size: int, threshold: float) -> None:
    texts: list[str] = []
    for number in range(40):
        base = sentence(number, 60)
        texts += [base] + [changed(base, share, number * 10 + at) for at, share in enumerate((0.01, 0.03, 0.06, 0.12))]
    pairs = NearPairs(texts, threshold, Shingling(unit, size))
    found = {
        (other, index) for index, others in pairs.earlier() for other in others if pairs.similarity(index, other) >= threshold
    }
    shingler = Shingler(Shingling(unit, size))
    shingles = [shingler(text) for text in texts]
    every = {
        (a, b)
        for a, b in itertools.combinations(range(len(texts)), 2)
        if jaccard(shingles[a], shingles[b]) >= threshold and pairs.same[b] == b and pairs.same[a] == a
    }
    assert len(every) > 30
    assert found <= every and len(every - found) <= 0.01 * len(every)


def test_short_and_unspaced_texts_are_not_all_alike() -> None:
    """MinHash gives all texts shorter than a shingle one signature: they would delete each other."""
    rows = [pair(str(number), f"Say {word}", word) for number, word in enumerate(WORDS)]
    rows += [
        pair(f"zh{number}", text, "好")
        for number, text in enumerate(["这是一个关于屋顶的问题吗", "窗户必须有多高才安全呢", "邻居晚上可以弹钢琴吗"])
    ]
    assert NearDuplicates().judge_all(rows) == [None] * len(rows)


def test_same_text_in_chinese_is_found() -> None:
    text = "关于阳台栏杆的高度，建筑法规要求至少一米，并且儿童不能爬过去。如果有疑问，请联系市政府。"
    rows = [pair("a", "栏杆要多高？", text), pair("b", "栏杆要多高？", text.replace("市政府", "市政厅"))]
    verdict = NearDuplicates().judge_all(rows)[1]
    assert isinstance(verdict, Drop) and verdict.matched == "a" and float(verdict.value) >= 0.8


def test_dropped_rows_name_a_kept_row_that_is_really_alike() -> None:
    """A chain of small changes must not fold a corpus into one row (character 5-grams, unverified, once deleted nearly all)."""
    text = sentence(1, 80)
    rows = [pair("0", "q", text)]
    for number in range(1, 120):
        text = changed(text, 0.02, number)
        rows.append(pair(str(number), "q", text))
    verdicts = NearDuplicates(threshold=0.8).judge_all(rows)
    kept = {row.id for row, verdict in zip(rows, verdicts, strict=True) if verdict is None}
    assert len(kept) > 10
    shingler = Shingler(Shingling("word", 5))
    by_id = {row.id: shingler(comparable_text(row)) for row in rows}
    for row, verdict in zip(rows, verdicts, strict=True):
        if isinstance(verdict, Drop):
            assert verdict.matched in kept
            assert jaccard(by_id[row.id], by_id[verdict.matched]) == pytest.approx(float(verdict.value), abs=6e-4)
            assert float(verdict.value) >= 0.8


def test_common_boilerplate_in_characters_deletes_nothing() -> None:
    rows = [
        pair(str(number), "Question: please answer briefly.", f"Thank you for asking! {sentence(number, 30)}")
        for number in range(200)
    ]
    assert NearDuplicates(unit="character").judge_all(rows) == [None] * len(rows)


def test_clusters_are_capped_and_the_cap_is_told() -> None:
    base = sentence(3, 60)
    rows = [pair(str(number), "q", f"{base} ending{number}") for number in range(30)]
    step = NearDuplicates(threshold=0.5, max_cluster=10)
    dropped = [verdict for verdict in step.judge_all(rows) if isinstance(verdict, Drop)]
    assert len(dropped) == 9
    assert step.notes[0].startswith("stays (max_cluster): 20 rows like a row into which 10 were folded already")
    assert len([verdict for verdict in NearDuplicates(threshold=0.5).judge_all(rows) if isinstance(verdict, Drop)]) == 29


def test_a_shared_system_turn_makes_nothing_alike() -> None:
    system = {"role": "system", "content": sentence(9, 400)}
    rows = [pair(str(number), f"q{number}", sentence(number)) for number in range(10)]
    rows = [ChatRow(row.id, [system, *row.messages], row.source) for row in rows]
    assert NearDuplicates().judge_all(rows) == [None] * len(rows)


def test_exact_duplicates_set_case_blanks_and_form_aside_but_not_signs() -> None:
    rows = [
        pair("a", "What is 3+4?", "The ﬁrst: 7"),
        pair("b", " what is\n3+4? ", "the first:  7"),
        pair("c", "What is 3-4?", "The first: 7"),
    ]
    verdicts = ExactDuplicates().judge_all(rows)
    assert verdicts == [None, Drop("same conversation", "equal", "different", "a"), None]
    assert [isinstance(verdict, Drop) for verdict in ExactDuplicates("question").judge_all(rows)] == [False, True, False]


def test_union_find() -> None:
    clusters = Clusters(6)
    for first, second in [(4, 5), (1, 4), (2, 0)]:
        clusters.join(first, second)
    assert clusters.groups() == [[0, 2], [1, 4, 5], [3]]


def test_ties_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the alike ones of a band alternate, so that no neighbours are alike, and where pairs come in many blocks."""
    monkeypatch.setattr("studio.data.bands._AT_ONCE", 30)
    texts: list[str] = []
    for number in range(12):
        text = sentence(number, 40)
        texts += [text, *(changed(text, share, number * 10 + at) for at, share in enumerate((0.02, 0.03, 0.05, 0.07, 0.1)))]
    texts = texts[::2] + texts[1::2] + ["short", "", "short"]
    pairs = NearPairs(texts, 0.6, Shingling("word", 3))
    plain, tied = Clusters(len(texts)), Clusters(len(texts))
    for index, others in pairs.earlier():
        for other in others:
            if pairs.similarity(index, other) >= 0.6:
                plain.join(other, index)
    pairs.tie(tied)
    assert tied.groups() == plain.groups() and 20 < len(tied.groups()) < 60
    asked = Clusters(len(texts))
    asked.join(0, 1)
    pairs.tie(asked)
    assert asked.find(0) == asked.find(1), "what is tied already stays so"


def test_thousands_of_alike_rows_are_tied_without_comparing_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template is in every row: 2,000 rows have two million pairs."""
    base = sentence(3, 60)
    pairs = NearPairs([f"{base} ending{number}" for number in range(2000)], 0.6, Shingling("word", 3))
    compared: list[int] = []
    similarity = pairs.similarity
    monkeypatch.setattr(pairs, "similarity", lambda one, other: compared.append(one) or similarity(one, other))
    clusters = Clusters(2000)
    pairs.tie(clusters)
    assert len(clusters.groups()) == 1 and len(compared) < 4000
