"""Rules for text and figures in ``meta``: each limit met and broken, in scripts with blanks and without."""

from __future__ import annotations

import random

import pytest

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import CorpusStep
from studio.data.chat.steps.gopher import Gibberish, Repetition
from studio.data.chat.steps.scores import SCORES, Filter, Score
from studio.data.verdicts import Drop
from studio.language.readability import flesch, lix, sentences, syllables

ENGLISH = (
    "The committee met in the old library to talk about the bridge. Nobody had asked the people who live beside it, and that was "
    "the first thing to be settled. After an hour they agreed to send letters, to wait for answers, and to walk along the river "
    "with an engineer. She explained how much weight each arch can carry, and why the middle one has to be mended before winter."
)
CHINESE = (
    "委员会在旧图书馆开会讨论那座桥的问题。没有人问过住在旁边的居民，所以大家决定先给他们写信，再等候回答。一个小时以后，"
    "工程师带着所有人沿着河边散步，说明每个拱能够承受多少重量，也解释了为什么中间的那一个必须在冬天以前修好。"
)


def row(answer: str, question: str = "What happened?", id: str = "r", **meta: object) -> ChatRow:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return ChatRow(id, messages, "src", None, meta)


def judged(step: CorpusStep, rows: list[ChatRow]) -> list[ChatRow | Drop]:
    return [one if verdict is None else verdict for one, verdict in zip(rows, step.judge_all(rows), strict=True)]


@pytest.mark.parametrize(
    "text", [ENGLISH, CHINESE, "Yes.", "no no no no", f"{ENGLISH}\n\n| a | a |\n|---|---|\n" + "| 1 | 1 |\n" * 60]
)
def test_ordinary_text_stays(text: str) -> None:
    given = row(text)
    assert Repetition().judge(given) is given and Gibberish().judge(given) is given


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n".join(["The same line again and again."] * 12), "repeats lines"),
        (f"{ENGLISH}\n\n" * 3, "repeats lines"),
        (f"{ENGLISH} " * 3, "repeats runs of 5 words"),
        (ENGLISH + " very good" * 40, "repeats one run of 2 words"),
        (f"{CHINESE}" * 3, "repeats runs of 5 words"),
        ("好的好的" * 40, "repeats one run of 2 words"),
    ],
)
def test_repetition(text: str, reason: str) -> None:
    verdict = Repetition().judge(row(text))
    assert isinstance(verdict, Drop) and verdict.reason == reason, verdict
    given = row(text)
    assert Repetition(factor=20).judge(given) is given
    assert Repetition(min_words=10_000).judge(given) is given


def test_code_is_not_judged() -> None:
    given = row("Here:\n```\n" + "x = 1\n" * 200 + "```\n" + ENGLISH)
    assert Repetition().judge(given) is given
    assert Gibberish().judge(given) is given
    asked = row("Fine, thank you.", question="spam " * 200)
    assert Repetition().judge(asked) is asked
    assert isinstance(Repetition("conversation").judge(asked), Drop)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ab " * 30, "mean length of words"),
        ("incomprehensibilities " * 25, "mean length of words"),
        ("word # # tag " * 20, "mean length of words"),
        ("wordy things # tagged " * 20, "number signs per word"),
        ("this goes on ... " * 15, "ellipses per word"),
        ("12345 67890 words 24680 " * 10, "words with a letter"),
        ("这里有……" * 20, "ellipses per word"),
        ("1234567890壹贰叁" * 10, "words with a letter"),
    ],
)
def test_gibberish(text: str, reason: str) -> None:
    verdict = Gibberish().judge(row(text))
    assert isinstance(verdict, Drop) and verdict.reason == reason, verdict


def test_running_text_holds_common_words() -> None:
    chance = random.Random(1)
    nouns = ["garden", "window", "bridge", "letter", "winter", "engineer", "library", "people", "weight", "river"]
    verdict = Gibberish().judge(row(" ".join(chance.choice(nouns) for _ in range(80))))
    assert verdict == Drop("common words", "0 of 8 in en", "at least 2")


def test_readability_agrees_with_the_formulas() -> None:
    # Nine words of one syllable in two sentences.
    assert flesch("The cat sat on the mat. It was fat.", "en") == pytest.approx(206.835 - 1.015 * 9 / 2 - 84.6)
    assert flesch("Die Katze saß auf der Matte.", "de") == pytest.approx(180 - 6 - 58.5 * 8 / 6)
    assert flesch("Katten satt.", "sv") is None and flesch("", "en") is None
    assert lix("Katten satt på mattan. Den var jättestor.") == pytest.approx(7 / 2 + 100 / 7)
    assert [syllables(word, "en") for word in ("cat", "table", "make", "library", "committee")] == [1, 2, 1, 3, 3]
    assert sentences("One. Two! Three?\n- four\n- five") == 5
    assert (flesch(ENGLISH, "en") or 0) > (
        flesch("Institutional considerations necessitate comprehensive evaluation.", "en") or 0
    )


