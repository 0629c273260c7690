"""lm-evaluation-harness as a backend: a task of its own on local data, the same numbers in the studio's report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import MissingExtraError, UserError
from studio.evals.chat.tasks import lm_eval as harness_task
from studio.evals.chat.tasks.lm_eval import metrics_of, run
from studio.evals.suites import load_suite
from studio.evals.task import NotComputedError
from studio.schema.bias import LmEvalTask
from studio.schema.tasks import LikelihoodSettings

TASK = """task: door_quiz
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
THINGS = ("door", "window", "roof", "wall", "stair", "rail", "exit", "balcony")


@pytest.fixture
def own_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with one task file and its data, named by the environment."""
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    rows = [{"question": f"Is the {thing} wide?", "choices": ["yes", "no"], "answer": n % 2} for n, thing in enumerate(THINGS)]
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "door_quiz.yaml").write_text(TASK.format(file=folder / "quiz.jsonl"))
    monkeypatch.setenv("STUDIO_LM_EVAL_TASKS", str(folder))
    return "door_quiz"


def plain_accuracy(subject: Any) -> float:
    """Share of right choices by a plain loop; the harness puts no BOS token before a text with a question."""
    import torch

    right = 0
    for number, thing in enumerate(THINGS):
        sums = []
        for word in ("yes", "no"):
            start = subject.tokenizer(f"Question: Is the {thing} wide?\nAnswer:", add_special_tokens=False)["input_ids"]
            whole = subject.tokenizer(f"Question: Is the {thing} wide?\nAnswer: {word}", add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                values = subject.model(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
            sums.append(sum(float(values[place - 1, whole[place]]) for place in range(len(start), len(whole))))
        right += sums.index(max(sums)) == number % 2
    return right / len(THINGS)


def test_task_gives_the_harness_numbers(
    context: Callable[..., Any], own_task: str, subject: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = context(LmEvalTask(type="lm_eval", tasks=[own_task], likelihood=LikelihoodSettings(batch_size=4)))
    made.progress = True
    result = run(made)
    # The harness' own bars, its warnings and those of git stand in a file of the report; the terminal has one bar.
    shown = capfd.readouterr()
    assert shown.out == "" and "lm_eval: tuned  16 texts" in shown.err
    assert result.write_files is not None
    result.write_files(tmp_path)
    kept = (tmp_path / "lm_eval.log").read_text()
    assert "Running loglikelihood requests" in kept and "Running loglikelihood" not in shown.err
    scores = {score.metric: score for score in result.scores["tuned"]}
    assert set(scores) == {"door_quiz.acc", "door_quiz.acc_norm"}
    accuracy = scores["door_quiz.acc"]
    assert (accuracy.n, accuracy.better) == (8, "higher")
    assert accuracy.low is not None
    assert "lm-evaluation-harness" in accuracy.made_with
    assert accuracy.value == pytest.approx(plain_accuracy(subject))
    difference = next(item for item in result.differences if item.metric == "door_quiz.acc")
    base = next(score.value for score in result.scores["base"] if score.metric == "door_quiz.acc")
    assert difference.value == pytest.approx(accuracy.value - base)
    assert difference.n == 8
    values = result.examples.query("model == 'tuned' and metric == 'acc'")["value"]
    assert values.mean() == pytest.approx(accuracy.value)


def test_unknown_task_offers_the_nearest(own_task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import lm_eval.tasks

    whole = lm_eval.tasks.TaskManager
    # The harness' own list takes a minute to read; here it holds the folder's task only.
    monkeypatch.setattr(
        lm_eval.tasks,
        "TaskManager",
        lambda include_path, include_defaults=True: whole(include_path=include_path, include_defaults=False),
    )
    with pytest.raises(UserError, match=r"no task 'door_quizz'\. Did you mean 'door_quiz'\?"):
        harness_task.task_manager(["door_quizz"])
    monkeypatch.setenv("STUDIO_LM_EVAL_TASKS", "/nowhere")
    with pytest.raises(UserError, match="is no folder"):
        harness_task.task_manager(["door_quiz"])


def test_data_that_cannot_be_had(context: Callable[..., Any], own_task: str, tmp_path: Path) -> None:
    (tmp_path / "tasks" / "quiz.jsonl").unlink()
    with pytest.raises(NotComputedError, match="could not run door_quiz"):
        run(context(LmEvalTask(type="lm_eval", tasks=[own_task])))


def test_a_model_behind_a_server_is_not_for_the_harness(context: Callable[..., Any], own_task: str) -> None:
    from contextlib import nullcontext
    from types import SimpleNamespace

    made = context(LmEvalTask(type="lm_eval", tasks=[own_task]))
    made.open_subject = lambda label: nullcontext(SimpleNamespace(about={"name": "http://somewhere/v1"}))
    with pytest.raises(NotComputedError, match="needs the model in this process, and .* is not"):
        run(made)


def test_a_figure_that_is_no_mean_keeps_the_harness_own_error(context: Callable[..., Any]) -> None:
    results = {
        "results": {"t": {"alias": "t", "word_perplexity,none": 12.0, "word_perplexity_stderr,none": 0.5, "f1,strict": 0.4}},
        "higher_is_better": {"t": {"word_perplexity": False}},
        "samples": {"t": [{"doc_id": n, "filter": "none", "word_perplexity": [1.0, 2]} for n in range(10)]},
    }
    found = metrics_of(results)
    assert set(found) == {"t.word_perplexity", "t.f1.strict"}
    assert found["t.word_perplexity"].statistic is None
    made = context(LmEvalTask(type="lm_eval", tasks=["t"]))
    result = harness_task._result(made, {"tuned": found, "base": found}, [])
    perplexity = result.scores["tuned"][0]
    assert (perplexity.low, perplexity.high) == (pytest.approx(11.02), pytest.approx(12.98))
    assert perplexity.better == "lower"
    assert result.differences[0].verdict == "not computed"


def test_command_line_name_becomes_a_suite() -> None:
    suite = load_suite("lm-eval:arc_easy,hellaswag", ["tasks.0.limit=5", "tasks.0.fewshot=2"])
    assert suite.name == "lm-eval-arc_easy-hellaswag"
    assert suite.tasks[0].tasks == ["arc_easy", "hellaswag"]
    assert (suite.tasks[0].limit, suite.tasks[0].fewshot) == (5, 2)
    with pytest.raises(UserError, match="names no task"):
        load_suite("lm-eval:")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setattr("studio.evals.suites.available", lambda name: False)
    with pytest.raises(MissingExtraError, match=r"finetuning-studio\[lm-eval\]"):
        load_suite("lm-eval:arc_easy")
