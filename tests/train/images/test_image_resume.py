"""An image training killed at any moment and resumed: the same losses, bit-equal weights. Ctrl-C saves and says how to go on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from studio.core.errors import UserError
from studio.core.workspace import Workspace, read_run
from studio.train.checkpoints import MANIFEST, newest_whole
from studio.train.images.run import train_image_run
from studio.train.recording import read_metrics
from tests.train.images.made import DOORS, make_dataset, open_image_run

SETTINGS = {
    "family": "pixel",
    "method": "scratch",
    "resolution": 16,
    "network": {"width": 32, "depth": 1, "heads": 2, "patch": 4, "channels": 8, "max_words": 4},
    "steps": 60,
    "batch_size": 8,
    "micro_batch_size": 4,
    "flip": True,
    "shift": 1,
    "learning_rate": 3e-3,
    "ema": {"decay": 0.9},
    "keep": "last",
    "eval_every": 10,
    "save_every": 5,
    "dtype": "float32",
    "sample": {"count": 2, "steps": 3},
}
COMMAND = "import sys; from pathlib import Path; from studio.train.images.run import train_image_run; "
COMMAND += "train_image_run(Path(sys.argv[1]), resume='--resume' in sys.argv, say=print)"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Workspace.open(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def dataset(workspace):
    things = [*DOORS, ("green", "a green wall"), ("navy", "a dark chimney"), ("purple", "a purple roof")]
    return make_dataset(workspace.datasets / "made" / "0123456789abcdef", things, validation=2)


@pytest.fixture
def single_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def reference(workspace, dataset, single_thread):
    run = open_image_run(workspace, dataset, SETTINGS)
    train_image_run(run, resume=False, say=lambda _text: None)
    return run


def start(run, *extra):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", COMMAND, str(run), *extra], env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_step(run, step, process):
    deadline = time.monotonic() + 240
    path = run / "metrics.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        if path.is_file() and any(line["step"] >= step for line in read_metrics(path)):
            return
        time.sleep(0.005)
    raise AssertionError(f"step {step} never came: {process.stderr.read() if process.poll() is not None else 'still running'}")


def assert_same(run, reference):
    def seen(folder):
        return [
            {key: value for key, value in line.items() if key != "seconds"} for line in read_metrics(folder / "metrics.jsonl")
        ]

    assert seen(run) == seen(reference)
    name = "model/transformer/diffusion_pytorch_model.safetensors"
    one, two = load_file(run / name), load_file(reference / name)
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    last = "samples/step-000060.png"  # its pixels: the file also says which run painted it
    assert np.array_equal(*(np.asarray(Image.open(folder / last)) for folder in (run, reference)))


@pytest.mark.long
def test_resume_after_sigkill_is_exact(workspace, dataset, reference):
    run = open_image_run(workspace, dataset, SETTINGS)
    for step, extra in ((12, ()), (33, ("--resume",))):
        process = start(run, *extra)
        wait_for_step(run, step, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert read_run(run).status == "running"
    said = []
    train_image_run(run, resume=True, say=said.append)
    assert any(line.startswith("resuming from checkpoint-") for line in said)
    assert_same(run, reference)


def test_resume_from_an_earlier_checkpoint_when_the_newest_is_broken(workspace, dataset, reference):
    run = open_image_run(workspace, dataset, SETTINGS)
    shutil.copytree(reference / "checkpoints", run / "checkpoints")
    shutil.copy(reference / "metrics.jsonl", run / "metrics.jsonl")
    newest, _ = newest_whole(run / "checkpoints")
    (newest / "average.safetensors").write_bytes(b"cut off")
    said = []
    train_image_run(run, resume=True, say=said.append)
    assert any("checkpoint-60 is skipped: average.safetensors has 7 bytes" in line for line in said)
    assert_same(run, reference)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_exits_130(workspace, dataset, number):
    run = open_image_run(
        workspace, dataset, {**SETTINGS, "steps": 4000, "save_every": 4000, "eval_every": 4000, "sample_every": 4000}
    )
    code = "import sys; from studio.cli.main import run; sys.exit(run(sys.argv[1:]))"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            code,
            "train",
            str(run),
            "--data",
            str(dataset),
            "--workspace",
            str(workspace.root),
            "--name",
            f"stopped-{int(number)}",
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 240
    found = []
    while not found and process.poll() is None and time.monotonic() < deadline:
        found = [path for path in workspace.runs.glob(f"stopped-{int(number)}/*/metrics.jsonl") if len(read_metrics(path)) > 3]
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "stopped and saved. Go on with: studio train --resume stopped-" in said
    stopped = found[0].parent
    assert read_run(stopped).status == "interrupted"
    checkpoint, _ = newest_whole(stopped / "checkpoints")
    assert (checkpoint / MANIFEST).is_file()


def test_nothing_to_resume_from(workspace, dataset):
    run = open_image_run(workspace, dataset, SETTINGS)
    with pytest.raises(UserError, match="has no whole checkpoint to resume from"):
        train_image_run(run, resume=True, say=lambda _text: None)
