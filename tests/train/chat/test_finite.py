"""A training that is no longer made of numbers ends at once, says why, and leaves nothing that looks finished."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.core.errors import StudioError
from studio.core.workspace import read_run
from studio.train.chat.run import train_run
from studio.train.checkpoints import newest_whole
from studio.train.finite import BlownUpError, all_finite, refuse_blown_up

WILD = {"optimizer": "sgd", "learning_rate": 1e25, "max_grad_norm": 0, "warmup": 0, "lora.dropout": 0}


def fail(run, match):
    with pytest.raises(StudioError, match=match):
        train_run(run, resume=False, say=lambda text: None)
    assert read_run(run).status == "failed"
    assert not (run / "adapter").exists() and not (run / "model").exists()
    for line in (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").is_file() else []:
        assert "NaN" not in line and json.loads(line)


def test_a_wild_learning_rate_is_stopped_before_anything_bad_is_saved(trainer):
    run = trainer.open(**WILD | {"max_steps": 12, "save_every": 3})
    fail(run, r"the .* of step \d+ is (nan|inf): the training has blown up. Try learning_rate 3e\+24 and max_grad_norm 1")
    assert newest_whole(run / "checkpoints")[0] is None


def test_what_is_no_number_is_refused_by_name():
    refuse_blown_up(3, 0.1, loss=2.0, gradient_norm=None)
    with pytest.raises(
        BlownUpError, match="the validation loss of step 3 is inf: .* Try learning_rate 0.03; checkpoints of earlier"
    ):
        refuse_blown_up(3, 0.1, loss=2.0, validation_loss=float("inf"))
    assert all_finite([torch.ones(2), torch.zeros(1)]) and not all_finite([torch.ones(2), torch.tensor([1.0, torch.nan])])


@pytest.mark.parametrize(
    ("method", "where", "row"),
    [
        ({"method": "lora"}, "model.layers.1.mlp.up_proj.weight", 3),
        ({"method": "full"}, "model.embed_tokens.weight", 383),  # a token that no row holds
        ({"quantization": "nf4"}, "model.layers.1.mlp.up_proj.weight", 3),
    ],
)
def test_a_base_with_broken_weights_is_named(trainer, tiny_base, tmp_path, method, where, row):
    trainer.base = shutil.copytree(tiny_base, tmp_path / "broken")
    weights = load_file(trainer.base / "model.safetensors")
    weights[where][row, 4] = torch.nan
    save_file(weights, trainer.base / "model.safetensors", metadata={"format": "pt"})
    fail(trainer.open(**method), rf"broken hold values that are no numbers \(in {where}\)")
