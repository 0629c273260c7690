"""A project whose run is in use, and people who have said what was wrong with its answers."""

from __future__ import annotations

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
from tests.conftest import Project

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
        "sft_settings": ["epochs=6"], "held_out": 0.2, "replay": 0.3,
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


@pytest.fixture
def in_use(project: Project) -> InUse:
    """The tiny run in use, nothing said yet."""
    run = f"{project.run.parent.name}/{project.run.name}"
    made = InUse(project.folder, project.workspace, run)
    (project.folder / "evals").mkdir()
    (project.folder / "evals" / "rails.yaml").write_text(SUITE, encoding="utf-8")
    made.rules()
    promote(made.aliases, "production", "doors", run)
    return made


@pytest.fixture
def now() -> float:
    """A whole hour, some days ago, so that nothing that is made is dated in the future."""
    return time.time() // 3600 * 3600
