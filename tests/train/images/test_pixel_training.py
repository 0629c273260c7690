"""The from-scratch model and LoRA on it, end to end on two pictures: learnt, saved, reloaded, measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from studio.adapters.images.loading import load_image_run
from studio.adapters.images.lora import load_image_lora
from studio.core.errors import StudioError, UserError
from studio.core.workspace import Workspace, read_run
from studio.models.images.grid import picture_grid
from studio.train.images.held_out import held_out_loss
from studio.train.images.loop import one_step
from studio.train.images.prepare import prepare
from studio.train.images.run import train_image_run
from studio.train.images.trained import Ema, Trained
from studio.train.recording import read_metrics
from tests.train.images.made import DOORS, make_dataset, open_image_run

NETWORK = {"width": 64, "depth": 2, "heads": 2, "patch": 4, "channels": 8, "max_words": 6}
COMMON = {"family": "pixel", "batch_size": 8, "dtype": "float32", "keep": "last", "optimizer": "adamw_torch"}
SCRATCH = COMMON | {
    "method": "scratch",
    "resolution": 16,
    "network": NETWORK,
    "steps": 120,
    "learning_rate": 3e-3,
    "warmup": 0.05,
    "sample": {"count": 2, "steps": 6},
}
LORA = COMMON | {
    "method": "lora",
    "lora": {"rank": 16, "alpha": 16, "target_modules": "all-linear"},
    "steps": 400,
    "learning_rate": 2e-2,
    "sample": {"count": 2, "steps": 6},
}
OTHERS = [("purple", "a purple wall"), ("navy", "a dark chimney")]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Workspace.open(tmp_path_factory.mktemp("pixel"))


@pytest.fixture(scope="module")
def doors(workspace):
    return make_dataset(workspace.datasets / "doors" / "0123456789abcdef")


@pytest.fixture(scope="module")
def walls(workspace):
    return make_dataset(workspace.datasets / "walls" / "0123456789abcdef", OTHERS)


def trained(workspace, dataset, settings, base=None):
    run = open_image_run(workspace, dataset, settings, base)
    train_image_run(run, resume=False, say=lambda _text: None)
    return run


@pytest.fixture(scope="module")
def scratch(workspace, doors):
    return trained(workspace, doors, SCRATCH)


@pytest.fixture(scope="module")
def lora(workspace, walls, scratch):
    return trained(workspace, walls, LORA, scratch)


def fixed_loss(family, pictures):
    return held_out_loss(family, pictures)


def pixels(pictures):
    return np.stack([np.asarray(picture) for picture in pictures])


def prepared(workspace, dataset, settings, base=None):
    from studio.models.images.bases import resolve_image_base
    from studio.schema.diffusion import DiffusionAdapter
    from studio.schema.loading import validate

    where = {"model": str(base)} if base else {}
    adapter = validate({"kind": "diffusion", **where, **settings}, DiffusionAdapter)
    return adapter, prepare(adapter, resolve_image_base(str(base)) if base else None, dataset, say=lambda _text: None)


def test_two_pictures_are_learnt_from_scratch(workspace, doors, scratch):
    _, before = prepared(workspace, doors, SCRATCH)
    first = held_out_loss(before.family, before.training)
    loaded = load_image_run(scratch)
    before.training.family = loaded.family
    assert held_out_loss(loaded.family, before.training) < first / 10
    painted = pixels(loaded.sample([caption for _, caption in DOORS], [5, 6])).astype(int)
    truth = pixels([Image.open(doors / "images" / f"{number}.png").convert("RGB") for number in range(2)]).astype(int)
    assert np.abs(painted - truth).mean() < 40 < np.abs(painted[::-1] - truth).mean(), "each caption gives its own picture"


def test_the_run_holds_what_it_should(scratch):
    record = read_run(scratch)
    assert record.status == "finished"
    assert record.kind == "diffusion"
    assert record.result["steps"] == 120
    assert (scratch / "loss.png").stat().st_size > 5000
    grids = sorted(path.name for path in (scratch / "samples").glob("*.png"))
    assert grids == [f"step-{step:06d}.png" for step in (30, 60, 90, 120)]
    lines = read_metrics(scratch / "metrics.jsonl")
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 121))
    assert {"model/transformer/diffusion_pytorch_model.safetensors", "model/model_index.json", "config.yaml"} <= set(record.files)


def test_the_saved_base_opens_with_diffusers_alone(scratch):
    from diffusers import FlowMatchEulerDiscreteScheduler

    from studio.models.images.pixel_network import PixelTransformer

    network = PixelTransformer.from_pretrained(scratch / "model" / "transformer", use_safetensors=True)
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(scratch / "model" / "scheduler")
    assert network.config.width == 64
    assert scheduler.config.shift == 1.0


def test_the_last_grid_is_what_the_loaded_run_paints(scratch, lora):
    for run in (scratch, lora):
        loaded = load_image_run(run)
        captions = ["a red door", "a blue roof"] if run == scratch else ["a purple wall", "a dark chimney"]
        again = np.asarray(picture_grid(loaded.sample(captions, [0, 1]), captions))
        drawn = np.asarray(Image.open(sorted((run / "samples").glob("*.png"))[-1]).convert("RGB"))
        assert np.array_equal(again, drawn)


def test_a_lora_changes_the_pictures_and_switches_off(scratch, lora):
    base, tuned = load_image_run(scratch), load_image_run(lora)
    prompts, seeds = ["a purple wall", "a red door"], [3, 4]
    plain, changed = pixels(base.sample(prompts, seeds, steps=6)), pixels(tuned.sample(prompts, seeds))
    assert np.abs(plain.astype(int) - changed).mean() > 10
    with tuned.base() as off:
        assert np.array_equal(pixels(off.sample(prompts, seeds)), plain)
    assert np.array_equal(pixels(tuned.sample(prompts, seeds, lora_scale=0.0)), plain)
    assert np.array_equal(pixels(tuned.sample(prompts, seeds)), changed), "it is on again afterwards"
    with pytest.raises(UserError, match="from scratch and has no base"), base.base():
        pytest.fail("there is no base")


def test_a_lora_learns_what_the_base_had_not_seen(workspace, walls, scratch, lora):
    _, before = prepared(workspace, walls, LORA, scratch)
    first = held_out_loss(before.family, before.training)
    tuned = load_image_run(lora)
    before.training.family = tuned.family
    assert held_out_loss(tuned.family, before.training) < first / 10


def test_unknown_words_are_told(scratch, lora, caplog):
    base, tuned = load_image_run(scratch), load_image_run(lora)
    assert base.unknown_words(["a golden door"]) == ["golden"]
    assert tuned.unknown_words(["a purple roof"]) == [], "the words of the base and of the tuning"
    base.sample(["a golden door"], [0], steps=1)
    assert "never saw these words in a caption and can only guess: golden" in caplog.text


def test_a_picture_depends_on_its_own_seed_only(scratch):
    loaded = load_image_run(scratch)
    prompts = ["a red door", "a blue roof", "a red door"]
    together = loaded.sample(prompts, [1, 2, 3])
    alone = [loaded.sample([prompt], [seed])[0] for prompt, seed in zip(prompts, [1, 2, 3], strict=True)]
    assert np.abs(pixels(together).astype(int) - pixels(alone)).max() <= 1
    assert not np.array_equal(np.asarray(together[0]), np.asarray(together[2]))
    with pytest.raises(UserError, match="3 prompts came with 1 seeds"):
        loaded.sample(prompts, [1])


def test_a_key_that_matches_nothing_is_an_error(scratch, lora, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = lora / "adapter" / "pytorch_lora_weights.safetensors"
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    first = next(iter(tensors))
    tensors[first.replace("blocks.0", "blocks.7")] = tensors.pop(first)
    save_file(tensors, tmp_path / path.name, metadata=metadata)
    with pytest.raises(UserError, match="does not fit this base"):
        load_image_lora(load_image_run(scratch).family, tmp_path)


def test_a_changed_file_or_base_is_noticed(workspace, lora, scratch, tmp_path):
    import shutil

    copy = shutil.copytree(lora, tmp_path / "lora")
    weights = copy / "adapter" / "pytorch_lora_weights.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(StudioError, match="is not the file that was written"):
        load_image_run(copy)
    other = shutil.copytree(lora, tmp_path / "other")
    record = json.loads((other / "run.json").read_text())
    record["base"]["sha256"] = "0" * 64
    (other / "run.json").write_text(json.dumps(record))
    with pytest.raises(StudioError, match="is not the one the run"):
        load_image_run(other)


@pytest.mark.parametrize("settings", [{}, {"noise": {"min_snr_gamma": 5, "offset": 0.1}}], ids=["plain", "weighted"])
def test_accumulation_is_the_large_batch(workspace, doors, settings):
    results = []
    for micro in (None, 2):
        adapter, job = prepared(workspace, doors, {**SCRATCH, **settings, "micro_batch_size": micro})
        losses = [
            one_step(job.family, job.learner, job.training, [0, 1, 1, 0, 0, 1, 0, 1], adapter, step).loss for step in range(3)
        ]
        results.append((losses, job.learner.trained.state()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-4)
    for name, value in results[0][1].items():
        assert torch.allclose(value, results[1][1][name], atol=2e-4), name


def test_gradient_checkpointing_changes_nothing(workspace, doors):
    states = []
    for recompute in (False, True):
        adapter, job = prepared(workspace, doors, {**SCRATCH, "gradient_checkpointing": recompute})
        one_step(job.family, job.learner, job.training, [0, 1], adapter, 0)
        states.append(job.learner.trained.state())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_average_follows_its_formula():
    layer = torch.nn.Linear(2, 2)
    parts = Trained({"layer": layer})
    average = Ema(parts, decay=0.9, warmup=True)
    expected = {name: value.clone() for name, value in parts.state().items()}
    for step in (1, 2, 100):
        for parameter in layer.parameters():
            parameter.data += 1.0
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = {name: decay * value + (1 - decay) * parts.state()[name] for name, value in expected.items()}
    for name, value in expected.items():
        assert torch.allclose(average.values[name], value), name
    before = layer.weight.detach().clone()
    with average.applied():
        assert torch.allclose(layer.weight, expected["layer.weight"])
    assert torch.equal(layer.weight, before)


def test_the_held_out_loss_is_always_the_same(workspace, doors, scratch):
    _, job = prepared(workspace, doors, SCRATCH)
    losses = [held_out_loss(job.family, job.training, batch_size=size) for size in (1, 5, 64)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] == pytest.approx(losses[2], rel=1e-5)
    assert held_out_loss(job.family, job.training) == held_out_loss(job.family, job.training)
    assert held_out_loss(job.family, job.training, [0]) != held_out_loss(job.family, job.training, [1])


@pytest.fixture(scope="module")
def split(workspace):
    return make_dataset(workspace.datasets / "split" / "0123456789abcdef", [*DOORS, *OTHERS], validation=2)


def test_training_stops_when_the_held_out_loss_stands_still(workspace, split):
    settings = {**SCRATCH, "optimizer": "sgd", "learning_rate": 1e-30, "eval_every": 2, "early_stopping": 2, "keep": "best"}
    run = trained(workspace, split, settings)
    assert read_run(run).result["steps"] == 6, "the first sets the mark, two more do not beat it"
    assert read_run(run).result["best_step"] == 2


def test_over_training_is_seen_and_the_best_weights_are_kept(workspace, split):
    run = trained(workspace, split, {**SCRATCH, "eval_every": 10, "keep": "best", "steps": 150})
    result = read_run(run).result
    measured = {line["step"]: line for line in read_metrics(run / "metrics.jsonl") if "eval_loss" in line}
    best = min(measured, key=lambda step: measured[step]["eval_loss"])
    assert result["best_step"] == best < 150
    assert result["training_loss_at_end"] < result["validation_loss_at_end"] / 2, "it knows its two pictures by heart"
    loaded = load_image_run(run)
    _, job = prepared(workspace, split, SCRATCH)
    job.validation.family = loaded.family
    assert held_out_loss(loaded.family, job.validation) == pytest.approx(measured[best]["eval_loss"], rel=1e-5)


def test_captions_are_dropped_for_guidance(workspace, doors):
    adapter, job = prepared(workspace, doors, {**SCRATCH, "caption_dropout": 0.5})
    seen = []

    class Watched:
        def __getattr__(self, name):
            return getattr(job.training, name)

        def text(self, rows, dropped):
            seen.extend(dropped)
            return job.training.text(rows, dropped)

    for step in range(10):
        one_step(job.family, job.learner, Watched(), [0, 1] * 4, adapter, step)
    assert 25 < sum(seen) < 55


@pytest.mark.parametrize("extra", [{"dora": True}, {"rslora": True, "alpha": 2}], ids=["dora", "rslora"])
def test_the_other_adapters_reload_exactly(workspace, walls, scratch, extra):
    run = trained(workspace, walls, {**LORA, "lora": {**LORA["lora"], **extra}, "steps": 3}, scratch)
    captions = ["a purple wall", "a dark chimney"]
    again = np.asarray(picture_grid(load_image_run(run).sample(captions, [0, 1]), captions))
    assert np.array_equal(again, np.asarray(Image.open(run / "samples" / "step-000003.png").convert("RGB")))


def test_nf4_base(workspace, walls, scratch):
    run = trained(workspace, walls, {**LORA, "quantization": "nf4", "steps": 40, "learning_rate": 1e-3}, scratch)
    losses = [line["loss"] for line in read_metrics(run / "metrics.jsonl") if "loss" in line]
    assert sum(losses[-10:]) < sum(losses[:10])
    captions = ["a purple wall", "a dark chimney"]
    loaded = load_image_run(run)
    assert any(type(layer).__name__ == "Linear4bit" for layer in loaded.family.networks()["transformer"].modules())
    again = np.asarray(picture_grid(loaded.sample(captions, [0, 1]), captions)).astype(int)
    drawn = np.asarray(Image.open(run / "samples" / "step-000040.png").convert("RGB"))
    # In evaluation mode bitsandbytes multiplies with another kernel on CPUs.
    assert np.abs(again - drawn).mean() < 1


@pytest.mark.parametrize("name", ["adamw_torch_fused", "adafactor", "adamw_8bit", "lion_8bit", "sgd"])
def test_optimizers_take_a_step(workspace, doors, name):
    adapter, job = prepared(workspace, doors, {**SCRATCH, "optimizer": name, "warmup": 0})
    before = job.learner.trained.state()
    one_step(job.family, job.learner, job.training, [0, 1], adapter, 0)
    assert any(not torch.equal(value, before[key]) for key, value in job.learner.trained.state().items())


def test_full_tuning_of_a_run(workspace, walls, scratch):
    run = trained(workspace, walls, {**SCRATCH, "method": "full", "family": "auto", "resolution": None, "steps": 4}, scratch)
    loaded = load_image_run(run)
    assert loaded.unknown_words(["a red door", "a purple wall"]) == []
    with loaded.base() as base:
        assert np.array_equal(
            pixels(base.sample(["a red door"], [0])), pixels(load_image_run(scratch).sample(["a red door"], [0]))
        )
    with pytest.raises(UserError, match="Set resolution to 16"):
        prepared(workspace, walls, {**LORA, "resolution": 32}, scratch)


def test_a_blown_up_training_says_what_to_do(workspace, doors):
    run = open_image_run(
        workspace, doors, {**SCRATCH, "learning_rate": 1e20, "optimizer": "sgd", "max_grad_norm": 0, "warmup": 0}
    )
    with pytest.raises(StudioError, match="the training has blown up. Try learning_rate"):
        train_image_run(run, resume=False, say=lambda _text: None)
    assert read_run(run).status == "failed"
