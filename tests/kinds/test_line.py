"""A kind from outside goes the whole road through the command line, which knows nothing of it."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import create_model

from studio.core.errors import UserError
from studio.core.files import write_json
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run
from studio.data.kinds import DATASET_KINDS
from studio.evals.images.drawing import open_samplers
from studio.evals.task import NotComputedError
from studio.evals.tasks import SETTINGS, TASKS
from studio.schema.loading import Settings
from studio.train.kinds import RUN_KINDS
from tests.conftest import Result
from tests.kinds import line
from tests.kinds.test_house import ROOT, program_of

Studio = Callable[..., Result]

RECIPE = """kind: numbers
sources:
  - {type: local, path: heights.csv, licence: own data}
test: 20
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
        writer.writerows([[number, 3 * number + 2] for number in range(80)])
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
    assert built.code == 0 and "81 read, 1 removed" in built.out, built.err
    assert studio("data", "build", project / "heights.yaml").out.startswith("found unchanged")
    shown = studio("data", "show", "heights", "--removed")
    assert "no pair of numbers" in shown.out and "twenty" in shown.out
    rows = studio("data", "show", "heights", "--json").json
    assert len(rows) == 20 and all(row["y"] == 3 * row["x"] + 2 for row in rows)
    assert "numbers" in studio("data", "list").out


def test_it_is_planned_trained_told_and_listed(trained: Path, studio: Studio) -> None:
    planned = studio("plan", trained / "line.yaml", "--data", "heights")
    assert planned.code == 0 and "numbers that train  2" in planned.out
    again = studio("train", trained / "line.yaml", "--data", "heights", "--set", "through_origin=true")
    assert again.code == 0 and "line  y =" in again.out and "time" in again.out and "steps" not in again.out
    assert "Next:" not in again.out  # there is no suite called line yet
    told = studio("train", trained / "line.yaml", "--data", "heights", "--json").json
    assert told["kind"] == "line" and told["result"]["slope"] == pytest.approx(3) and told["status"] == "finished"
    listed = studio("runs", "list").out
    assert "straight" in listed and listed.count("finished") == 3
    assert "result" in studio("runs", "show", "straight").out
    assert "slope" in studio("runs", "compare", "straight", "heights-line").out
    card = (Path(told["run"]) / "README.md").read_text()
    assert "least squares" in card and "own data" in card


