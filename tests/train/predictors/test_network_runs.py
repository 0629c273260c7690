"""Networks as people train them: from a folder of pictures to a Run; killed, interrupted and resumed from the command line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from studio.core.workspace import read_run
from studio.models.predictors.opening import open_predictor
from tests.conftest import call_studio
from tests.train.predictors.network_jobs import digits, losses

SETTINGS = {"estimator.size": 8, "estimator.depth": 2, "estimator.width": 4, "estimator.flip": "false", "estimator.dropout": 0.2}
SETTINGS |= {"estimator.epochs": 6, "estimator.batch_size": 8, "estimator.patience": "null"}
SETTINGS |= {"estimator.learning_rate": 0.02}


@pytest.fixture(scope="module", autouse=True)
def single_thread():
    """Sums are made in another order by more threads, so all trainings here have the same number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A Dataset of 120 digits in folders named by what they show."""
    root = tmp_path_factory.mktemp("workspace")
    for path, label in zip(*_files(digits(tmp_path_factory.mktemp("flat"), 120)), strict=True):
        place = root / "pictures" / label / Path(path).name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    source = {"name": "digits", "type": "local", "path": str(root / "pictures"), "label": "folder", "captions": "none"}
    recipe = {"kind": "image", "description": "Digits.", "why": "A test.", "sources": [source | {"licence": "CC-BY-4.0"}]}
    (root / "digits.yaml").write_text(yaml.safe_dump(recipe | {"split": {"validation": 20, "test": 20, "seed": 0}}))
    assert call_studio("--workspace", root / "ws", "data", "build", root / "digits.yaml") == 0
    return root / "ws"


def _files(rows):
    return rows.features["picture"].tolist(), rows.target.tolist()


def arguments(workspace, *more):
    settings = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    return ["--workspace", str(workspace), "train", "classify/small-cnn", "--data", "digits", *settings, *more]


def started(workspace, *words):
    """The command line in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from studio.cli.main import main; main()", *words]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_step(workspace, name, step, process):
    """The run's folder, once it has taken so many steps."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        for folder in (workspace / "runs" / name).glob("*"):
            if (folder / "metrics.jsonl").is_file() and len(losses(folder)) >= step:
                return folder
        time.sleep(0.005)
    raise AssertionError(f"step {step} never came: {process.stderr.read() if process.poll() is not None else 'still running'}")


@pytest.fixture(scope="module")
def whole(workspace):
    """A run that nothing disturbed."""
    assert call_studio(*arguments(workspace, "--name", "whole")) == 0
    [folder] = (workspace / "runs" / "whole").iterdir()
    return folder


def assert_same(folder, whole):
    one, two = (load_file(run / "model" / "model.safetensors") for run in (folder, whole))
    assert all((one[name] == two[name]).all() for name in two) and one.keys() == two.keys()
    for key in ("loss", "eval_loss"):
        assert losses(folder, key) == losses(whole, key)


def test_a_run_holds_what_the_contract_says(whole):
    record = read_run(whole)
    assert record.status == "finished" and record.base["source"] == "scratch" and record.method == "small-cnn"
    assert {"model/predictor.json", "model/network.json", "model/model.safetensors"} <= set(record.files)
    assert (whole / "loss.png").is_file() and (whole / "README.md").is_file()
    assert record.result["steps"] == 60 and record.result["validation"]["validation"].endswith("commonest label")
    assert open_predictor(whole / "model").info.labels == list("0123456789")


@pytest.mark.long
def test_killed_and_resumed_is_exact(workspace, whole):
    process = started(workspace, *arguments(workspace, "--name", "killed"))
    folder = wait_for_step(workspace, "killed", 25, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read_run(folder).status == "running" and not (folder / "model").exists()
    assert call_studio("--workspace", workspace, "train", "--resume", folder) == 0
    assert_same(folder, whole)


@pytest.mark.long
def test_interrupted_and_resumed_is_exact(workspace, whole):
    process = started(workspace, *arguments(workspace, "--name", "interrupted"))
    folder = wait_for_step(workspace, "interrupted", 5, process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130 and "studio train --resume" in told
    assert read_run(folder).status == "interrupted" and 5 <= len(losses(folder)) < 60
    assert call_studio("--workspace", workspace, "train", "--resume", folder) == 0
    assert_same(folder, whole)
    assert call_studio("--workspace", workspace, "train", "--resume", folder) == 2
