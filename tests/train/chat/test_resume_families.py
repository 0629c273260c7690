"""An interrupted run of every family comes to the same weights, bit by bit."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from studio.train.chat.run import train_run
from tests.families import build_family
from tests.support import METHODS, NAMES
from tests.train.chat.test_run import losses
from tests.train.conftest import chat_rows, write_dataset

STEPS = {"max_steps": 3, "save_every": 1, "eval_every": 1, "batch_size": 4, "keep_checkpoints": 3}
USUAL = {("gemma3_mm", "full"), ("qwen3_moe", "full"), ("granite_hybrid", "qlora")}


@pytest.mark.parametrize(
    ("family", "method"),
    [
        pytest.param(family, method, marks=() if (family, method) in USUAL else pytest.mark.soak)
        for family in NAMES
        for method in ("lora", "qlora", "full")
    ],
)
def test_a_resume_after_the_first_step_is_exact(trainer, tmp_path, family, method):
    trainer.base = build_family(tmp_path / family, family)
    rows = chat_rows(14)
    write_dataset(trainer.workspace, rows[:12], rows[12:], name="few")
    run = trainer.open(data="few", **STEPS, **METHODS[method])
    train_run(run, resume=False, say=lambda text: None)
    copy = run.parent / "resumed"
    shutil.copytree(run, copy)
    kind = "model" if method == "full" else "adapter"
    shutil.rmtree(copy / kind)
    for checkpoint in (copy / "checkpoints").glob("checkpoint-[23]"):
        shutil.rmtree(checkpoint)
    train_run(copy, resume=True, say=lambda text: None)
    assert losses(run) == losses(copy)
    for file in (run / kind).glob("*.safetensors"):
        one, two = load_file(file), load_file(copy / kind / file.name)
        assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
