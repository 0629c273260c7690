"""A project whose run is in use, and people who have said what was wrong with its answers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.core.workspace import Workspace
from studio.feedback.store import FILE_NAME, FeedbackStore, Origin
from studio.serve.aliases import promote
from studio.serve.state import StatePaths
from tests.conftest import PRESET, RECIPE, call_studio, write_doors

SUITE = """name: rails
description: Rails and doors.
metrics: [perplexity, chrf]
generation: {max_new_tokens: 8}
resamples: 100
thresholds:
  - {metric: perplexity, at_most_of_base: 1.5}
"""


def project_yaml(**changes: Any) -> dict[str, Any]:
    """A whole project file with rules that fit a tiny model."""
    improve = {
        "judgements": 10, "people": 2, "preferences": "none", "general": None, "sft": "small.yaml", "promote": "rule",
        "sft_settings": ["epochs=4"], "held_out": 0.2, "replay": 0.3,
        "canary": None,
    }  # fmt: skip
    rules = {"embeddings": "off"}
    return {
        "name": "rails",
        "task": "Answer questions on rails.",
        "audience": "Craftsmen.",
        "success": [{"metric": "perplexity", "at_most": 20}],
        "data": {"recipe": "chat/rails", "rights": "ours", "personal": "none"},
        "watch": {"owner": "me", "signals": ["thumbs"], "stop_when": "never", "rules": rules | changes.pop("rules", {})},
        "improve": improve | changes,
    }


@dataclass
class InUse:
    """A project folder with ``project.yaml``, a suite, and a run behind ``production``."""

    folder: Path
    workspace: Workspace
    run: str

    @property
    def store(self) -> FeedbackStore:
        return FeedbackStore(self.workspace.root / FILE_NAME)

    @property
    def aliases(self) -> Path:
        return StatePaths.of(self.workspace).aliases

    def rules(self, **changes: Any) -> None:
        (self.folder / "project.yaml").write_text(yaml.safe_dump(project_yaml(**changes)), encoding="utf-8")

    def correct(self, questions: Iterable[tuple[str, str]], users: Iterable[str] = ("ada", "ben", "eve")) -> None:
        """People correct the answers to questions, one after the other."""
        names, store = list(users), self.store
        for number, (question, answer) in enumerate(questions):
            origin = Origin(self.run, names[number % len(names)], "chat")
            store.correct(origin, prompt=[{"role": "user", "content": question}], completion="I do not know.", correction=answer)
        store.close()


PARTS = ("ladder", "ramp", "gutter", "hinge", "lintel", "gable", "porch", "skylight", "cellar", "attic", "shutter", "awning")
WORK = ("paint", "measure", "insure", "replace", "oil", "report", "photograph", "dismantle", "clean", "inspect")


def rails(count: int, start: int = 0) -> list[tuple[str, str]]:
    """Questions that no row of the project asks and that differ from each other, with answers of one form."""
    asked = [f"Who may {work} the {part}?" for work in WORK for part in PARTS]
    return [(question, "Ask the owner of the house about it.") for question in asked[start : start + count]]


@pytest.fixture(scope="session")
def project_in_use(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that tests copy: twelve test rows, so that a gate can be met, and one run."""
    folder = tmp_path_factory.mktemp("loop") / "rails"
    write_doors(folder)
    (folder / "doors.yaml").write_text(RECIPE.replace("test: 6", "test: 12"), encoding="utf-8")
    (folder / "small.yaml").write_text(PRESET, encoding="utf-8")
    (folder / "evals").mkdir()
    (folder / "evals" / "rails.yaml").write_text(SUITE, encoding="utf-8")
    space = ["--workspace", folder / "workspace"]
    assert call_studio("data", "build", folder / "doors.yaml", *space) == 0
    training = ["train", folder / "small.yaml", "--data", "doors", "--model", tiny_base, "--name", "doors"]
    assert call_studio(*training, "--set", "epochs=1", *space) == 0
    return folder


def opened(original: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> InUse:
    """A copy of a project, its workspace the one that commands use."""
    shutil.copytree(original, folder)
    workspace = Workspace.open(folder / "workspace")
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    found = workspace.find_run("doors")
    return InUse(folder, workspace, f"{found.parent.name}/{found.name}")


@pytest.fixture
def in_use(project_in_use: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InUse:
    """The tiny run in use, nothing said yet."""
    made = opened(project_in_use, tmp_path / "rails", monkeypatch)
    made.rules()
    promote(made.aliases, "production", "doors", made.run)
    return made


@pytest.fixture(scope="session")
def project_waiting(project_in_use: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first round has made a better model and waits for a yes."""
    with pytest.MonkeyPatch.context() as patch:
        made = opened(project_in_use, tmp_path_factory.mktemp("waiting") / "rails", patch)
        made.rules(promote="ask")
        promote(made.aliases, "production", "doors", made.run)
        made.correct(rails(40))
        assert call_studio("improve", made.folder) == 0
    return made.folder


@pytest.fixture
def waiting(project_waiting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InUse:
    """A copy of the project that waits for a yes."""
    return opened(project_waiting, tmp_path / "rails", monkeypatch)


@pytest.fixture
def now() -> float:
    """A whole hour, some days ago, so that nothing that is made is dated in the future."""
    return time.time() // 3600 * 3600
