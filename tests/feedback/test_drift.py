"""Drift: an alarm for real changes, none for two halves of the same traffic."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from studio.feedback.agreement import cohen_kappa
from studio.feedback.drift import compare, compare_windows, psi
from studio.language.phrases import is_refusal


def traffic(seed: int, n: int, *, refusal: float = 0.05, length: float = 5.0, english: float = 0.8) -> list[dict[str, Any]]:
    """Requests as a real service has them: skewed lengths and times, two languages, some refusals."""
    draw = random.Random(seed)
    rows = []
    for number in range(n):
        characters = int(draw.lognormvariate(length, 0.8))
        rows.append(
            {
                "model": "bot",
                "created": 1e9 + number,
                "status": "ok",
                "characters": characters,
                "language": "en" if draw.random() < english else "sv",
                "refusal": int(draw.random() < refusal),
                "seconds": 0.2 + characters / 400 * draw.uniform(0.8, 1.4),
            }
        )
    return rows


def thumbs(seed: int, n: int, down: float) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [{"model": "bot", "created": 1e9 + k, "value": -1 if draw.random() < down else 1} for k in range(n)]


def test_two_halves_of_the_same_traffic_raise_no_alarm() -> None:
    alarms = 0
    for seed in range(60):
        rows, said = traffic(seed, 600), thumbs(seed, 200, 0.3)
        random.Random(seed).shuffle(rows)
        found = compare((rows[:300], rows[300:]), (said[:100], said[100:]))
        assert all(one.verdict != "too few to tell" for one in found)
        alarms += sum(one.alarm for one in found)
    assert alarms == 0


@pytest.mark.parametrize(
    ("signal", "change"),
    [
        ("length of answers, characters", {"length": 5.6}),
        ("language of answers", {"english": 0.5}),
        ("refusals", {"refusal": 0.2}),
        ("seconds to the last token", {"length": 5.6}),
    ],
)
def test_a_real_change_is_told(signal: str, change: dict[str, float]) -> None:
    found = compare((traffic(1, 600), traffic(2, 300, **change)), ([], []))
    assert [one.verdict for one in found if one.signal == signal] == ["changed"]


def test_more_thumbs_down_are_told_and_only_they() -> None:
    found = compare((traffic(1, 400), traffic(2, 400)), (thumbs(1, 200, 0.2), thumbs(2, 200, 0.45)))
    assert [one.signal for one in found if one.alarm] == ["thumbs down of all thumbs"]


def test_a_change_that_is_certain_but_tiny_raises_no_alarm() -> None:
    found = compare((traffic(1, 20_000), traffic(2, 20_000, length=5.08, refusal=0.055)), ([], []))
    assert not any(one.alarm for one in found)
    assert next(one for one in found if one.measure == "KS").p < 0.002  # type: ignore[operator]


def test_too_few_rows_say_so() -> None:
    found = compare((traffic(1, 99), traffic(2, 500, refusal=0.9)), (thumbs(1, 29, 0.1), thumbs(2, 300, 0.9)))
    assert {one.verdict for one in found} == {"too few to tell"}


def test_windows_end_now_and_do_not_overlap() -> None:
    now = time.time()
    rows = [{**row, "created": now - day * 86400} for day in (1, 6, 8, 30, 36) for row in traffic(day, 150)]
    found = compare_windows(rows, [], "bot", days=7, reference_days=28, now=now)
    assert (found[0].n_before, found[0].n_now) == (300, 300)
    assert compare_windows(rows, [], "another", now=now)[0].n_now == 0


def test_the_index_of_equal_shares_is_zero_and_of_a_known_shift_what_the_formula_gives() -> None:
    assert psi([50, 50], [500, 500]) == pytest.approx(0, abs=1e-4)
    assert psi([5000, 5000], [8000, 2000]) == pytest.approx(0.3 * 0.4700 + 0.3 * 0.9163, abs=1e-3)


def test_refusals_are_told_by_their_beginning() -> None:
    for text in (
        "I'm sorry, but I can't help with that.",
        "I cannot assist with this request.",
        "As an AI language model, I don't have opinions.",
        "Tyvärr kan jag inte svara på det.",
    ):
        assert is_refusal(text), text
    for text in (
        "You can't park here, but you may park around the corner.",
        "The door must be 80 cm wide. I cannot stress enough that this is a minimum.",
        "Sorry for the delay! The answer is 42.",
    ):
        assert not is_refusal(text), text


@pytest.mark.parametrize(
    ("text", "refusal"), [("I cannot help with that.", 1), ("抱歉，我无法帮助。", 1), ("ไม่ได้ครับ", None), ("42", 0)]
)
def test_no_refusal_is_told_in_a_script_without_a_list(text: str, refusal: int | None) -> None:
    from studio.serve.ledger import _signals

    assert _signals(text) == {"refusal": refusal}


def test_kappa_is_scikit_learns() -> None:
    from sklearn.metrics import cohen_kappa_score

    draw = random.Random(0)
    pairs = [(a, a if draw.random() < 0.7 else draw.choice("xyz")) for a in draw.choices("xyz", k=200)]
    kappa, low, high = cohen_kappa(pairs)
    assert kappa == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))
    assert low is not None and high is not None and kappa is not None and low < kappa < high
    assert cohen_kappa([("x", "x")] * 5) == (None, None, None)
    assert cohen_kappa([("x", "y")]) == (None, None, None)
    assert cohen_kappa([("x", "y"), ("y", "x")])[0] == -1