def test_scores_are_written_and_filtered() -> None:
    rows = [
        row("The oven needs two hundred degrees for bread.", "How hot is the oven for bread?", "a"),
        row("Bananas are yellow and grow in warm countries.", "How hot is the oven for bread?", "b"),
        row("委员会在图书馆开会。", "委员会在哪里开会？", "c"),
        row("You are a fucking idiot and everyone knows it.", "Who won the match last night?", "d"),
    ]
    step = Score(["answer_words", "language", "readability", "toxicity", "relevance", "lix"])
    scored = judged(step, rows)
    figures = {one.id: one.meta[SCORES] for one in scored if isinstance(one, ChatRow)}
    assert figures["a"]["relevance"] > 0.3 and figures["a"]["relevance"] > figures["b"]["relevance"]
    assert figures["c"]["relevance"] > 0.3
    assert figures["a"]["answer_words"] == 8 and figures["a"]["language"] == "en" and figures["c"]["language"] == "zh"
    assert "readability" not in figures["c"] and "lix" not in figures["c"]
    assert figures["d"]["toxicity"] == 1 and figures["a"]["toxicity"] == 0
    assert "readability: 1 of 4 rows have no value" in step.notes
    kept = judged(Filter("toxicity", max=0.5), scored)  # type: ignore[arg-type]
    assert kept[3] == Drop("high toxicity", "1", "at most 0.5") and kept[0] is scored[0]


def test_filter_by_numbers_words_and_fences() -> None:
    rows = [row("x", id=str(n), quality=str(n), label="odd" if n % 2 else "even") for n in (*range(1, 12), 100)]
    step = Filter("quality", min=2, outliers=1.5)
    verdicts = judged(step, rows)
    assert verdicts[0] == Drop("low quality", "1", "at least 2")
    assert isinstance(verdicts[-1], Drop) and verdicts[-1].reason == "outlier in quality" and verdicts[-1].value == "100"
    assert step.notes == ("quality: 1 to 100, quartiles 3.75, 6.5, 9.25; 0 rows without",)
    assert step.box and step.box["beyond"] == 2 and step.box["whiskers"] == [2.0, 11.0]
    words = Filter("label", allowed=["odd"])
    assert sum(isinstance(one, ChatRow) for one in judged(words, rows)) == 6
    assert words.notes == ("balance of label: odd 6 (50%), 6 stay; even 6 (50%), 0 stay",)
    some = [row("x", id="a", quality=1), row("x", id="b")]
    assert judged(Filter("quality", min=0), some) == some
    assert judged(Filter("quality", missing="drop"), some)[1] == Drop("no quality", None, "a value in meta under 'quality'")
    nested = [row("x", rating={"helpful": 4}), row("x", rating={"helpful": 1})]
    assert isinstance(judged(Filter("rating.helpful", min=3), nested)[1], Drop)


def test_filter_says_what_it_cannot_do() -> None:
    rows = [row("x", quality="good")]
    with pytest.raises(DataError, match="no row has a value 'qualty' in meta. Did you mean 'quality'"):
        judged(Filter("qualty", min=1), rows)
    for name in ("toxicity", "scores.toxicity"):
        with pytest.raises(DataError, match=r"Measure it in a step before: \{step: score, what: \[toxicity\]\}"):
            judged(Filter(name, max=0), rows)
    with pytest.raises(DataError, match="the value 'good' of 'quality' in row r is no number. Filter words by 'allowed'"):
        judged(Filter("quality", min=1), rows)


@pytest.mark.starter
def test_meaning_tells_what_an_answer_is_about_without_shared_words() -> None:
    pairs = [
        ("How do I bake bread?", "Knead flour and water, let the dough rise, and put it into the oven."),
        ("What do cats eat?", "Felines live on meat, fish and mice."),
        ("How far is the moon?", "Our satellite orbits some 384,000 kilometres from Earth."),
        ("Who repairs my bicycle?", "Paint the fence green in spring."),
    ]
    rows = [row(answer, question, id=f"r{number}") for number, (question, answer) in enumerate(pairs)] + [
        row("", "Alone?", id="e")
    ]
    step = Score(["meaning", "relevance"])
    near = [one.meta[SCORES].get("meaning") for one in judged(step, rows)]
    assert near[4] is None and all(near[place] > 0.2 > near[3] for place in range(3))
    assert [one.meta[SCORES]["relevance"] for one in judged(step, rows)][:2] == [0.0, 0.0]
    assert "meaning: 1 of 5 rows have no value" in step.notes
    assert "nearer to its own answer than to the next row's in 100% of cases here, where 50% is chance" in step.notes[-1]


def test_no_encoder_is_opened_unless_meaning_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.models.text_encoder.open_text_encoder", lambda name: pytest.fail(f"{name} was opened"))
    step = Score(["words"], model="no-such-model")
    assert [one.meta[SCORES] for one in judged(step, [row("Yes.")])] == [{"words": 3}]
