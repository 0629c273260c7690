"""The whole road of each objective of preferences on the starter: a few rows, a plan, a training, words that come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.workspace import Workspace, read_run
from tests.conftest import THINGS, Result

pytestmark = [pytest.mark.starter, pytest.mark.long]

Studio = Callable[..., Result]
SMALL = ("max_steps=2", "batch_size=2", "max_length=96", "eval_every=2")
RECIPE = """kind: chat
sources:
  - {type: local, path: pairs.jsonl, format: preference, licence: own data}
split: {validation: 2, test: 2}
"""
TALK = RECIPE.replace("pairs", "talk").replace("format: preference, ", "")


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, studio: Studio) -> Workspace:
    """A workspace with a Dataset of pairs and one of conversations."""
    pairs = [
        {"prompt": f"How wide must a {thing} be?", "chosen": f"At least {number} centimetres.", "rejected": "No idea at all."}
        for number, thing in enumerate(THINGS)
    ]
    talk = [{"question": row["prompt"], "answer": row["chosen"]} for row in pairs]
    for name, rows, recipe in (("pairs", pairs, RECIPE), ("talk", talk, TALK)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
        (tmp_path / f"{name}.yaml").write_text(recipe, encoding="utf-8")
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path / "workspace"))
    for name in ("pairs", "talk"):
        done = studio("data", "build", tmp_path / f"{name}.yaml")
        assert done.code == 0, done.err
    return Workspace.open(tmp_path / "workspace")


def options() -> list[str]:
    return [part for setting in SMALL for part in ("--set", setting)]


@pytest.mark.parametrize("preset", ["chat/ipo", "chat/orpo", "chat/simpo", "chat/cpo"])
def test_a_preset_goes_its_whole_road(preset: str, space: Workspace, studio: Studio) -> None:
    planned = studio("plan", preset, "--data", "pairs", *options(), "--json")
    assert planned.code == 0, planned.err
    trained = studio("train", preset, "--data", "pairs", "--name", "judged", *options())
    assert trained.code == 0, trained.err
    run = space.find_run("judged")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {"accuracy", "reward_margin", "chosen_logprob", "rejected_logprob"} <= lines[0].keys()
    assert {"eval_loss", "eval_accuracy", "eval_reward_margin"} <= lines[-1].keys()
    assert planned.json["trained_parameters"] == read_run(run).result["trained_parameters"]
    assert "per pair" in trained.out


def test_a_run_on_conversations_goes_on_with_what_people_preferred(space: Workspace, studio: Studio) -> None:
    first = studio("train", "chat/lora", "--data", "talk", "--name", "first", *options())
    assert first.code == 0, first.err
    planned = studio("plan", "chat/dpo", "--data", "pairs", "--model", "first", *options(), "--json")
    assert planned.code == 0 and any("rank 32, lora.rank and rank 16 of the run" in line for line in planned.json["serving"])
    second = studio("train", "chat/dpo", "--data", "pairs", "--model", "first", "--name", "second", *options())
    assert second.code == 0, second.err
    record = read_run(space.find_run("second"))
    assert f"--baseline {record.start['run']}" in second.out and record.base["name"] == "smollm2-135m-instruct"
    merged = studio("export", "second", "--to", "merged")
    assert merged.code == 0, merged.err
