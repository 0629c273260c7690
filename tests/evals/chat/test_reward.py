"""A reward model on held-out pairs, and as a metric of other models' answers."""

from __future__ import annotations

import json

import pytest
import yaml

from studio.adapters.chat.scoring import load_scoring_run
from studio.core.workspace import Workspace
from studio.schema.suite import Suite
from tests.train.chat.test_preference import pairs
from tests.train.conftest import PRESET, Trainer, write_dataset


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Workspace:
    """A workspace for the runs."""
    return Workspace.open(tmp_path_factory.mktemp("rewards") / "workspace")


@pytest.fixture(scope="module")
def runs(own, lively_base, tmp_path_factory):
    """A reward model and a model that writes, both trained on the same questions; the test split holds 12 others."""
    workspace, tmp_path = own, tmp_path_factory.mktemp("presets")
    rows = pairs(31)
    write_dataset(workspace, rows[:19], rows[19:])
    preset = tmp_path / "reward.yaml"
    preset.write_text(yaml.safe_dump({**PRESET, "objective": "reward", "epochs": 3, "learning_rate": 0.01}))
    judge, _ = Trainer(workspace, lively_base, preset).train()
    preset = tmp_path / "dpo.yaml"
    preset.write_text(yaml.safe_dump({**PRESET, "objective": "dpo", "epochs": 4, "learning_rate": 0.03}))
    writer, _ = Trainer(workspace, lively_base, preset).train()
    return judge, writer


def scores_of(result) -> dict[str, dict]:
    return {item["metric"]: item for item in json.loads((result / "scores.json").read_text())["scores"]["tuned"]}


def newest(folder):
    return max(folder.glob("evals/*/*"), key=lambda path: path.stat().st_mtime)


def test_pairs_and_answers_are_scored(runs, studio, own):
    judge, writer = runs
    done = studio("--workspace", own.root, "eval", "reward", "--model", judge.parent.name, "--set", "tasks.0.limit=12")
    assert done.code == 0, done.err
    found = scores_of(newest(judge))
    rows = pairs(31)[19:]
    scorer = load_scoring_run(judge)
    ids = [scorer.encode(row.messages, answer) for row in rows for answer in (row.chosen, row.rejected)]
    plain = scorer.scores(ids, batch_size=16)
    right = sum(one > two for one, two in zip(plain[0::2], plain[1::2], strict=True))
    accuracy = found["pairs.accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (right / 12, 12) and accuracy["low"] < accuracy["value"] <= accuracy["high"]
    assert found["pairs.chosen_score"]["value"] == pytest.approx(sum(plain[0::2]) / 12, abs=1e-4)

    asked = ["--set", f"tasks.0.reward={judge.parent.name}", "--set", "generation.max_new_tokens=16"]
    done = studio("--workspace", own.root, "eval", "rewarded", "--model", writer.parent.name, *asked)
    assert done.code == 0, done.err
    report = json.loads((newest(writer) / "scores.json").read_text())
    assert [item["metric"] for item in report["scores"]["base"]] == ["reward.reward", "reward.words"]
    first = report["differences"][0]
    assert first["metric"] == "reward.reward" and first["n"] == 12 and first["low"] <= first["value"] <= first["high"]


def test_what_cannot_be_scored_is_said(runs, studio, own):
    judge, writer = runs
    for suite, model, said in (
        ("reward", writer, "is no reward model"),
        ("rewarded", writer, "no reward model is named"),
        ("chatbot", judge, "is a reward model: it scores answers and writes none"),
    ):
        done = studio("--workspace", own.root, "eval", suite, "--model", model.parent.name)
        assert said in done.err + done.out, (suite, done.err)


def test_a_reward_model_alone_lets_nothing_pass():
    with pytest.raises(ValueError, match="opinion alone lets nothing pass"):
        Suite(name="x", tasks=[{"type": "reward"}], thresholds=[{"metric": "reward.reward", "at_least": 0}])
