"""What the watch measures by itself on new questions, and when a figure counts as worse than the one before."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.records import ReportRecord, Score
from studio.core.runs import newest_reports
from studio.loop.newest import Kept, _alone
from studio.loop.worsening import compare_reports
from studio.schema.loop import NewQuestions
from studio.serve.aliases import promote
from studio.serve.blocked import block
from studio.serve.state import StatePaths
from tests.conftest import Result
from tests.loop.conftest import InUse, rails

Studio = Callable[..., Result]
ASKED = {"suites": ["rails"], "fewest": 10, "rows": 20, "every": "1s"}


def asked_of(first: int, last: int) -> list[tuple[str, str]]:
    """Questions that were not trained on, with answers that sound like those that were."""
    return [(question, f"It must be {number} centimetres wide.") for number, (question, _) in enumerate(rails(last)[first:])]


def report(
    value: float, low: float | None, high: float | None, *, metric: str = "perplexity", better: str = "lower"
) -> ReportRecord:
    score = Score(metric=metric, value=value, unit="", better=better, n=40, low=low, high=high, made_with="test")  # type: ignore[arg-type]
    return ReportRecord(
        suite="rails-watch", created="", dataset={}, models={}, scores={"tuned": [score]}, differences=[], settings={},
        studio_version="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("new", "old", "worse"),
    [
        (report(40, 36, 45), report(20, 18, 23), True),
        (report(20, 18, 23), report(40, 36, 45), False),
        (report(24, 19, 31), report(20, 16, 26), False),
        (report(40, None, None), report(20, 18, 23), False),
        (report(0.4, 0.3, 0.5, metric="chrf", better="higher"), report(0.8, 0.7, 0.88, metric="chrf", better="higher"), True),
        (report(0.4, 0.3, 0.5, metric="chrf", better="neither"), report(0.8, 0.7, 0.9, metric="chrf", better="neither"), False),
    ],
)
def test_worse_is_what_the_intervals_show(new: ReportRecord, old: ReportRecord, worse: bool) -> None:
    found = compare_reports({"rails": (new, old)}, {"rails": []})
    assert [one.worse for one in found if one.worse] == ([True] if worse else [])
    assert all(one.sentence for one in found if one.worse)
    assert not any(one.worse for one in compare_reports({"rails": (new, None)}, {"rails": []}))
    assert compare_reports({"rails": (new, old)}, {"rails": ["bleu"]}) == []


def test_a_clock_that_was_put_back_holds_no_measurement_up() -> None:
    rules = NewQuestions(suites=["rails"], every="1d")
    assert Kept(tried=1000.0).is_due(rules, 1000.0 + 86_400) and not Kept(tried=1000.0).is_due(rules, 2000.0)
    assert Kept(tried=9e9).is_due(rules, 2000.0), "a measurement dated in the future"


@pytest.mark.long
def test_new_questions_are_measured_once_and_told_where_they_are_worse(studio: Studio, in_use: InUse, tiny_base: Path) -> None:
    # A run that knows how its answers sound, so that others can be told to be worse.
    training = ["train", in_use.folder / "small.yaml", "--data", "doors", "--model", tiny_base, "--name", "good"]
    assert studio(*training, "--set", "epochs=16").code == 0
    run = in_use.workspace.find_run("good")
    used = f"good/{run.name}"
    promote(in_use.aliases, "production", "good", used)
    in_use.rules(rules={"questions": ASKED | {"every": "1d"}})
    assert "there is no" in studio("watch", in_use.folder, "--once").err  # nothing was said yet
    in_use.correct(asked_of(0, 6))
    few = studio("watch", in_use.folder, "--once")
    assert few.code == 0 and "new questions: 6, and a measurement needs 10 (watch.rules.questions.fewest)" in few.err
    in_use.correct(asked_of(0, 30))
    # What was learnt from is not asked, and neither is what a blocked user said.
    trained = json.loads((in_use.folder / "doors.jsonl").read_text(encoding="utf-8").splitlines()[0])["question"]
    in_use.correct([(trained, "No.")])
    block(StatePaths.of(in_use.workspace).blocked, "eve")
    first = studio("watch", in_use.folder, "--once", "--json")
    assert first.code == 0, first.err
    assert [(one["metric"], one["n"] > 10, one["before"]) for one in first.json["scores"]] == [("perplexity", True, None)]
    asked = in_use.workspace.root / "watch" / "rails" / "new-questions.jsonl"
    questions = [json.loads(line)["messages"][0]["content"] for line in asked.read_text(encoding="utf-8").splitlines()]
    assert len(questions) == 20 and trained not in questions
    assert rails(30)[2][0] not in questions, "said by a blocked user"
    reports = newest_reports(run)
    assert reports["rails-watch"].dataset["rows"] == 20 and list(reports["rails-watch"].scores) == ["tuned"]
    in_use.correct(asked_of(60, 90))
    in_use.rules(rules={"questions": ASKED | {"every": "1d"}, "alerts": {"prometheus": "studio.prom"}})
    soon = studio("watch", in_use.folder, "--once", "--json")  # not before a day is over
    assert soon.json["scores"] == first.json["scores"]
    assert 'studio_watch_score{project="rails",suite="rails",metric="perplexity"}' in (in_use.folder / "studio.prom").read_text()
    # Answers that nobody could expect: the figure is worse, and stays told until something else is measured.
    in_use.rules(rules={"questions": ASKED})
    in_use.correct([(question, "qzx wvk jjq" * 3) for question, _ in rails(30, start=90)])
    worse = studio("watch", in_use.folder, "--once", "--json")
    assert worse.code == 3 and [alarm["kind"] for alarm in worse.json["alarms"]] == ["scores"], worse.err
    assert f"{used}, suite rails: perplexity is" in worse.json["alarms"][0]["sentence"]
    again = studio("watch", in_use.folder, "--once")
    assert again.code == 3 and "new questions: " in again.err, "the questions that were asked are not new any more"
    # Another run in use has not been shown to be worse.
    promote(in_use.aliases, "production", "other", "other/1")
    assert "perplexity is" not in studio("watch", in_use.folder, "--once").err


def test_what_cannot_be_measured_is_told(studio: Studio, in_use: InUse, monkeypatch: pytest.MonkeyPatch) -> None:
    in_use.rules(rules={"questions": ASKED | {"suites": ["rials"]}})
    wrong = studio("watch", in_use.folder, "--once")
    assert wrong.code == 2 and "'rials'" in wrong.err and "Traceback" not in wrong.err
    in_use.rules(rules={"questions": {"suites": ["rails"], "fewest": 9, "rows": 5}})
    assert "'fewest' is 9, and 'rows' allows 5" in studio("watch", in_use.folder, "--once").err
    in_use.rules(rules={"questions": ASKED | {"minutes": 0.001}})
    in_use.correct(rails(30))
    with _alone(in_use.workspace.root / "watch" / "rails-questions.json"):
        assert "another watch is measuring at this moment" in studio("watch", in_use.folder, "--once").err
    slow = studio("watch", in_use.folder, "--once")
    assert slow.code == 3
    assert "was not measured on new questions: rails-watch was not finished within 0.001 minutes" in slow.err
    (in_use.workspace.root / "watch" / "rails-questions.json").write_text('{"run": 5, "asked')  # damaged: measured anew
    assert studio("watch", in_use.folder, "--once").code == 3


def test_a_measurement_that_fails_says_why_in_one_sentence(
    studio: Studio, in_use: InUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use.rules(rules={"questions": ASKED})
    in_use.correct(rails(30))

    class Done:
        returncode, stdout, stderr = 1, "", "measuring\nerror: the disk is full.\n"

    monkeypatch.setattr("studio.loop.newest.subprocess.run", lambda *_, **__: Done)
    failed = studio("watch", in_use.folder, "--once")
    assert failed.code == 3 and "was not measured on new questions: the disk is full." in failed.err
    kept: dict[str, Any] = json.loads((in_use.workspace.root / "watch" / "rails-questions.json").read_text())
    assert kept["asked"] == [] and kept["tried"] <= time.time()
    Done.returncode = 143  # a service is stopped: its whole group gets the signal
    (in_use.workspace.root / "watch" / "rails-questions.json").unlink()
    stopped = studio("watch", in_use.folder, "--once")
    assert stopped.code == 0 and "was interrupted; the next look begins it anew" in stopped.err
    assert json.loads((in_use.workspace.root / "watch" / "rails-questions.json").read_text())["tried"] == 0
    assert not list(Path(in_use.workspace.root / "watch").glob("*.tmp"))
