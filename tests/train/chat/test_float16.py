"""Training in float16 with a scaled loss, as old GPUs do it; here on the CPU."""

from __future__ import annotations

import functools
import json

import pytest
import torch

from studio.core.errors import UserError
from studio.core.workspace import read_run
from studio.models.chat.loading import quantization_config
from studio.models.device import pick_device, pick_dtype
from studio.train.chat.run import train_run
from studio.train.checkpoints import newest_whole
from studio.train.finite import BlownUpError, refuse_blown_up, refuse_scaled_away

HALF = {"dtype": "float16", "lora.dropout": 0, "max_steps": 6, "eval_every": 3, "save_every": 3}


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def losses(run):
    return [line["loss"] for line in lines(run) if "loss" in line]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_losses_are_those_of_float32_up_to_rounding(trainer, method):
    narrow, record = trainer.train(**{**HALF, "method": method})
    wide, _ = trainer.train(**{**HALF, "method": method, "dtype": "float32"})
    assert record.status == "finished" and losses(narrow) != losses(wide)
    # A step that was skipped leaves the weights as they were, so that only the first is surely the same.
    assert losses(narrow)[0] == pytest.approx(losses(wide)[0], rel=2e-3)
    if not record.result["skipped_steps"]:
        assert losses(narrow) == pytest.approx(losses(wide), rel=1e-2)


def test_the_scale_is_kept_for_a_resume_and_skipped_steps_are_told(trainer, monkeypatch):
    monkeypatch.setattr(torch.amp, "GradScaler", functools.partial(torch.amp.GradScaler, init_scale=2.0**40, growth_interval=2))
    whole, said = trainer.open(**{**HALF, "epochs": 8, "max_steps": 40, "save_every": 36, "eval_every": 36}), []
    train_run(whole, resume=False, say=said.append)
    skipped = sum("skipped" in line for line in lines(whole))
    assert 10 < skipped < 36 and read_run(whole).result["skipped_steps"] == skipped
    assert f"{skipped} of 40 steps were skipped: the gradient of the scaled loss was too large for float16" in said
    assert all("grad_norm" not in line for line in lines(whole) if "skipped" in line)

    checkpoint, _ = newest_whole(whole / "checkpoints")
    assert torch.load(checkpoint / "scaler.pt", weights_only=True)["scale"] < 2.0**40
    before = losses(whole)
    train_run(whole, resume=True, say=lambda text: None)
    assert losses(whole) == before


def test_auto_takes_float16_where_bfloat16_is_not_computed(monkeypatch):
    cuda, mps = torch.device("cuda", 0), torch.device("mps")
    for computes, expected in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, computes=computes: computes)
        assert pick_dtype("auto", cuda) == expected
    assert pick_dtype("auto", cuda, half=False) == torch.float32, "pictures train without a scaled loss"
    assert (pick_dtype("auto", mps), pick_dtype("float32", mps)) == (torch.float16, torch.float32)


def test_a_cpu_without_float16_says_so(monkeypatch):
    monkeypatch.setattr("studio.models.device.cpu_knows_float16", lambda: False)
    with pytest.raises(UserError, match=r"dtype: float16 does not exist on this CPU's PyTorch. Use float32"):
        pick_dtype("float16", torch.device("cpu"))


def test_an_apple_device_is_taken_and_has_no_packed_weights(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device().type == "mps"
    with pytest.raises(UserError, match="quantization: nf4 needs a CUDA GPU or a CPU; this machine computes on mps"):
        quantization_config("nf4", torch.float16, torch.device("mps"))


def test_what_no_scale_can_mend_ends_the_training():
    refuse_scaled_away(9, 1.0)
    with pytest.raises(BlownUpError, match="too large for float16 again and again"):
        refuse_scaled_away(9, 0.5)
    with pytest.raises(BlownUpError, match=r"Try dtype float32, for float16 ends at 65,504, or learning_rate 0.003"):
        refuse_blown_up(3, 0.01, narrow=True, loss=float("inf"))
