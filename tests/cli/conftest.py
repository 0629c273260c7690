"""Runs of all sorts in a workspace."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from studio.core.files import write_json
from studio.core.workspace import Workspace


def gone_pid() -> int:
    """The number of a process that has ended."""
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    return int(done.stdout)


def add_run(workspace: Workspace, name: str, status: str = "finished", **changes: Any) -> Path:
    """Write a run folder as the trainer leaves it."""
    identity = changes.pop("id", f"{len(list(workspace.runs.glob('*/*'))):04x}")
    folder = workspace.runs / name / f"20260101-1200{len(list(workspace.runs.glob('*/*'))):02d}-{identity}"
    record = {
        "format": 1, "kind": "chat", "name": name, "id": identity, "status": status, "created": "2026-01-01T12:00:00+00:00",
        "method": "lora", "base": {"name": "tiny", "sha256": "aa"}, "dataset": {"name": "faq", "fingerprint": "ff"}, "seed": 0,
        "result": {"steps": 57, "final_loss": 2.5, "validation_loss": 2.25, "seconds": 12.0},
    }  # fmt: skip
    config = changes.pop("config", {"kind": "chat", "learning_rate": 3e-4, "lora": {"rank": 16}})
    adapter, checkpoints = changes.pop("adapter", status == "finished"), changes.pop("checkpoints", ())
    write_json(folder / "run.json", record | changes)
    write_json(folder / "config.yaml", config)
    if adapter:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"x" * 1000)
    for step in checkpoints:
        (folder / "checkpoints" / f"step-{step}").mkdir(parents=True)
        (folder / "checkpoints" / f"step-{step}" / "state.bin").write_bytes(b"x" * 500)
    os.utime(folder / "run.json", (1_700_000_000 + len(list(workspace.runs.glob("*/*"))),) * 2)
    return folder


def add_report(run: Path, values: dict[str, tuple[float, float]]) -> None:
    """Write a report of the suite ``chatbot``: metric to (base, tuned)."""

    def score(metric: str, value: float) -> dict[str, Any]:
        return {
            "metric": metric, "value": value, "unit": "points", "better": "higher", "n": 50, "low": value - 1, "high": value + 1,
            "made_with": "test",
        }  # fmt: skip

    differences = [
        {"metric": metric, "value": tuned - base, "n": 50, "method": "paired bootstrap",
         "verdict": "better" if tuned > base else "worse"}
        for metric, (base, tuned) in values.items()
    ]  # fmt: skip
    write_json(
        run / "evals" / "chatbot" / "20260101-130000" / "scores.json",
        {
            "format": 1, "suite": "chatbot", "created": "2026-01-01T13:00:00+00:00", "dataset": {"name": "faq"},
            "models": {"base": {}, "tuned": {}}, "differences": differences, "studio_version": "0.1.0",
            "scores": {
                "base": [score(metric, base) for metric, (base, _) in values.items()],
                "tuned": [score(metric, tuned) for metric, (_, tuned) in values.items()],
            },
        },
    )  # fmt: skip


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a run of every status."""
    workspace = Workspace.open(tmp_path / "space")
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    add_report(add_run(workspace, "good", id="good1", checkpoints=(9, 10)), {"chrf": (20.0, 25.0), "bleu": (1.0, 3.0)})
    add_run(workspace, "broken", "failed", id="fail1", error="the disk is full", result={})
    add_run(workspace, "paused", "interrupted", id="paus1", checkpoints=(5,))
    here = {"host": platform.node()}
    add_run(workspace, "going", "running", id="going", machine={"pid": os.getpid()} | here)
    # The record must be younger than the process that wrote it.
    os.utime(workspace.find_run("going") / "run.json")
    add_run(workspace, "killed", "running", id="kill1", machine={"pid": gone_pid()} | here)
    damaged = add_run(workspace, "damaged", id="dama1", adapter=False)
    (damaged / "run.json").write_text('{"kind": "chat", "na')
    saved = add_run(workspace, "saved", id="save1")
    (saved / "run.json").write_text("")
    return workspace
