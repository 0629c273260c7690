"""The whole road of distillation and of reward models on the starter: rows, plan, training, and what comes of it."""

from __future__ import annotations

import json

import pytest

from studio.adapters.chat.scoring import load_scoring_run
from studio.core.workspace import Workspace

pytestmark = [pytest.mark.starter, pytest.mark.long]

SHORT = ("max_length=64", "batch_size=2", "max_steps=2", "eval_every=2", "epochs=4", "lora.rank=2")


@pytest.fixture
def road(tmp_path, studio):
    """Call ``studio`` in a workspace of its own, on rows of a file."""
    rows = [{"question": f"How wide is door {number}?", "answer": f"It is {number} metres wide."} for number in range(12)]
    pairs = [{"prompt": row["question"], "chosen": row["answer"], "rejected": "I am not sure about that at all."} for row in rows]
    for name, lines in (("rows", rows), ("pairs", pairs)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
        (tmp_path / f"{name}.yaml").write_text(
            f"kind: chat\ndescription: Doors.\nsources:\n  - {{type: local, path: {tmp_path}/{name}.jsonl, licence: own data}}\n"
            "split: {validation: 2, test: 4}\n"
        )

    def call(*arguments):
        done = studio("--workspace", tmp_path / "workspace", *arguments)
        assert done.code == 0, done.err
        return done

    for name in ("rows", "pairs"):
        call("data", "build", tmp_path / f"{name}.yaml")
    return call, Workspace.open(tmp_path / "workspace")


def settings(*more):
    return [part for setting in (*SHORT, *more) for part in ("--set", setting)]


def test_the_starter_teaches_a_small_adapter(road):
    call, workspace = road
    teacher = settings("distill.teacher=smollm2-135m-instruct", "distill.top_k=8")
    plan = json.loads(call("--json", "plan", "chat/distill", "--data", "rows", *teacher).out)
    assert plan["disk"]["teacher"] > 0 and any("asked once" in line for line in plan["assumptions"])
    call("train", "chat/distill", "--data", "rows", "--name", "taught", *teacher)
    run = workspace.find_run("taught")
    about = json.loads((run / "checkpoints" / "teacher" / "teacher.json").read_text())
    assert about["top_k"] == 8 and about["name"] == "smollm2-135m-instruct"
    call(
        "eval",
        "chatbot",
        "--model",
        "taught",
        "--set",
        "metrics=[perplexity]",
        "--set",
        "compare_by=null",
        "--set",
        "thresholds=[]",
    )


def test_a_reward_model_judges_the_answers_of_another(road):
    call, workspace = road
    assert json.loads(call("--json", "plan", "chat/reward", "--data", "pairs", *settings()).out)["parts"]["logits"] == 0
    call("train", "chat/reward", "--data", "pairs", "--name", "judge", *settings())
    scorer = load_scoring_run(workspace.find_run("judge"))
    ids = scorer.encode([{"role": "user", "content": "How wide is door 3?"}], "It is 3 metres wide.")
    assert isinstance(scorer.scores([ids], batch_size=1)[0], float)
    call("eval", "reward", "--model", "judge", "--baseline", "none")
    asked = ["--set", "tasks.0.reward=judge", "--set", "tasks.0.data.dataset=pairs", "--set", "generation.max_new_tokens=4"]
    call("eval", "rewarded", "--model", "smollm2-135m-instruct", "--baseline", "none", *asked)
