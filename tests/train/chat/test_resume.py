"""Killed at any moment and resumed: the same losses and bit-equal weights as a run that was never interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from studio.core.errors import StudioError, UserError
from studio.core.workspace import read_run
from studio.train.chat.run import train_run
from studio.train.checkpoints import MANIFEST, newest_whole
from tests.train.chat.test_run import losses


def start(folder, *extra):
    """A training process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "studio.train.chat.worker", str(folder), *extra],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(folder, step, process):
    """Until the metrics of a step are on disk."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        path = folder / "metrics.jsonl"
        if path.is_file() and any(f'"step": {step},' in line and '"loss"' in line for line in path.read_text().splitlines()):
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} never came: {process.stderr.read() if process.poll() is not None else 'still running'}")


def kill_at_step(folder, step, *extra):
    """Train in a process of its own and kill it once a step is on disk."""
    process = start(folder, *extra)
    wait_for_step(folder, step, process)
    process.kill()
    process.wait()


def resume(folder):
    said = []
    train_run(folder, resume=True, say=said.append)
    return said


def assert_same(folder, reference):
    assert losses(folder) == losses(reference)
    assert losses(folder, "eval_loss") == losses(reference, "eval_loss")
    one, two = (load_file(run / "adapter" / "adapter_model.safetensors") for run in (folder, reference))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


SETTINGS = {"epochs": 4, "save_every": 3}


@pytest.fixture
def single_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.long
def test_resume_after_sigkill_is_exact(trainer, single_thread):
    # Shuffled, dropout 0.1, two micro batches a step, a last window of 3 rows; killed mid-epoch at two different moments.
    reference, _ = trainer.train(**SETTINGS)
    folder = trainer.open(**SETTINGS)
    for step, extra in ((8, ()), (17, ("--resume",))):
        kill_at_step(folder, step, *extra)
        assert read_run(folder).status == "running"
    said = resume(folder)
    assert any(line.startswith("resuming from checkpoint-") for line in said)
    assert read_run(folder).status == "finished"
    assert_same(folder, reference)


@pytest.mark.parametrize(
    "settings", [{"lora.init": "pissa"}, {"loraplus_ratio": 4.0}, {"packing": True, "micro_batch_size": 1, "batch_size": 2}]
)
@pytest.mark.long
def test_resume_is_exact_for_other_methods(trainer, single_thread, settings):
    reference, _ = trainer.train(**SETTINGS | settings)
    folder = trainer.open(**SETTINGS | settings)
    process = start(folder)
    wait_for_step(folder, 7, process)
    process.kill()
    process.wait()
    resume(folder)
    assert_same(folder, reference)


@pytest.mark.long
def test_sigterm_saves_and_resume_is_exact(trainer, single_thread):
    reference, _ = trainer.train(**SETTINGS)
    folder = trainer.open(**SETTINGS)
    process = start(folder)
    wait_for_step(folder, 4, process)
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert read_run(folder).status == "interrupted"
    checkpoint, skipped = newest_whole(folder / "checkpoints")
    assert checkpoint is not None and not skipped
    # Nor does it matter that the workspace has moved meanwhile.
    old = trainer.workspace.root
    moved = old.rename(old.with_name("moved"))
    folder, reference = (moved / run.relative_to(old) for run in (folder, reference))
    resume(folder)
    assert_same(folder, reference)


@pytest.mark.long
def test_broken_checkpoints_are_skipped_with_a_line(trainer, single_thread):
    reference, _ = trainer.train(**SETTINGS)
    folder = trainer.open(**SETTINGS | {"keep_checkpoints": 5})
    process = start(folder)
    wait_for_step(folder, 13, process)
    process.kill()
    process.wait()
    checkpoints = sorted((folder / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    newest, second = checkpoints[-1], checkpoints[-2]
    (newest / MANIFEST).unlink()  # cut off before the manifest
    weights = second / "optimizer.pt"
    damaged = bytearray(weights.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    weights.write_bytes(damaged)
    said = resume(folder)
    assert any(line.startswith(f"{newest.name} is skipped: it has no readable") for line in said)
    assert any(line.startswith(f"{second.name} is skipped: optimizer.pt differs from its recorded hash") for line in said)
    assert_same(folder, reference)


def test_nothing_to_resume_from(trainer):
    folder = trainer.open()
    with pytest.raises(UserError, match="has no whole checkpoint to resume from"):
        resume(folder)


@pytest.mark.long
def test_changed_base_is_refused_on_resume(trainer, tiny_base, tmp_path):
    base = tmp_path / "own-base"
    shutil.copytree(tiny_base, base)
    trainer.base = base
    folder = trainer.open(**SETTINGS)
    process = start(folder)
    wait_for_step(folder, 4, process)
    process.terminate()
    process.wait()
    weights = load_file(base / "model.safetensors")
    from safetensors.torch import save_file

    name = next(iter(weights))
    weights[name] = weights[name] + 1
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"the weights of .* have changed since this run was started"):
        resume(folder)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB; needs the right to mount."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_keeps_the_last_good_checkpoint(trainer, small_disk):
    from studio.core.files import folder_size

    elsewhere, _ = trainer.train(max_steps=3)
    one = folder_size(elsewhere / "checkpoints" / "checkpoint-3")
    folder = trainer.open(**SETTINGS)
    (folder / "checkpoints").symlink_to(small_disk)  # the record lies on a disk with room
    free = shutil.disk_usage(small_disk).free
    (small_disk / "ballast").write_bytes(b"x" * int(free - 1.6 * one))
    with pytest.raises(StudioError, match=r"the disk is full: .* the last good checkpoint, checkpoint-3, stays"):
        train_run(folder, resume=False, say=lambda text: None)
    record = read_run(folder)
    assert record.status == "failed" and "the disk is full" in (record.error or "")
    assert newest_whole(folder / "checkpoints")[0].name == "checkpoint-3"
    (small_disk / "ballast").unlink()
    resume(folder)
    assert read_run(folder).status == "finished"
