"""Each step on rows made for it: what stays, what changes, what goes and why."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from studio.core.errors import UserError
from studio.data.chat.personal.contacts import find_emails, find_phones
from studio.data.chat.personal.secrets import find_keys
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import Drop
from studio.data.chat.steps.language import Language
from studio.data.chat.steps.length import Length, Outliers
from studio.data.chat.steps.presence import DropEmpty, Missing
from studio.data.chat.steps.roles import Roles, disorder
from studio.data.chat.steps.scrub import Scrub
from studio.data.chat.steps.text import Unicode, Whitespace, repair_text


def row(*turns: str, roles: str = "ua", id: str = "r", **meta: object) -> ChatRow:
    names = {"u": "user", "a": "assistant", "s": "system"}
    cycle = roles if len(roles) >= len(turns) else roles * len(turns)
    return ChatRow(
        id, [{"role": names[role], "content": turn} for role, turn in zip(cycle, turns, strict=False)], "src", None, meta
    )


def texts(verdict: object) -> list[str]:
    assert isinstance(verdict, ChatRow)
    return [message["content"] for message in verdict.messages]


def test_unicode_repairs_and_leaves_what_is_meant() -> None:
    assert repair_text("donâ€™t") == "don’t"
    assert repair_text("e\u0301t\u00e9") == "été"
    assert repair_text("a\x00b\x1b[0mc\r\nd") == "ab" + "c\nd"
    for meant in ("Tom &amp; <b>", "“quoted” ‘text’", "全角：ＡＢＣ", "naïve café", "x = a[0]\n\tif y:", "👩‍👩‍👧 🏳️‍🌈", "ÀÉ ÄÖÜ"):
        assert repair_text(meant) == meant
    clean = row("plain", "réponse")
    assert Unicode().judge(clean) is clean
    "\n".join(texts(Unicode().judge(row("lone \ud800 surrogate", "x")))).encode("utf-8")


def test_whitespace_keeps_indentation() -> None:
    changed = Whitespace().judge(row("  hello  ", "def f():\n    return 1   \n\n\n\n\nend\r\n"))
    assert texts(changed) == ["hello", "def f():\n    return 1\n\nend"]
    assert texts(Whitespace(empty_lines=0).judge(row("a\n\nb", "c")))[0] == "a\nb"
    clean = row("a", "b\n\nc")
    assert Whitespace().judge(clean) is clean


def test_drop_empty() -> None:
    assert DropEmpty().judge(row("q", " ")) == Drop("empty turn", "turn 2 (assistant)", "some text in every turn")
    assert DropEmpty().judge(row()) == Drop("no turns", "0 turns", "at least 2")
    assert DropEmpty().judge(row("only")).reason == "no answer"
    kept = DropEmpty("drop_turn").judge(row("q", "a", "", "b"))
    assert texts(kept) == ["q", "a", "b"]


def test_missing() -> None:
    step = Missing(values=["nan", "n/a"], fields=["category"])
    assert step.judge(row("q", " N/A ", category="x")).value == "turn 2: 'N/A'"
    assert step.judge(row("q", "a", category=float("nan"))).reason == "missing value"
    assert step.judge(row("q", "a")).value == "category: None"
    fine = row("q", "nan is a float", category="x")
    assert step.judge(fine) is fine


@pytest.mark.parametrize(
    ("roles", "problem", "repaired"),
    [
        ("ua", None, "ua"),
        ("suaua", None, "suaua"),
        ("aua", "starts with assistant", "ua"),
        ("uaa", "assistant after assistant at turn 3", "ua"),
        ("uuaa", "user after user at turn 2", "ua"),
        ("uau", "ends with user", "ua"),
        ("usa", "system after user at turn 2", "sua"),
        ("aaa", "starts with assistant", None),
        ("u", "ends with user", None),
        ("s", "no turns", None),
    ],
)
def test_roles(roles: str, problem: str | None, repaired: str | None) -> None:
    given = row(*[f"t{index}" for index in range(len(roles))], roles=roles)
    assert disorder(given.messages) == problem
    verdict = Roles("repair").judge(given)
    if repaired is None:
        assert isinstance(verdict, Drop) and verdict.value == problem
    else:
        assert "".join(message["role"][0] for message in verdict.messages) == repaired
        assert disorder(verdict.messages) is None
    if problem:
        assert Roles("drop").judge(given).reason == "wrong order of roles"


def test_joined_turns_keep_their_text() -> None:
    assert texts(Roles().judge(row("1", "2", "3", roles="uua"))) == ["1\n\n2", "3"]


def test_length_in_words_characters_and_turns() -> None:
    rows = [row("one two", "three"), row("a b c", "d e f g"), row("q", "a", "q", "a")]
    verdicts = Length(unit="words", min=4, max=6).judge_all(rows)
    assert [getattr(verdict, "reason", "kept") for verdict in verdicts] == ["too short", "too long", "kept"]
    assert verdicts[1] == Drop("too long", "7 words", "at most 6")
    assert Length(unit="characters", of="answer", max=4).judge_all(rows)[0].value == "5 characters"
    assert Length(max_turns=3).judge_all(rows)[2] == Drop("too many turns", "4 turns", "at most 3")


def test_length_in_tokens_agrees_with_the_tokenizer(tiny_base: Path) -> None:
    from studio.data.chat.tokens import open_counter

    counter = open_counter(str(tiny_base))
    rows = [row("How wide must a door be? " * n, "The rule says åttio. " * n) for n in (1, 3, 10, 40, 2000)]
    true = [sum(counter.count(texts(given))) for given in rows]
    assert all(counter.bound(texts(given)) >= count for given, count in zip(rows, true, strict=True))
    limit = true[2]
    verdicts = Length(max=limit, counter=lambda: counter).judge_all(rows)
    assert [isinstance(verdict, Drop) for verdict in verdicts] == [count > limit for count in true]
    low = Length(min=true[1], max=true[3], counter=lambda: counter).judge_all(rows)
    assert [isinstance(verdict, Drop) for verdict in low] == [not true[1] <= count <= true[3] for count in true]
    assert low[0] == Drop("too short", f"{true[0]} tokens", f"at least {true[1]}")


def test_outliers_by_both_methods() -> None:
    rows = [row("q", "a" * length, id=str(length)) for length in [100 + number for number in range(40)] + [5000]]
    for method in ("sigma", "iqr"):
        verdicts = Outliers(method=method).judge_all(rows)
        dropped = [given.id for given, verdict in zip(rows, verdicts, strict=True) if isinstance(verdict, Drop)]
        assert dropped == ["5000"]
        assert verdicts[-1].reason == "unusually long" and verdicts[-1].value == "5001 characters"
    low, high = Outliers(method="iqr").limits([1, 2, 3, 4, 5])
    assert (low, high) == (-1.0, 7.0)
    assert Outliers().judge_all(rows[:1]) == [None]


def test_language() -> None:
    step = Language(["en"])
    english = row("How high must the railing of a balcony be?", "At least one metre above the floor.")
    swedish = row("Hur högt måste ett räcke på en balkong vara?", "Minst en meter över golvet, enligt reglerna.")
    assert step.judge(english) is english
    verdict = step.judge(swedish)
    assert isinstance(verdict, Drop) and verdict.value.startswith("sv (") and verdict.threshold == "en (or below 0.5)"
    digits = row("1 + 1?", "2")
    assert step.judge(digits) is digits
    with pytest.raises(UserError, match="unknown language 'xx'"):
        Language(["xx"])


def found(text: str, finder: object, *more: object) -> list[str]:
    return [text[start:stop] for start, stop in finder(text, *more)]


def test_scrub_finds_what_it_should_and_nothing_else() -> None:
    text = "Write to anna.b+x@mail.example.co.uk, not git@github.com:me/x.git or a@b or user@localhost."
    assert found(text, find_emails) == ["anna.b+x@mail.example.co.uk"]
    assert found("call +46 42 12 34 56 or (042) 12 34 56, order 123456789012345", find_phones, None) == ["+46 42 12 34 56"]
    assert found("ring 042-12 34 56 nu", find_phones, "SE") == ["042-12 34 56"]
    assert found("pi 3.14159265358979, 2026-11-22 05:29:49, 10.0.0.1", find_phones, "SE") == []
    keys = ["AKIA" + "A" * 16, "ghp_" + "a1" * 18, "sk-" + "a1B2" * 8, "hf_" + "x" * 34, "xoxb-1234567890-abcdef"]
    assert found(" and ".join(keys), find_keys) == keys
    assert found("sk-learn-is-a-package-with-a-long-name akia ghp_short eyJ.x", find_keys) == []
    block = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----"
    assert found(f"x {block} y", find_keys) == [block]


def test_scrub_replaces_or_drops() -> None:
    given = row("I am a@b.org", "Call +46 42 12 34 56, key " + "AKIA" + "B" * 16, note="a@b.org")
    cleaned = Scrub().judge(given)
    assert texts(cleaned) == ["I am [EMAIL]", "Call [PHONE], key [KEY]"] and cleaned.meta == {"note": "[EMAIL]"}
    assert Scrub(action="drop").judge(given) == Drop("personal or secret data", "2 email, 1 phone, 1 key", "none")
    assert texts(Scrub(what=["phone"]).judge(given))[0] == "I am a@b.org"
    clean = row("nothing", "here")
    assert Scrub().judge(clean) is clean


def test_scrub_is_linear_on_hostile_text() -> None:
    started = time.perf_counter()
    Scrub(phone_region="SE").judge(row("a." * 100_000 + "@", "1 " * 50_000 + "-----BEGIN PRIVATE KEY-----" * 1000))
    assert time.perf_counter() - started < 5


NO_BLANKS = [
    ("请联系zhang.wei@example.com获取资料", "请联系[EMAIL]获取资料"),
    ("有问题请联系zhang@example.com，谢谢", "有问题请联系[EMAIL]，谢谢"),
    ("电话+8613812345678转8001", "电话[PHONE]转8001"),
    ("密钥是sk-abcdefghijklmnopqrstuvwx请保密", "密钥是[KEY]请保密"),
    ("令牌ghp_" + "a1" * 18 + "。", "令牌[KEY]。"),
    ("メールはtanaka@example.jpまで", "メールは[EMAIL]まで"),
    ("電話は+81-3-1234-5678です", "電話は[PHONE]です"),
    ("메일은kim@example.kr로", "메일은[EMAIL]로"),
    ("Skriv till åsa.öberg@example.se!", "Skriv till [EMAIL]!"),
    ("Пишите:ivan@пример.рф сегодня", "Пишите:[EMAIL] сегодня"),
    ("请联系zhang＠example．com，谢谢", "请联系[EMAIL]，谢谢"),
    ("电话＋８６１３８１２３４５６７８转１", "电话[PHONE]转１"),
]


@pytest.mark.parametrize(("text", "cleaned"), NO_BLANKS)
def test_scrub_finds_what_stands_without_blanks(text: str, cleaned: str) -> None:
    assert texts(Scrub().judge(row(text, "x")))[0] == cleaned


def test_national_numbers_without_blanks_and_prices() -> None:
    assert found("手机13812345678联系", find_phones, "CN") == ["13812345678"]
    for price in ("价格13812345678 元", "13812345678元", "¥13812345678", "SEK 0701234567", "0701234567 kr"):
        assert found(price, find_phones, "CN") == found(price, find_phones, "SE") == [], price


def test_indentation_of_a_first_line_is_code() -> None:
    code = "    y = x + 1\n    return y\n"
    assert texts(Whitespace().judge(row("\n def f(x):\n", code))) == ["def f(x):", "    y = x + 1\n    return y"]
    assert texts(Whitespace().judge(row("\tx = 1", "  hello\nworld"))) == ["\tx = 1", "hello\nworld"]


def test_placeholders_that_can_be_an_answer_stay() -> None:
    from studio.schema.recipe import MissingStep

    step = Missing(**MissingStep(step="missing").model_dump(exclude={"step"}))
    for answer in ("none", "None", "-", "?", "null"):
        given = row("Which class?", answer)
        assert step.judge(given) is given
    assert isinstance(step.judge(row("none", "a")), Drop) and isinstance(step.judge(row("q", "NaN")), Drop)


@pytest.mark.parametrize("nothing", ["\u200b", "\u2800", " \u200b\ufeff ", "\u3164"])
def test_what_cannot_be_seen_is_empty(nothing: str) -> None:
    assert DropEmpty().judge(row("q", nothing)).reason == "empty turn"


def test_equal_answers_are_no_pair() -> None:
    same = ChatRow("r", [{"role": "user", "content": "q"}], "src", chosen="A wren", rejected="A wren ")
    assert DropEmpty().judge(same).reason == "no preference"
