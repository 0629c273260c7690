"""Six languages, three of them without blanks: what is alike folds, what is not stays, and lengths mean something."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from studio.data.chat.rows import ChatRow, comparable_text
from studio.data.chat.split import SplitPlan, divide
from studio.data.chat.steps.base import Drop
from studio.data.chat.steps.duplicates import NearDuplicates
from studio.data.chat.steps.language import Language
from studio.data.chat.steps.length import Length, Outliers
from studio.data.similarity import Shingler, Shingling, jaccard
from studio.language.scripts import count_words
from tests.data.made_rows import pair

# Of each language eight questions and answers of a library, written for these tests.
ROWS = json.loads(Path(__file__).parents[1].joinpath("library.json").read_text(encoding="utf-8"))
# One character less at one place, other signs of punctuation, or blanks: what copies of a row really differ in.
SIGNS = str.maketrans({"，": ",", "。": ".", "？": "?", "、": ",", "،": ",", "؟": "?", "।": "."})


def rows_of(language: str) -> list[ChatRow]:
    return [pair(f"{language}{number}", *texts) for number, texts in enumerate(ROWS[language])]


def copies_of(language: str) -> list[ChatRow]:
    """The same rows with other punctuation and a sign less at the end of the answer."""
    texts = [(question.translate(SIGNS), answer.translate(SIGNS).rstrip(".")[:-1]) for question, answer in ROWS[language]]
    return [pair(f"{language}{number}copy", *both) for number, both in enumerate(texts)]


@pytest.mark.parametrize("language", ROWS)
def test_rows_equal_but_for_a_few_signs_fold_and_others_stay(language: str) -> None:
    rows, copies = rows_of(language), copies_of(language)
    verdicts = NearDuplicates(threshold=0.8).judge_all([*rows, *copies])
    assert verdicts[: len(rows)] == [None] * len(rows), "different rows stay"
    gone = [verdict.matched for verdict in verdicts[len(rows) :] if isinstance(verdict, Drop)]
    assert gone == [row.id for row in rows], "every copy goes, and names its original"


def test_splits_of_six_languages_leak_nothing() -> None:
    rows = [row for language in ROWS for row in [*rows_of(language), *copies_of(language)]]
    division = divide(rows, SplitPlan(validation=12, test=24))
    where = {row.id: name for name, part in division.splits.items() for row in part}
    assert all(where[f"{row.id}copy"] == where[row.id] for language in ROWS for row in rows_of(language))
    shingler = Shingler(Shingling("word", 3))
    cut = [(name, shingler(comparable_text(row))) for name, part in division.splits.items() for row in part]
    assert not [1 for (one, a), (other, b) in itertools.combinations(cut, 2) if one != other and jaccard(a, b) >= 0.6]
    assert len(division.splits["test"]) >= 20 and len(division.splits["validation"]) >= 10, "and the splits are filled"


@pytest.mark.parametrize("language", ROWS)
def test_the_language_step_keeps_its_own_and_drops_the_others(language: str) -> None:
    step = Language([language])
    assert [row.id for row in rows_of(language) if isinstance(step.judge(row), Drop)] == []
    others = [row for other in ROWS if other != language for row in rows_of(other)]
    assert [row.id for row in others if not isinstance(step.judge(row), Drop)] == []


@pytest.mark.parametrize(
    ("allowed", "question", "answer"),
    [
        ("zh", "你好", "你好，请问有什么可以帮您？"),
        ("zh", "發票可以補開嗎？", "可以，請在三十天之內帶收據到櫃檯。"),
        ("zh", "可以", "好"),
        ("zh", "怎么训练？", "运行 studio train chat/lora --data my-bot"),
        ("ja", "冷蔵庫", "屋根"),
        ("ja", "東京都庁", "新宿区"),
        ("ar", "العزل", "نعم"),
        ("hi", "मोबाइल", "क्या मुझे अनुमति चाहिए?"),
    ],
)
def test_short_rows_stay_in_their_language(allowed: str, question: str, answer: str) -> None:
    row = pair("short", question, answer)
    assert Language([allowed]).judge(row) is row


def test_kinds_of_one_language_are_counted_together() -> None:
    """Each of Mandarin, Cantonese and Wu is under one half; together they are surely no English."""
    row = pair("short", "几点开门？需要多少内存？", "退货要几天？")
    verdict = Language(["en"], 0.9).judge(row)
    assert isinstance(verdict, Drop) and verdict.value.startswith("zh (")
    cantonese = pair("yue", "你今日食咗飯未呀？", "我哋啱啱食完，而家喺屋企睇緊電視。")
    assert Language(["zh"]).judge(cantonese) is cantonese and Language(["yue"]).judge(cantonese) is cantonese
    assert isinstance(Language(["yue"]).judge(rows_of("zh")[0]), Drop), "who names one member gets that one"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("图书馆几点开门？", 7),
        ("用 studio train 开始训练。", 7),
        ("本は何冊？", 4),
        ("กาแฟ", 4),
        ("ที่นี่", 2),
        ("도서관은 몇 시에 여나요?", 4),
        ("पूर्व दिशा में", 3),
        ("an en - dash", 4),
    ],
)
def test_words_are_counted_where_no_blanks_are(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize("language", ROWS)
def test_limits_of_length_mean_the_same_in_every_script(language: str, tiny_base: Path) -> None:
    from studio.data.chat.tokens import open_counter

    rows = rows_of(language)
    assert Length(unit="words", of="answer", min=12).judge_all(rows) == [None] * len(rows), (
        "an answer of 20 words is no single word"
    )
    assert all(isinstance(verdict, Drop) for verdict in Length(unit="words", of="answer", max=5).judge_all(rows))
    answer = rows[0].messages[1]["content"]
    (verdict,) = Length(unit="characters", of="answer", max=len(answer) - 1).judge_all(rows[:1])
    assert isinstance(verdict, Drop) and verdict.value == f"{len(answer)} characters"
    long = pair("long", "?", answer * 12)
    verdicts = Outliers(unit="words", method="iqr").judge_all([*rows, long])
    assert isinstance(verdicts[-1], Drop) and verdicts[-1].reason == "unusually long"
    limit = Length(max=10, of="answer", model="tiny", counter=lambda: open_counter(str(tiny_base)))
    assert all(isinstance(verdict, Drop) and verdict.value.endswith("tokens") for verdict in limit.judge_all(rows))