def test_a_suite_that_can_be_found_comes_next(trained: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    (trained / "evals").mkdir()
    (trained / "suite.yaml").rename(trained / "evals" / "line.yaml")
    monkeypatch.chdir(trained)
    again = studio("train", trained / "line.yaml", "--data", "heights")
    assert "Next: studio eval line --model heights-line/" in again.out
    assert studio("eval", "line", "--model", "straight", "--gate").code == 0


def test_what_other_kinds_do_is_refused_without_a_guess(trained: Path, studio: Studio, workspace: Workspace) -> None:
    for command in (
        ["serve", "straight"],
        ["chat", "straight"],
        ["export", "straight"],
        ["eval", "chatbot", "--model", "straight"],
    ):
        refused = studio(*command)
        said = "holds pairs of numbers, not conversations" if "chatbot" in command else "of kind 'line'"
        assert refused.code == 2 and said in refused.err, (command, refused.err)
        assert "app image" not in refused.err and "--resume" not in refused.err, refused.err
    kohya = studio("export", "straight", "--to", "kohya")
    assert kohya.code == 2 and "kind 'line'" in kohya.err and "--to merged" not in kohya.err
    run = workspace.find_run("straight")
    with pytest.raises(NotComputedError, match="not a run that makes pictures"):
        next(open_samplers(SimpleNamespace(run=read_run(run), run_folder=run), []))


def test_a_plan_looks_at_what_it_is_given(trained: Path, studio: Studio) -> None:
    wrong = studio("plan", trained / "line.yaml", "--data", "nope")
    assert wrong.code == 2 and "nope" in wrong.err
    probed = studio("plan", trained / "line.yaml", "--data", "heights", "--probe")
    assert probed.code == 2 and "--probe measures steps" in probed.err


def test_a_report_that_is_not_there_is_not_told(trained: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "report.html" in studio("data", "build", trained / "heights.yaml").out
    monkeypatch.setattr(line, "write_text", lambda *_: None)
    assert "report.html" not in studio("data", "build", trained / "heights.yaml", "--set", "test=4").out


def test_its_rows_have_their_own_columns_on_the_page(trained: Path, workspace: Workspace) -> None:
    from studio.apps.data import _Page

    folder = workspace.find_dataset("heights")
    page = _Page(workspace, folder)
    name = f"{folder.parent.name}/{folder.name}"
    table = page.first_page(name, "test", "", "")[2]
    assert table["headers"] == ["id", "x", "y"] and len(table["value"]) == 15 and all(map(all, table["value"]))
    removed = page.first_page(name, "removed", "", "any reason")[2]
    assert removed["headers"] == ["id", "reason", "found"] and "twenty" in removed["value"][0][2]


def test_annotating_begins_with_the_newest_conversations(trained: Path, workspace: Workspace) -> None:
    from studio.apps.annotate import build

    with pytest.raises(UserError, match="no dataset to annotate"):
        build(workspace)


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
    assert wrong.code == 2 and "holds conversations, and this preset trains on pairs of numbers" in wrong.err
    typo = studio("train", trained / "line.yaml", "--data", "heights", "--set", "through_orgin=true")
    assert typo.code == 2 and "Did you mean 'through_origin'?" in typo.err
    foreign = studio("data", "show", "heights", "--tokens")
    assert foreign.code == 2 and "holds pairs of numbers; --tokens is for conversations" in foreign.err
    other = studio("train", "chat/lora", "--data", "heights")
    assert other.code == 2 and "holds pairs of numbers, and this preset trains on conversations" in other.err


def test_what_is_no_line_is_said_and_measured_nowhere(trained: Path, studio: Studio, workspace: Workspace) -> None:
    chat = workspace.runs / "talker" / "20260101-000000-talker0"
    chat.mkdir(parents=True)
    record = RunRecord(
        kind="chat",
        name="talker",
        id="talker0",
        status="finished",
        created="2026-01-01",
        method="lora",
        base={},
        dataset={},
        seed=0,
    )
    write_json(chat / "run.json", record.model_dump(mode="json"))
    for model in ("talker", "http://127.0.0.1:9/v1#x"):
        done = studio("eval", trained / "suite.yaml", "--model", model, "--baseline", "none", "--data", "heights")
        assert done.code == 2 and "is no finished run of kind 'line'" in done.out and "bug" not in done.err, done.err
    other = studio("eval", trained / "suite.yaml", "--model", "straight", "--baseline", "talker")
    assert "talker0 is no finished run of kind 'line'" in other.out


def test_another_line_is_a_baseline(trained: Path, studio: Studio) -> None:
    assert studio("train", trained / "line.yaml", "--data", "heights", "--name", "flat", "--set", "through_origin=true").code == 0
    done = studio("eval", trained / "suite.yaml", "--model", "straight", "--baseline", "flat", "--json")
    assert 0 < done.json["scores"]["base"][0]["value"] < 3


def test_a_recipe_without_a_name_is_called_by_its_file(trained: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = create_model(
        "Nameless",
        __base__=Settings,
        **{name: (field.annotation, field) for name, field in line.NumbersRecipe.model_fields.items() if name != "name"},
    )
    monkeypatch.setattr(line.NumbersKind, "schema", nameless)
    built = studio("data", "build", trained / "heights.yaml")
    assert built.code == 0 and "heights/" in built.out, built.err


@pytest.mark.long
def test_the_program_and_the_commands_of_the_page_do_what_it_says(project: Path, workspace: Workspace) -> None:
    page = (ROOT / "docs" / "kinds.md").read_text(encoding="utf-8")
    recipe, preset, suite = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert (recipe, suite) == (RECIPE, SUITE) and preset == (project / "line.yaml").read_text()
    (project / "evals").mkdir()
    (project / "evals" / "line.yaml").write_text(suite)
    (project / "mine.py").write_text(program_of(page))
    shutil.copy(ROOT / "tests" / "kinds" / "line.py", project)
    commands = [line.split()[1:] for line in page.splitlines() if line.startswith("    python mine.py ")]
    assert len(commands) == 6
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STUDIO_WORKSPACE": str(workspace.root)}
    for command in commands:
        done = subprocess.run(
            [sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
    assert "straight" in done.stdout


def test_without_it_the_studio_says_what_it_knows(trained: Path, studio: Studio) -> None:
    for table, name in ((DATASET_KINDS, "numbers"), (RUN_KINDS, "line")):
        del table._targets[name]
    unknown = studio("data", "show", "heights")
    assert unknown.code == 1 and "of kind 'numbers', and this studio knows chat, image" in unknown.err
    assert "register the kind" in unknown.err and "docs/kinds.md" in unknown.err
    assert studio("data", "list").code == 0 and studio("runs", "list").code == 0 and studio("runs", "show", "straight").code == 0
    resumed = studio("train", trained / "line.yaml", "--data", "heights")
    assert (
        resumed.code == 2
        and "'kind' is 'line'" in resumed.err
        and "Allowed: chat, classifier, clusters, diffusion, embedding, forecast, gan, regressor, reranker, vae." in resumed.err
    )
