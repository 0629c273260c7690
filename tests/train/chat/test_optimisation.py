"""Settings that steer the optimizer do what they say: schedule, warm-up, clipping, decay, order of rows, noise."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from studio.core.errors import MissingExtraError, UserError
from studio.train.chat.batches import training_windows


def logged(folder: Path, key: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup", "inverse_sqrt"])
def test_the_learning_rate_follows_the_schedule_after_the_warm_up(schedule: str, trainer) -> None:
    from transformers import get_scheduler

    folder, record = trainer.train(schedule=schedule, warmup=0.25, learning_rate=0.004, eval_every=12)
    steps = record.result["steps"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.004)
    plain = get_scheduler(schedule, optimizer, num_warmup_steps=math.ceil(0.25 * steps), num_training_steps=steps)
    expected = []
    for _ in range(steps):
        expected.append(plain.get_last_lr()[0])
        optimizer.step()
        plain.step()
    assert logged(folder, "learning_rate") == pytest.approx(expected, rel=1e-6)
    assert expected[0] == 0 and max(expected) == pytest.approx(0.004), "the case tries a warm-up"


def test_gradients_are_clipped_to_the_norm(trainer) -> None:
    """With plain SGD a step moves the weights by at most learning rate times the norm."""
    same = {"optimizer": "sgd", "schedule": "constant", "learning_rate": 1.0, "warmup": 0.0, "epochs": 1, "eval_every": 6}
    folder, record = trainer.train(max_grad_norm=1e-3, **same)
    start, _ = trainer.train(max_grad_norm=1e-12, **same)
    moved = math.sqrt(sum(float((tensor - weights(start)[name]).square().sum()) for name, tensor in weights(folder).items()))
    assert 0 < moved <= record.result["steps"] * 1e-3 * 1.01
    assert min(logged(folder, "grad_norm")) > 1e-3, "the norm that is logged is the one before clipping"


def test_weight_decay_makes_weights_smaller(trainer) -> None:
    same = {"epochs": 1, "schedule": "constant", "warmup": 0.0, "learning_rate": 0.01, "eval_every": 6}
    sizes = []
    for decay in (0.0, 5.0):
        folder, _ = trainer.train(weight_decay=decay, **same)
        sizes.append(sum(float(tensor.square().sum()) for name, tensor in weights(folder).items() if "lora_A" in name))
    assert sizes[1] < 0.9 * sizes[0]


def test_noise_on_the_embeddings_changes_the_training_only(trainer) -> None:
    same = {"epochs": 1, "learning_rate": 1e-12, "eval_every": 6, "lora.dropout": 0.0}
    quiet, plain = trainer.train(**same)
    noisy, changed = trainer.train(neftune_alpha=15.0, **same)
    assert logged(quiet, "loss") != logged(noisy, "loss")
    assert changed.result["validation_loss"] == pytest.approx(plain.result["validation_loss"], rel=1e-6)


def test_sorting_by_length_saves_padding_and_keeps_every_row() -> None:
    lengths = [(7 * index) % 97 + 3 for index in range(203)]

    def padding(windows: list[list[int]]) -> int:
        return sum(max(lengths[row] for row in window) * len(window) - sum(lengths[row] for row in window) for window in windows)

    plain, sorted_ = (
        training_windows(lengths, batch_size=8, epochs=2, seed=3, length_sorting=wanted) for wanted in (False, True)
    )
    for windows in (plain, sorted_):
        half = len(windows) // 2
        for epoch in (windows[:half], windows[half:]):
            assert sorted(row for window in epoch for row in window) == list(range(203)), "each row once an epoch"
    assert padding(sorted_) < 0.3 * padding(plain)
    assert sorted_ != training_windows(lengths, batch_size=8, epochs=2, seed=4, length_sorting=True), "the seed decides"
    means = [sum(lengths[row] for row in window) / len(window) for window in sorted_[: len(sorted_) // 2]]
    assert means != sorted(means) and means != sorted(means, reverse=True), "the order of batches stays random"


def test_what_this_machine_lacks_is_told_before_anything_is_loaded(trainer) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="liger: on needs a CUDA GPU"):
            trainer.train(liger="on")
    import importlib.util

    missing = [name for name in ("trackio", "wandb", "mlflow") if importlib.util.find_spec(name) is None]
    if missing:
        with pytest.raises(MissingExtraError, match=rf"report_to: {missing[0]}.*pip install"):
            trainer.open(report_to=[missing[0]])
