"""Two processes over gloo follow the same loss curve as one, at the same global batch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from studio.core.errors import UserError
from studio.core.workspace import read_run
from tests.train.chat.test_run import losses

SETTINGS = {"lora.dropout": 0.0, "epochs": 2, "batch_size": 8, "micro_batch_size": 2}


def command(trainer, *arguments):
    return [sys.executable, "-m", "studio.cli.main", "train", *arguments, "--workspace", str(trainer.workspace.root)]


# Each process draws APOLLO's projections by itself, and VeRA's matrices.
OTHERS = {
    "apollo": {"method": "full", "optimizer": "apollo_adamw", "projection.rank": 8, "learning_rate": 0.001},
    "vera": {"method": "vera", "vera.rank": 8, "learning_rate": 0.05},
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name == "lora" else pytest.mark.soak) for name in ("lora", *OTHERS)]
)
def test_two_processes_equal_one(trainer, name):
    plain = {"lora.rank": 16, "lora.alpha": 32} if name in OTHERS else {}
    settings = SETTINGS | plain | OTHERS.get(name, {})
    one, _ = trainer.train(**settings)
    assert_two_processes_equal(trainer, one, settings)


def assert_two_processes_equal(trainer, one, settings):
    """Train the same in two processes, as run ``two``, and hold it against ``one``."""
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    arguments = [str(trainer.preset), "--data", "tiny", "--model", str(trainer.base), "--name", "two", *pairs]
    done = subprocess.run([*command(trainer, *arguments), "--processes", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    two = trainer.workspace.find_run("two")
    assert read_run(two).machine["processes"] == 2
    assert losses(two).keys() == losses(one).keys()
    for step, loss in losses(one).items():
        assert losses(two)[step] == pytest.approx(loss, abs=1e-4), f"step {step}"
    for step, loss in losses(one, "eval_loss").items():
        assert losses(two, "eval_loss")[step] == pytest.approx(loss, abs=1e-4)


@pytest.mark.long
def test_sigterm_reaches_all_processes_and_resume_goes_on(trainer):
    settings = SETTINGS | {"epochs": 40, "eval_every": 50}
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    arguments = [str(trainer.preset), "--data", "tiny", "--model", str(trainer.base), "--name", "long", *pairs]
    process = subprocess.Popen(
        [*command(trainer, *arguments), "--processes", "2"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(trainer.workspace.runs.glob("long/*/metrics.jsonl")):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors[-3000:]
    folder = trainer.workspace.find_run("long")
    assert read_run(folder).status == "interrupted"
    steps = max(losses(folder))
    assert (folder / "checkpoints" / f"checkpoint-{steps}").is_dir()


def test_batch_must_be_shared_out_evenly(trainer):
    from studio.cli.train import new_run

    with pytest.raises(UserError, match="batch_size 8 cannot be shared out among 3 processes"):
        new_run(trainer.workspace, str(trainer.preset), data="tiny", model=str(trainer.base), settings=[], processes=3)
