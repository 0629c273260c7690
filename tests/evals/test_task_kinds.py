"""A kind of task from outside the studio: registered while it runs, named in a suite, measured with `studio eval`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from studio.core.errors import ConfigError, UserError
from studio.core.records import Score
from studio.core.registry import Registry
from studio.evals import tasks
from studio.evals.chat.opening import Bench, open_bench
from studio.evals.evidence import Decoding
from studio.evals.runner import evaluate_model
from studio.evals.suites import load_suite, with_setting
from studio.evals.targets import Target, find_model
from studio.evals.task import TaskContext, TaskResult
from studio.schema.tasks import Positive, TaskSettings

if TYPE_CHECKING:
    from tests.conftest import Result
    from tests.evals.conftest import Tiny

ALL = (
    "conversation, tool_calls, classification, regression, fairness, general, safety, leakage, crows_pairs, stereoset, winobias, "
    "winogender, bbq, counterfactual, lm_eval, judge, pairs, reward, images, forecast, clustering, retrieval"
)
TOY = "name: mine\ntasks:\n  - type: toy\n    words: 2\n"


class ToyTask(TaskSettings):
    """How often the model says the same."""

    type: Literal["toy"]
    words: Positive = 3

    def metric_names(self) -> list[str]:
        return ["repeats"]


def run_toy(context: TaskContext[ToyTask]) -> TaskResult:
    """Ask every model the same question a few times."""
    prompts = [[{"role": "user", "content": "How wide is a door?"}]] * context.task.words
    scores = {}
    for label in context.labels:
        with context.subject(label) as subject:
            answers = subject.answers(prompts, Decoding(max_new_tokens=4), batch_size=2)
        same = float(len({answer.text for answer in answers if answer}) == 1)
        scores[label] = [Score(metric="repeats", value=same, unit="share", better="neither", n=len(answers), made_with="toy")]
    return TaskResult(scores=scores, rows=len(prompts), title="Toy")


opened: list[dict[str, Target]] = []


@contextmanager
def counted_bench(targets: dict[str, Target], *arguments: Any, **settings: Any) -> Iterator[Bench]:
    """The studio's own bench, and how often one was opened."""
    opened.append(targets)
    with open_bench(targets, *arguments, **settings) as bench:
        yield bench


