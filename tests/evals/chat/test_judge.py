"""A judge: both orders, nothing guessed, held against people's votes, never alone in a gate, and what it costs told before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from studio.core.errors import ConfigError, UserError
from studio.evals.chat.judging import agreed, prompt_hash, read_points, read_verdict, word_count
from studio.evals.evidence import Answer
from studio.evals.runner import evaluate_model, evaluate_run
from studio.evals.suites import load_suite
from studio.evals.targets import find_model
from studio.feedback.pairs import voted_pairs
from studio.feedback.store import FeedbackStore, Origin
from studio.models.openai_client import EndpointError
from studio.schema.judge import JudgeTask
from tests.evals.openai_server import Odd, saying
from tests.servers import BrokenOffError, serving

if TYPE_CHECKING:
    from tests.conftest import Result
    from tests.evals.conftest import Tiny


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.models.openai_client._PAUSES", (0.0, 0.0))


def number(body: dict[str, Any]) -> int:
    return int(re.search(r"number (\d+)", body["messages"][-1]["content"]).group(1))  # type: ignore[union-attr]


def tuned(body: dict[str, Any]) -> dict[str, Any]:
    """Good on rows 0 to 4, the same as the base on 5, silent on 6, as bad as the base on 7."""
    return saying({5: "Plain.", 6: "", 7: "Bad, bad, bad."}.get(number(body), f"Good {number(body)}, and at some length."))


def base(body: dict[str, Any]) -> dict[str, Any]:
    return saying({5: "Plain."}.get(number(body), f"Bad {number(body)}."))


def judge(body: dict[str, Any]) -> dict[str, Any]:
    """It likes good answers, and of two alike the one that stands first. On row 4 it says nothing that could be read."""
    text = body["messages"][0]["content"]
    first, second = re.search(r"\[answer A\]\n(.*?)\n\[end.*\[answer B\]\n(.*?)\n\[end", text, re.DOTALL).groups()  # type: ignore[union-attr]
    if "Good 4" in text:
        return saying("Both have their merits, but A shines. B as well.")
    better = "B" if "Good" in second and "Good" not in first else "A"
    return saying(f"<think>Verdict: A or B?</think>Because.\n\n**Verdict: {better}**")


@pytest.fixture
def models(tiny: Tiny) -> Iterator[dict[str, Odd]]:
    scripts = {"tuned": tuned, "base": base, "judge": judge}
    servers = {name: Odd(script=[script], name=name) for name, script in scripts.items()}
    with serving(servers["tuned"]), serving(servers["base"]), serving(servers["judge"]):
        yield servers


def measure(tiny: Tiny, models: dict[str, Odd], *settings: str, with_base: bool = True) -> tuple[Path, Any]:
    suite = load_suite("judge", (f"tasks.0.judge={models['judge'].url}/v1#judge", "resamples=100", *settings))
    target, other = (find_model(f"{models[name].url}/v1#{name}", tiny.workspace) for name in ("tuned", "base"))
    return evaluate_model(target, suite, workspace=tiny.workspace, baseline=other if with_base else None, data=tiny.dataset)


def test_a_pair_is_asked_in_both_orders_and_a_change_of_mind_is_a_tie(tiny: Tiny, models: dict[str, Odd]) -> None:
    folder, record = measure(tiny, models)
    scores = {score.metric.partition(".")[2]: score for score in record.scores["tuned"]}
    # Rows 0 to 3 won; 4 unread; 5 the same; 6 silent and so lost; 7 decided by the place and so a tie.
    assert (scores["win_rate"].value, scores["win_rate"].n, scores["win_rate"].note) == (0.8, 5, "4 won, 1 lost, 2 ties")
    assert scores["win_rate"].coverage == 7 / 8 and scores["win_rate"].low == pytest.approx(0.3344, abs=1e-3)
    assert record.scores["base"][0].value == pytest.approx(0.2)
    assert scores["ties"].value == pytest.approx(2 / 7)
    assert scores["order_disagreement"].value == pytest.approx(1 / 5)
    assert (scores["unread"].value, scores["unread"].n) == (2 / 12, 12)
    assert scores["prefers_longer"].value == 1.0 and scores["prefers_longer"].n == 4
    assert scores["agreement"].value is None and "compare app" in scores["agreement"].reason
    difference = next(item for item in record.differences if item.metric == "judge.win_rate")
    assert difference.value == pytest.approx(0.6) and difference.verdict == "no difference shown" and difference.p == 0.375
    # 6 pairs in both orders; the same answer and the silent one cost nothing.
    asked = [body["messages"][0]["content"] for body in models["judge"].asked]
    assert len(asked) == 12 == record.tasks[0].data["requests"]
    assert any("[answer A]\nGood 0" in text for text in asked) and any("[answer B]\nGood 0" in text for text in asked)
    assert "metres wide" in asked[0]  # the reference
    data = record.tasks[0].data
    assert data["judge"].endswith("#judge") and len(data["prompt_sha256"]) == 64
    assert data["prompt_sha256"] != prompt_hash(JudgeTask(type="judge", criteria="Shortness."))
    told = " ".join(record.settings["warnings"])
    assert "In 1 of 5 pairs the judge said something else" in told and "2 of 12 replies of the judge could not be read" in told
    assert "Nobody has checked this judge" in told and "1 because an answer says nothing, 1 because both" in told
    table = pd.read_parquet(folder / "examples/judge.parquet").set_index("id")
    assert table.loc["test-0", "better"] == "tuned" and table.loc["test-6", "better"] == "base"
    assert pd.isna(table.loc["test-4", "better"]) and "Because" in table.loc["test-7", "judge_2"]
    assert "Win rate, by which answer is longer" in (folder / "report.html").read_text()


def test_the_judge_is_held_against_peoples_votes(tiny: Tiny, models: dict[str, Odd]) -> None:
    store = FeedbackStore(tiny.workspace.root / "feedback.sqlite")
    votes = [
        ("Good one", "Bad one", "a"),
        ("Good two", "Bad two", "a"),
        ("Bad three", "Good three", "b"),
        ("Good four!", "Bad four", "b"),
    ]
    for place, (first, second, winner) in enumerate(votes):
        for user in ("anna", "ben"):
            prompt = [{"role": "user", "content": f"Vote {place}?"}]
            one, two = Origin("x", user, "compare"), Origin("y", user, "compare")
            store.vote(one, two, prompt=prompt, answers=(first, second), winner=winner)  # type: ignore[arg-type]
    # Who changes their mind counts once, and two people who differ are a tie.
    store.vote(
        Origin("y", "ben", "compare"), Origin("x", "ben", "compare"), prompt=[{"role": "user", "content": "Vote 0?"}],
        answers=("Bad one", "Good one"), winner="a",
    )  # fmt: skip
    pairs = {pair.prompt[0]["content"]: pair for pair in voted_pairs(store, 9)}
    assert pairs["Vote 0?"].preference == "tie" and len(pairs) == 4 and len(voted_pairs(store, 2)) == 2
    _, record = measure(tiny, models, "limit=1")
    agreement = next(score for score in record.scores["tuned"] if score.metric == "judge.agreement")
    assert agreement.n == 4 and agreement.note == "the same in 2 of 4" and agreement.value is not None
    assert record.tasks[0].data["requests"] == 8  # the one row that was drawn needs no judge
    models["judge"].asked.clear()
    measure(tiny, models, "limit=1", "tasks.0.votes=0")
    assert not models["judge"].asked


def test_votes_are_not_sent_to_strangers_unasked(tiny: Tiny, models: dict[str, Odd], monkeypatch: pytest.MonkeyPatch) -> None:
    store = FeedbackStore(tiny.workspace.root / "feedback.sqlite")
    one, two = Origin("x", "anna", "compare"), Origin("y", "anna", "compare")
    store.vote(one, two, prompt=[{"role": "user", "content": "Private?"}], answers=("Good", "Bad"), winner="a")
    monkeypatch.setattr("studio.evals.chat.tasks.judge._is_here", lambda target: False)
    _, record = measure(tiny, models)
    assert models["judge"].asked and any("(1) was not sent to" in line for line in record.settings["warnings"])
    assert not any("Private?" in json.dumps(body) for body in models["judge"].asked)


def test_points_for_each_answer(tiny: Tiny, models: dict[str, Odd]) -> None:
    def points(body: dict[str, Any]) -> dict[str, Any]:
        text = body["messages"][0]["content"]
        return saying("Points: 11" if "Good 4" in text else "Fine.\nPoints: 9/10" if "Good" in text else "2")

    models["judge"].script = [points]
    _, record = measure(tiny, models, "tasks.0.ask=points")
    mine, theirs = record.scores["tuned"][0], record.scores["base"][0]
    # 11 is off the scale and unread; the silent answer gets 1 without being shown.
    assert mine.value == pytest.approx((9 * 4 + 2 + 1 + 2) / 7) and mine.n == 7 and theirs.value == 2.0
    assert next(item for item in record.differences if item.metric == "judge.points").n == 7
    assert len(models["judge"].asked) == 14  # the same answer twice is asked for once
    store = FeedbackStore(tiny.workspace.root / "feedback.sqlite")
    for answer, labels in (
        ("Good 1.", ("good", "good", "bad")),
        ("Bad.", ("bad",)),
        ("Good 2.", ("bad",)),
        ("Level.", ("good", "bad")),
    ):
        for user, label in enumerate(labels):
            origin, asked = Origin("x", str(user), "annotate"), [{"role": "user", "content": "?"}]
            store.annotate(origin, dataset="d", row=answer, prompt=asked, completion=answer, label=label)
    _, alone = measure(tiny, models, "tasks.0.ask=points", with_base=False)
    labels = next(score for score in alone.scores["tuned"] if score.metric == "judge.agreement_labels")
    assert labels.n == 3 and labels.note == "the same in 2 of 3" and labels.value == pytest.approx(0.4)
    assert list(alone.scores) == ["tuned"] and not alone.differences


def test_a_model_in_this_process_judges_too_and_what_it_babbles_is_no_verdict(tiny: Tiny, lively_base: Path) -> None:
    settings = (f"tasks.0.judge={lively_base}", "tasks.0.max_new_tokens=4", "generation.max_new_tokens=4", "resamples=100")
    _, record = evaluate_run(tiny.run, load_suite("judge", settings), limit=3)
    rate = record.scores["tuned"][0]
    assert rate.value is None and rate.n == 0 and rate.reason == "no pair was decided"
    unread = next(score for score in record.scores["tuned"] if score.metric == "judge.unread")
    assert unread.value == 1.0 and unread.n > 0 and set(record.models) == {"tuned", "base"}
    _, own = evaluate_run(tiny.run, load_suite("judge", ("tasks.0.judge=tiny", *settings[1:])), limit=1)
    assert any("The judge is the tuned model itself" in line for line in own.settings["warnings"])


def test_what_a_dead_judge_said_is_not_asked_again(tiny: Tiny, models: dict[str, Odd]) -> None:
    left = 5

    def dying(body: dict[str, Any]) -> dict[str, Any]:
        nonlocal left
        left -= 1
        if left < 0:
            raise BrokenOffError
        return judge(body)

    models["judge"].script = [dying]
    with pytest.raises(EndpointError, match="same command again"):
        measure(tiny, models, "tasks.0.at_once=1")
    models["judge"].script, models["judge"].asked = [judge], []
    before = len(models["tuned"].asked)
    _, record = measure(tiny, models, "tasks.0.at_once=1")
    assert len(models["judge"].asked) == 12 - 5 and len(models["tuned"].asked) == before
    assert record.scores["tuned"][0].note == "4 won, 1 lost, 2 ties"


def test_its_price_is_told_before_and_can_be_limited(
    tiny: Tiny, models: dict[str, Odd], studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {name: f"{server.url}/v1#{name}" for name, server in models.items()}
    command = ("eval", "judge", "--model", urls["tuned"], "--baseline", urls["base"], "--data", tiny.dataset)
    models["judge"].key = "for the judge"
    monkeypatch.setenv("STUDIO_API_KEY", "for the others")
    refused = studio(*command, "--set", f"tasks.0.judge={urls['judge']}")
    assert refused.code == 2 and "STUDIO_JUDGE_KEY" in refused.err
    monkeypatch.setenv("STUDIO_JUDGE_KEY", "for the judge")
    done = studio(*command, "--set", f"tasks.0.judge={urls['judge']}")
    assert done.code == 0 and "at most 16 requests to the judge" in done.err and "win_rate" in done.out
    with pytest.raises(UserError, match="would be asked 16 times for 8 rows and what people judged, and max_requests is 15"):
        measure(tiny, models, "tasks.0.max_requests=15")
    unnamed = studio(*command)
    assert unnamed.code == 2 and "no judge is named" in unnamed.out
    alone = studio(*command[:4], "--data", tiny.dataset, "--set", f"tasks.0.judge={urls['judge']}")
    assert "pairs need a second answer" in alone.out


@pytest.mark.parametrize("threshold", ["judge.win_rate", "win_rate", "judge.agreement"])
def test_a_gate_of_nothing_but_a_judge_is_refused(threshold: str, tmp_path: Path) -> None:
    text = "name: g\ntasks:\n  - type: judge\n  - {type: conversation, name: answers, metrics: [rougeL]}\n"
    text += f"thresholds:\n  - {{metric: {threshold}, at_least: 0.5}}\n"
    (tmp_path / "g.yaml").write_text(text)
    with pytest.raises(ConfigError, match="rests on a judge, and a model's opinion alone lets nothing pass"):
        load_suite(tmp_path / "g.yaml")
    (tmp_path / "g.yaml").write_text(text + "  - {metric: answers.rougeL, at_least: 0.1}\n")
    assert len(load_suite(tmp_path / "g.yaml").thresholds) == 2


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Verdict: A", "first"), ("Because.\n**Verdict:** B.", "second"), ("verdict - TIE", "tie"), ("[[B]]", "second"),
        ("A", "first"), ("Verdict: A\nOn second thoughts:\nVerdict: B", "second"), ("A is better.", None), ("", None),
        ("Verdict: A or B", None), ("Verdict: C", None), ("The verdict: A is it", None),
    ],
)  # fmt: skip
def test_verdicts_are_read_strictly(text: str, verdict: str | None) -> None:
    assert read_verdict(Answer(text, 1, False)) == verdict
    assert read_verdict(None) is None


def test_points_and_orders_are_read_strictly() -> None:
    texts = ("Points: 7", "Fine.\nPoints: 7/10", "7", "Points: 0", "Points: 11", "Points: 7.5", "seven", "10 reasons")
    assert [read_points(Answer(text, 1, False), 10) for text in texts] == [7, 7, 7, None, None, None, None, None]
    assert [agreed("first", "second"), agreed("second", "first"), agreed("first", "first"), agreed("tie", "tie")] == [
        "first", "second", "tie", "tie",
    ]  # fmt: skip
    assert agreed("first", None) is None and word_count("阳台的护栏必须至少一米高。") == 13 and word_count("a b c") == 3
