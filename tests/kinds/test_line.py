"""A kind from outside goes the whole road through the command line, which knows nothing of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from studio.data.kinds import DATASET_KINDS
from studio.evals.tasks import SETTINGS, TASKS
from studio.train.kinds import RUN_KINDS
from tests.conftest import Result
from tests.kinds import line

Studio = Callable[..., Result]

RECIPE = """kind: numbers
sources:
  - {type: local, path: heights.csv, licence: own data}
test: 5
"""
SUITE = """name: line
description: How far the line is from held-out pairs.
tasks:
  - {type: line}
thresholds:
  - {metric: line.mean_absolute_error, at_most: 0.01}
"""


@pytest.fixture
def project(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with numbers on a line (y = 3 x + 2), a recipe, a preset and a suite; the kinds are known in this test only."""
    for table in (DATASET_KINDS, RUN_KINDS, TASKS, SETTINGS):
        monkeypatch.setattr(table, "_targets", dict(table._targets))
    line.register()
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    with (tmp_path / "heights.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["x", "y"])
        writer.writerows([[number, 3 * number + 2] for number in range(20)])
        writer.writerow(["twenty", "sixty-two"])
    (tmp_path / "heights.yaml").write_text(RECIPE)
    (tmp_path / "line.yaml").write_text("kind: line\n")
    (tmp_path / "suite.yaml").write_text(SUITE)
    return tmp_path


@pytest.fixture
def trained(project: Path, studio: Studio) -> Path:
    """The project with a Dataset and a Run."""
    assert studio("data", "build", project / "heights.yaml").code == 0
    assert studio("train", project / "line.yaml", "--data", "heights", "--name", "straight").code == 0
    return project


def test_it_is_built_with_a_reason_for_what_went_and_found_again(project: Path, studio: Studio) -> None:
    built = studio("data", "build", project / "heights.yaml")
    assert built.code == 0 and "21 read, 1 removed" in built.out, built.err
    assert studio("data", "build", project / "heights.yaml").out.startswith("found unchanged")
    shown = studio("data", "show", "heights", "--removed")
    assert "no pair of numbers" in shown.out and "twenty" in shown.out
    rows = studio("data", "show", "heights", "--json").json
    assert len(rows) == 15 and all(row["y"] == 3 * row["x"] + 2 for row in rows)
    assert "numbers" in studio("data", "list").out


def test_it_is_planned_trained_told_and_listed(trained: Path, studio: Studio) -> None:
    planned = studio("plan", trained / "line.yaml", "--data", "heights")
    assert planned.code == 0 and "numbers that train  2" in planned.out
    again = studio("train", trained / "line.yaml", "--data", "heights", "--set", "through_origin=true")
    assert again.code == 0 and "line   y =" in again.out and "Next: studio eval line --model heights-line/" in again.out
    told = studio("train", trained / "line.yaml", "--data", "heights", "--json").json
    assert told["kind"] == "line" and told["result"]["slope"] == pytest.approx(3) and told["status"] == "finished"
    listed = studio("runs", "list").out
    assert "straight" in listed and listed.count("finished") == 3
    assert "result" in studio("runs", "show", "straight").out
    assert "slope" in studio("runs", "compare", "straight", "heights-line").out
    card = (Path(told["run"]) / "README.md").read_text()
    assert "least squares" in card and "own data" in card


def test_it_is_measured_beside_always_saying_the_mean_and_gated(trained: Path, studio: Studio) -> None:
    done = studio("eval", trained / "suite.yaml", "--model", "straight", "--gate", "--json")
    assert done.code == 0, done.err
    scores = {label: found[0]["value"] for label, found in done.json["scores"].items()}
    assert scores["tuned"] < 1e-9 < 1 < scores["base"]
    assert "line.mean_absolute_error" in (trained / "workspace" / "runs").glob("*/*/README.md").__next__().read_text()
    assert "line" in studio("runs", "list").out


def test_its_mistakes_are_one_sentence(trained: Path, studio: Studio) -> None:
    chats = trained / "chats.jsonl"
    chats.write_text("\n".join(json.dumps({"question": f"How high is {n}?", "answer": f"{n} m."}) for n in range(12)))
    recipe = trained / "chats.yaml"
    recipe.write_text(
        "kind: chat\nsources:\n  - {type: local, path: chats.jsonl, licence: own data}\nsplit: {validation: 2, test: 2}\n"
    )
    assert studio("data", "build", recipe).code == 0
    wrong = studio("train", trained / "line.yaml", "--data", "chats")
    assert wrong.code == 2 and "holds chat rows, and this preset trains on pairs of numbers" in wrong.err
    typo = studio("train", trained / "line.yaml", "--data", "heights", "--set", "through_orgin=true")
    assert typo.code == 2 and "Did you mean 'through_origin'?" in typo.err
    foreign = studio("data", "show", "heights", "--tokens")
    assert foreign.code == 2 and "holds pairs of numbers; --tokens is for conversations" in foreign.err
    other = studio("train", "chat/lora", "--data", "heights")
    assert other.code == 2 and "holds numbers rows, and this preset trains on conversations" in other.err


def test_without_it_the_studio_says_what_it_knows(trained: Path, studio: Studio) -> None:
    for table, name in ((DATASET_KINDS, "numbers"), (RUN_KINDS, "line")):
        del table._targets[name]
    unknown = studio("data", "show", "heights")
    assert unknown.code == 1 and "of kind 'numbers', and this studio knows chat, image" in unknown.err
    assert studio("data", "list").code == 0 and studio("runs", "list").code == 0 and studio("runs", "show", "straight").code == 0
    resumed = studio("train", trained / "line.yaml", "--data", "heights")
    assert resumed.code == 2 and "'kind' is 'line'" in resumed.err and "Allowed: chat, diffusion, gan, vae." in resumed.err
