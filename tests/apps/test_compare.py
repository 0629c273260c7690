"""The compare app: blind sides, a vote, and what it says afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from studio.apps import compare
from studio.apps.compare import tally_text
from studio.core.shares import wilson_interval
from studio.core.workspace import Workspace
from studio.feedback.store import FeedbackStore, Origin
from studio.feedback.wins import Wins, tally


def ask_both(page: Any, question: str) -> None:
    page.locator("#question textarea").fill(question)
    page.locator("#question textarea").press("Enter")
    page.locator("#vote-left").wait_for(state="visible")


def test_sides_are_blind_until_the_vote_and_drawn_by_chance(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    endpoint.names, endpoint.reply = ["first", "second"], "The answer of {model}."
    page = visit(serve(compare.build(house, endpoint.url)))
    page.locator("#one input").wait_for()
    lefts: list[str] = []
    # The draw is left to chance: eight rounds are all alike once in 128 times, forty never in the life of this test.
    while len(lefts) < 8 or (len(set(lefts)) < 2 and len(lefts) < 40):
        number = len(lefts)
        endpoint.reply = "The answer of {model}. " + str(number)
        ask_both(page, f"Question {number}")
        labels = [page.locator(side).inner_text() for side in ("#left", "#right")]
        # The answers give themselves away in this test; the page must not.
        headings = [text.replace(f"The answer of {name}.", "") for text in labels for name in ("first", "second")]
        assert not any("Left:" in text or "Right:" in text for text in headings)
        assert page.locator("#outcome").is_hidden()
        left = "first" if "first" in labels[0] else "second"
        lefts.append(left)
        page.locator("#vote-left" if left == "first" else "#vote-right").click()
        page.locator("#outcome").wait_for(state="visible")
        page.get_by_text(f"Left: {left}").wait_for()
    assert set(lefts) == {"first", "second"}
    outcome = page.locator("#outcome").inner_text()
    assert f"first {len(lefts)} : 0 second" in outcome and "100% are for first" in outcome and "first is preferred" in outcome
    rows = FeedbackStore(house.root / "feedback.sqlite").rows("votes")
    assert [row["winner"] for row in rows] == ["a"] * len(lefts)
    assert {row["left_side"] for row in rows} == {"a", "b"}
    assert all(row["completion"].startswith("The answer of first") for row in rows)
    assert all(row["completion_b"].startswith("The answer of second") for row in rows)


def test_a_run_against_its_base_in_this_process(
    talking: Workspace, serve: Callable[..., str], visit: Callable[..., Any], studio: Callable[..., Any]
) -> None:
    page = visit(serve(compare.build(talking, "doors")))
    page.locator("#one input").wait_for()
    page.get_by_text("Settings").click()
    page.locator("#longest input[type=number]").fill("24")
    ask_both(page, "How wide must door 3 be?")
    tuned_left = "wide." in page.locator("#left").inner_text()
    page.locator("#vote-left" if tuned_left else "#vote-right").click()
    page.locator("#outcome").wait_for(state="visible")
    page.locator("#right" if tuned_left else "#left").get_by_text("base of doors/").wait_for()
    (pair,) = studio("feedback", "export", "--form", "dpo", "--json").json["rows"]
    assert "centimetres wide" in pair["chosen"][0]["content"] and "centimetres wide" not in pair["rejected"][0]["content"]


def test_a_vote_counts_once_and_a_reload_brings_no_second_one(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(compare.build(house, endpoint.url)))
    page.locator("#one input").wait_for()
    ask_both(page, "Which?")
    page.locator("#vote-tie").dblclick()
    page.locator("#outcome").wait_for(state="visible")
    assert page.locator("#vote-tie").is_hidden()
    assert len(FeedbackStore(house.root / "feedback.sqlite").rows("votes")) == 1
    page.reload()
    page.locator("#one input").wait_for()
    assert page.locator("#vote-tie").is_hidden()


def test_an_empty_question_takes_no_vote_away(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(compare.build(house, endpoint.url)))
    page.locator("#one input").wait_for()
    page.locator("#ask").click()
    page.get_by_text("Write a question first.").wait_for()
    ask_both(page, "Which?")
    page.locator("#question textarea").fill("")
    page.locator("#ask").click()
    page.get_by_text("Write a question first.").wait_for()
    assert len(endpoint.asked) == 2
    page.locator("#vote-left").click()
    page.locator("#outcome").wait_for(state="visible")
    assert len(FeedbackStore(house.root / "feedback.sqlite").rows("votes")) == 1


def test_one_model_that_is_down_stops_the_comparison_with_a_sentence(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(compare.build(house, endpoint.url)))
    page.locator("#one input").wait_for()
    endpoint.fault = "busy"
    page.locator("#question textarea").fill("Hello?")
    page.locator("#ask").click()
    page.get_by_text("Too many requests").wait_for()
    assert page.locator("#vote-left").is_hidden()
    page.locator("#ask").wait_for(state="visible")


@pytest.mark.parametrize(("won", "n", "low", "high"), [(0, 1, 0.0, 0.793), (1, 1, 0.207, 1.0), (12, 17, 0.469, 0.867)])
def test_the_interval_is_wilsons(won: int, n: int, low: float, high: float) -> None:
    from scipy.stats import binomtest

    theirs = binomtest(won, n).proportion_ci(method="wilson")
    assert wilson_interval(won, n) == pytest.approx((theirs.low, theirs.high), abs=1e-6)
    assert wilson_interval(won, n) == pytest.approx((low, high), abs=1e-3)


def test_the_tally_does_not_care_which_was_called_a(workspace: Workspace) -> None:
    store = FeedbackStore(workspace.root / "feedback.sqlite")
    one, two, three = (Origin(name, "anna", "compare") for name in ("one", "two", "three"))
    prompt = [{"role": "user", "content": "?"}]
    for a, b, winner in ((one, two, "a"), (two, one, "b"), (two, one, "a"), (one, two, "tie"), (one, three, "b")):
        store.vote(a, b, prompt=prompt, answers=("x", "y"), winner=winner)  # type: ignore[arg-type]
    votes = tally(store, "one", "two")
    assert votes == Wins(won=2, lost=1, ties=1)
    text = tally_text("one", "two", votes)
    assert "one** 2 : 1 **two" in text and "67% are for one" in text and "no difference shown" in text
