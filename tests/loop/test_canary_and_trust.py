"""How trials are judged, whom a round hears, and which questions are only measured."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.feedback.store import FeedbackStore, Origin, RequestRow
from studio.loop.canary import Trial, judge_canary
from studio.loop.fates import decide
from studio.loop.trust import AT_ODDS, BLOCKED, FLOOD, whom_to_trust
from studio.schema.loop import CanaryRules
from studio.serve.aliases import Canary

SINCE = datetime(2026, 3, 2, tzinfo=UTC)
START = SINCE.timestamp()
CANARY = Canary("new", "new/1", 0.2, "user", "salt", SINCE.isoformat())
USED = {"model": "old", "run": "old/1"}


def judged(tmp_path: Path, new: list[bool], old: list[bool], *, hours: float = 30, **rules: Any) -> Trial:
    """A trial in which answers fail as said, evenly over its hours."""
    store = FeedbackStore(tmp_path / f"{random.random()}.sqlite")
    store.change_settings(request_days=None)
    rows = []
    for model, failed in (("new", new), ("old/1", old)):
        step = hours * 3600 / max(len(failed), 1)
        rows += [
            RequestRow(Origin(model, "u", "serve"), "error" if bad else "ok", created=START + n * step)
            for n, bad in enumerate(failed)
        ]
    store.record_requests(rows)
    found = judge_canary(store, CANARY, USED, CanaryRules(**rules), now=START + hours * 3600 + 1)
    store.close()
    return found


def test_a_trial_goes_on_ends_well_goes_back_or_runs_out(tmp_path: Path) -> None:
    assert judged(tmp_path, [], []).state == "going on"
    assert "5.0 of 24 hours" in judged(tmp_path, [False] * 300, [False] * 900, hours=5).sentence
    assert judged(tmp_path, [False] * 300, [False] * 900).state == "no worse"
    bad = judged(tmp_path, [n % 3 == 0 for n in range(300)], [n % 50 == 0 for n in range(900)])
    assert bad.state == "worse" and "failed answers are shown to be more with new" in bad.sentence
    few = judged(tmp_path, [False] * 30, [False] * 90, hours=15 * 24)
    assert few.state == "not shown" and "30 of 200 answers" in few.sentence


def test_looking_often_does_not_take_a_good_model_back(tmp_path: Path) -> None:
    """400 trials of a model that is no worse, 1,000 answers each: at most 5% may be taken back, however often one looks."""
    wrong = 0
    for seed in range(400):
        rng = random.Random(seed)
        from studio.loop.canary import _FIRST_ANSWERS, _worse

        new = [(float(n), rng.random() < 0.1) for n in range(1000)]
        old = [(n / 4, rng.random() < 0.1) for n in range(4000)]
        wrong += _worse((new, old), _FIRST_ANSWERS) is not None
    assert wrong <= 20


def thumb(store: FeedbackStore, user: str, number: int, value: int) -> None:
    store.rate(
        Origin("m", user, "chat"),
        prompt=[{"role": "user", "content": f"Question {number}?"}],
        completion="answer",
        value=value,  # type: ignore[arg-type]
    )


def test_a_liar_is_left_out_and_somebody_of_another_taste_is_not(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "f.sqlite")
    for number in range(40):
        good = 1 if number % 2 else -1
        for user in ("ada", "ben", "eve"):
            thumb(store, user, number, good)
        thumb(store, "liar", number, -good)
        thumb(store, "picky", number, -1 if number % 5 == 0 else good)
    now = START * 2
    trust = whom_to_trust(store, {"eve"}, now=now, checked=True)
    assert set(trust.at_odds) == {"liar"} and trust.at_odds["liar"][0] == 0
    assert trust.refuse("liar", 0) == AT_ODDS and trust.refuse("eve", 0) == BLOCKED and trust.refuse("picky", 0) == ""
    assert "liar agreed with others in 0 of 40 judgements: left out" in trust.told()
    plain = whom_to_trust(store, {"eve"}, now=now, checked=False)
    assert plain.refuse("liar", 0) == "" and plain.refuse("eve", 0) == BLOCKED
    store.close()


def test_a_flooded_hour_is_left_out(tmp_path: Path, monkeypatch: Any) -> None:
    store = FeedbackStore(tmp_path / "f.sqlite")
    clock = [START]
    monkeypatch.setattr("studio.feedback.store.time.time", lambda: clock[0])
    rng = random.Random(0)
    for day in range(28):
        for number in range(12):
            clock[0] = START + day * 86_400 + 9 * 3600 + number * 1800
            thumb(store, f"u{rng.randrange(9)}", rng.randrange(1000), 1)
    flood = START + 17 * 86_400 + 3 * 3600
    for number in range(80):
        clock[0] = flood + number * 40
        thumb(store, f"fake{number}", number, -1)
    trust = whom_to_trust(store, (), now=START + 29 * 86_400, checked=True)
    assert list(trust.hours) == [flood]
    assert trust.refuse("fake7", flood + 60) == FLOOD and trust.refuse("u1", flood - 3600) == ""
    store.close()


def test_alike_questions_share_their_fate_and_keep_it() -> None:
    first = [f"how wide must the {thing} of house {n} be" for thing in ("door", "stair", "window") for n in range(30)]
    fates = decide({}, first, share=0.3, near=0.8)
    assert set(fates) == set(first)
    unlike = [f"{word * 3} {number}" for number, word in enumerate("abcdefghijklmnopqrstuvwxyz" * 20)]
    share = sum(decide({}, unlike, share=0.3, near=0.95).values()) / len(set(unlike))
    assert 0.2 < share < 0.4
    later = decide(fates, [*unlike, *first], share=0.9, near=0.8)
    assert all(later[question] == fate for question, fate in fates.items())
    for fate in (True, False):
        known = {"what must be written into the log of a lift after each inspection": fate}
        asked = ["what must be written into the log of a lift after every inspection", "who may open the roof"]
        decided = decide(known, asked, share=0.0001 if fate else 0.9999, near=0.7)
        assert decided[asked[0]] == fate and decided[asked[1]] != fate
