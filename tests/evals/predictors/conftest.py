"""A workspace with tables and texts, and predictors trained on them by the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from studio.data.chat.rows import ChatRow
from tests.conftest import call_studio
from tests.evals.conftest import write_dataset

CREDIT = """kind: table
name: credit
sources:
  - {type: local, path: credit.csv, licence: own data}
target: risk
protected: [sex]
split: {validation: 0.15, test: 0.3, seed: 0}
"""


def credit_rows(count: int = 700) -> str:
    """People with a debt, an income and a job; who repays follows from them, and is less sure for women."""
    import numpy as np

    generator = np.random.default_rng(0)
    debt, income = generator.normal(10, 3, count).round(2), generator.normal(30, 8, count).round(2)
    job, sex = generator.choice(["cook", "clerk", "smith"], count), generator.choice(["f", "m"], count)
    noise = generator.normal(0, np.where(sex == "f", 5.0, 0.7), count)
    good = 0.25 * (income - 30) - 0.6 * (debt - 9) + 1.0 * (job == "smith") + noise > -0.8
    lines = zip(debt, income, job, sex, np.where(good, "repaid", "failed"), strict=True)
    return "debt,income,job,sex,risk\n" + "\n".join(",".join(map(str, line)) for line in lines) + "\n"


def topic_rows(prefix: str, count: int, start: int) -> list[ChatRow]:
    """Short questions on two topics, two of each person."""
    words = {"doors": ("door", "handle", "lock"), "roofs": ("roof", "tile", "gutter")}
    states = ("old", "broken", "green")
    rows = []
    for place in range(count):
        topic = "roofs" if place % 7 == 0 else ("doors", "roofs")[place % 2]
        asked = f"The {words[topic][place % 3]} of house {place + start} is {states[place % 3]}."
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": "I see."}]
        known = {"topic": topic, "size": float(place), "dialect": "north" if place % 3 else "south"}
        rows.append(ChatRow(f"{prefix}-{place}", messages, "topics", f"person {prefix} {place // 2}", known))
    return rows


@pytest.fixture(scope="session")
def predictors_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace that tests copy."""
    folder = tmp_path_factory.mktemp("predictors")
    space = ["--workspace", folder / "workspace"]
    (folder / "credit.csv").write_text(credit_rows())
    (folder / "credit.yaml").write_text(CREDIT)
    for recipe in (folder / "credit.yaml", "table/diabetes"):
        assert call_studio("data", "build", recipe, *space) == 0
    workspace = Workspace.open(folder / "workspace")
    splits = {
        "train": topic_rows("train", 80, 0),
        "validation": topic_rows("validation", 20, 100),
        "test": topic_rows("test", 60, 200),
    }
    write_dataset(workspace, "topics", splits)
    for preset, data, *settings in (
        ("classify/logistic", "credit", "threshold=tuned"),
        ("regress/ridge", "diabetes"),
        ("classify/logistic", "topics", "target=topic"),
    ):
        changed = [part for setting in settings for part in ("--set", setting)]
        assert call_studio("train", preset, "--data", data, "--name", data, *changed, *space) == 0
    return workspace.root


@pytest.fixture
def predictors(predictors_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of the test's own with the datasets and runs ``credit``, ``diabetes`` and ``topics``."""
    root = tmp_path / "workspace"
    shutil.copytree(predictors_made, root)
    monkeypatch.setenv("STUDIO_WORKSPACE", str(root))
    return Workspace.open(root)
