"""Rows with one instruction are told apart by what is theirs; texts that differ in signs only are found in every script."""

from __future__ import annotations

import itertools
import random

import pytest

from studio.data.chat.rows import ChatRow
from studio.data.chat.split import SplitPlan, divide
from studio.data.chat.steps.base import Drop
from studio.data.chat.steps.duplicates import ExactDuplicates, NearDuplicates
from studio.data.similarity import NearPairs, Shingling
from studio.language.scripts import words_of
from tests.data.made_rows import WORDS, pair, sentence

INSTRUCTION = " ".join(f"word{number}" for number in range(60))


def dropped(rows: list[ChatRow]) -> int:
    return sum(isinstance(verdict, Drop) for verdict in NearDuplicates().judge_all(rows))


def classified(count: int = 60) -> list[ChatRow]:
    """One long instruction; only the last words of each question differ."""
    chooser = random.Random(0)
    return [
        pair(str(n), f"{INSTRUCTION} Sentence: {' '.join(chooser.sample(WORDS, 5))} {n}", ("positive", "negative")[n % 2])
        for n in range(count)
    ]


def translated() -> list[ChatRow]:
    """An instruction in a line of its own, and short sentences of a few words."""
    order = "Translate the following English sentence into German, keep the tense and the tone, and do not add any explanation."
    cells = list(itertools.product(WORDS[:10], WORDS[10:15], ("likes", "sees", "paints", "sells")))
    return [pair(str(n), f"{order}\n\nThe {a} {verb} the {b}.", f"X{a} Y{verb} Z{b}") for n, (a, b, verb) in enumerate(cells)]


def chinese() -> list[ChatRow]:
    signs = "红黄蓝绿黑白大小长短"
    return [
        pair(
            f"{a}{b}{c}",
            f"请把下面的中文句子准确地翻译成英文，不要添加任何解释。\n小猫{a}喜欢{b}的{c}。",
            f"{ord(a)} likes {ord(b)} {ord(c)}",
        )
        for a, b, c in itertools.permutations(signs, 3)
    ][:200]


def asked_of_passages() -> list[ChatRow]:
    """The passage is the system turn, the question always the same."""
    return [
        ChatRow(
            str(n),
            [
                {"role": "system", "content": f"Review {n}: {sentence(n, 20)}"},
                {"role": "user", "content": "Is the review positive? Answer yes or no."},
                {"role": "assistant", "content": ("yes", "no")[n % 2]},
            ],
            "made",
        )
        for n in range(40)
    ]


def schema() -> list[ChatRow]:
    table = "CREATE TABLE birds (id INTEGER, name TEXT, wings REAL, seen DATE, place TEXT, ring INTEGER, note TEXT)"
    columns = ("name", "wings", "seen", "place", "ring", "note", "id", "count")
    return [
        pair(str(n), f"{table}\nWhich {name} is the {WORDS[n]}?", f"SELECT {name} FROM birds") for n, name in enumerate(columns)
    ]


@pytest.mark.parametrize("made", [classified, translated, chinese, asked_of_passages, schema])
def test_rows_of_one_instruction_stay_and_can_be_divided(made: object) -> None:
    rows = made()  # type: ignore[operator]
    assert dropped(rows) <= len(rows) // 20
    division = divide(rows, SplitPlan(validation=1, test=1))
    assert division.clusters > len(rows) // 3


def test_an_instruction_is_told_and_copies_are_still_found() -> None:
    rows = classified()
    copies = [pair(f"copy{n}", rows[n].messages[0]["content"].replace("Sentence:", "Sentence —"), "positive") for n in (0, 2, 4)]
    step = NearDuplicates()
    verdicts = step.judge_all([*rows, *copies])
    assert [isinstance(verdict, Drop) for verdict in verdicts] == [False] * 60 + [True] * 3
    assert "share runs of 8 words or more (a fixed instruction)" in step.notes[0]


def test_questions_about_one_passage_are_no_copies_but_stay_together() -> None:
    rows = [
        pair(f"{p}.{q}", f"Which {WORDS[q]} is meant?\n\n{sentence(p, 120)}", f"{WORDS[q]} {p}")
        for p in range(30)
        for q in range(3)
    ]
    assert dropped(rows) == 0
    division = divide(rows, SplitPlan(validation=9, test=9))
    passages = [{row.id.partition(".")[0] for row in part} for part in division.splits.values()]
    assert not any(one & other for one, other in itertools.combinations(passages, 2))


def test_pairs_with_other_rejected_answers_are_no_copies() -> None:
    prompt = [{"role": "user", "content": sentence(1)}]
    rows = [ChatRow(str(n), prompt, "made", chosen=sentence(2, 80), rejected=sentence(10 + n, 6)) for n in range(3)]
    assert dropped(rows) == 0
    assert dropped([*rows, ChatRow("copy", prompt, "made", chosen=sentence(2, 80), rejected=sentence(10, 6) + "!")]) == 1


TWINS = {
    "Chinese": ("第{n}号篮子里有什么？", "樱桃、梨、木瓜、李子、柠檬，还有{n}。", {"？": "?", "、": ",", "，": ",", "。": "."}),
    "quotes": ("What about {n}?", "“Tea{n}”, “milk” — that’s all we’ve got", {"“": '"', "”": '"', "’": "'", "—": "-"}),
    "ellipsis": ("And {n}…", "Wait… until… it… is… {n}… o’clock", {"…": "...", "’": "'"}),
}


@pytest.mark.parametrize("name", TWINS)
def test_twins_that_differ_in_signs_never_straddle(name: str) -> None:
    question, answer, signs = TWINS[name]
    numbers = ["甲乙丙丁戊己庚辛壬癸"[n // 4] + "金木水火"[n % 4] if name == "Chinese" else f"w{n}" for n in range(40)]
    rows = [pair(str(n), question.format(n=word), answer.format(n=word)) for n, word in enumerate(numbers)]
    table = str.maketrans(signs)
    twins = [pair(f"{row.id}b", *(turn["content"].translate(table) for turn in row.messages)) for row in rows]
    texts = [row.text for row in [*rows, *twins]]
    pairs = NearPairs(texts, 0.8, Shingling("word", 5))
    proposed = {(index, other) for index, others in pairs.earlier() for other in others}
    assert all((40 + n, n) in proposed and pairs.similarity(40 + n, n) == 1 for n in range(40) if pairs.same[40 + n] == 40 + n)
    division = divide([*rows, *twins], SplitPlan(validation=6, test=6))
    where = {row.id: split for split, part in division.splits.items() for row in part}
    assert all(where[str(n)] == where[f"{n}b"] for n in range(40))


def test_words_with_combining_signs_are_whole() -> None:
    assert words_of("वह दिल्ली जाता है") == ["वह", "दिल्ली", "जाता", "है"]
    assert words_of("वह जाता है") != words_of("वह जाती है")
    assert words_of("שָׁלוֹם עולם") == ["שָׁלוֹם", "עולם"]
    assert words_of("ภาษา don't") == ["ภ", "า", "ษ", "า", "don", "t"]


def test_exact_duplicates_of_what_cannot_be_seen_and_what_is_meant() -> None:
    rows = [pair("a", "What is x²?", "abc → ABC"), pair("b", "What is x2?", "abc → ABC"), pair("c", "What is x²?", "aBc → ABC")]
    rows += [pair("d", "What\u200b is x²?", "ab\u00adc → ABC")]
    assert [isinstance(verdict, Drop) for verdict in ExactDuplicates().judge_all(rows)] == [False, False, False, True]