def keep(monkeypatch: pytest.MonkeyPatch, *registries: Registry) -> None:
    """What is added to these tables in a test is gone after it."""
    for registry in registries:
        monkeypatch.setattr(registry, "_targets", dict(registry._targets))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy is a task of the studio for one test."""
    keep(monkeypatch, tasks.TASKS, tasks.SETTINGS)
    tasks.TASKS.add("toy", f"{__name__}:run_toy")
    tasks.SETTINGS.add("toy", f"{__name__}:ToyTask")
    monkeypatch.setitem(tasks.ASKED, "toy", "chat")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_suite(path, overrides)
    return str(caught.value)


def test_every_kind_has_a_line_in_each_table() -> None:
    assert list(tasks.TASKS) == list(tasks.SETTINGS) == sorted(ALL.split(", "))
    assert set(tasks.ASKED) == set(tasks.TASKS) - {"images", "forecast", "clustering", "retrieval", "pairs"}
    assert set(tasks.ASKED.values()) == set(tasks.BENCHES)
    for name in tasks.SETTINGS:
        assert tasks.SETTINGS.get(name).model_fields["type"].annotation == Literal[name], name


def test_a_task_from_outside_is_measured(studio: Callable[..., Result], toy: None, tmp_path: Path) -> None:
    path = written(tmp_path, TOY + "thresholds:\n  - {metric: repeats, at_least: 1}\n")
    done = studio("eval", str(path), "--model", "tiny", "--gate")
    # It counts two rows and gives no interval, so its value alone meets nothing.
    assert done.code == 3 and "1 of 1 threshold not shown on so few examples: repeats is 1 on 2 rows" in done.err
    assert "toy.repeats" in done.out
    document = json.loads(studio("eval", str(path), "--model", "tiny", "--json", "--set", "tasks.0.words=4").out)
    assert document["tasks"][0]["type"] == "toy" and document["tasks"][0]["settings"]["words"] == 4
    assert [score["n"] for label in ("tuned", "base") for score in document["scores"][label]] == [4, 4]
    assert "Toy" in Path(document["report"], "report.html").read_text()


def test_mistakes_in_a_task_from_outside_are_one_sentence_like_all(toy: None, tmp_path: Path) -> None:
    path = written(tmp_path, TOY)
    assert refused(path, "tasks.0.word=2").endswith("unknown field 'word' in 'tasks.0'. Did you mean 'words'?")
    assert "'tasks.0.words' is 0" in refused(path, "tasks.0.words=0")
    assert refused(path, "tasks.0.type=toyy").endswith(f"'tasks.0.type' is 'toyy'. Did you mean 'toy'? Allowed: {ALL}, toy.")
    threshold = "thresholds=[{metric: repeat, at_least: 1}]"
    assert "Did you mean 'repeats'? In the suite: toy.repeats." in refused(path, threshold)


def test_without_it_the_kind_is_not_known(tmp_path: Path) -> None:
    path = written(tmp_path, TOY)
    assert refused(path) == f"{path}:3: 'tasks.0.type' is 'toy'. Allowed: {ALL}."
    assert refused(path, "tasks=[{words: 2}]").endswith(f"'tasks.0' needs 'type'. Allowed: {ALL}.")


def test_all_tasks_of_an_evaluation_share_one_bench(
    tiny: Tiny, toy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tasks.BENCHES._targets, "chat", f"{__name__}:counted_bench")
    opened.clear()
    text = (
        "  - {type: toy, name: again}\n  - {type: conversation, metrics: [length], limit: 2}\ngeneration: {max_new_tokens: 4}\n"
    )
    target = find_model("tiny", tiny.workspace)
    _, record = evaluate_model(target, load_suite(written(tmp_path, TOY + text)), workspace=tiny.workspace)
    assert opened == [{"tuned": target}]
    assert [task.reason for task in record.tasks] == [None] * 3 and record.models["tuned"]["kind"] == "run"


def test_where_no_model_is_asked_no_bench_is_opened(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tasks.BENCHES._targets, "chat", f"{__name__}:counted_bench")
    opened.clear()
    table = tmp_path / "said.csv"
    table.write_text("label,prediction\n" + "yes,yes\nno,yes\n" * 5)
    suite = load_suite("classification", (f"tasks.0.predictions={{file: {table}}}", "resamples=100", "thresholds=[]"))
    evaluate_model(Target("predictions"), suite, workspace=tiny.workspace)
    assert opened == [] and not (tiny.workspace.root / "cache").exists()


def test_a_task_that_asks_and_names_no_way_is_a_mistake_of_its_author(
    tiny: Tiny, toy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(tasks.ASKED, "toy")
    with pytest.raises(ValueError, match="the task 'toy' asks models and does not say in which way"):
        evaluate_model(find_model("tiny", tiny.workspace), load_suite(written(tmp_path, TOY)), workspace=tiny.workspace)


def test_a_setting_goes_to_every_task_that_has_it(tmp_path: Path) -> None:
    path = written(tmp_path, "name: mine\ntasks:\n  - type: images\n  - {type: images, name: b}\n  - {type: leakage}\n")
    suite = with_setting(load_suite(path), "inception_weights", "w.pth", option="--weights", meant_for="pictures")
    assert [getattr(task, "inception_weights", None) for task in suite.tasks] == ["w.pth", "w.pth", None]
    with pytest.raises(UserError) as caught:
        with_setting(load_suite("chatbot"), "inception_weights", "w", option="--inception-weights", meant_for="pictures")
    assert str(caught.value) == ("--inception-weights is for pictures, and the suite chatbot scores none. Take the suite images.")
