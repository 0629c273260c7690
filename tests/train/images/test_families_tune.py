"""Every family learns two pictures by heart with a LoRA, and diffusers and we load what was saved to the same pictures."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from benchmarks.image_shapes import write_base
from studio.adapters.images.loading import load_image_run
from studio.core.errors import UserError
from studio.models.images.families.base import open_family
from studio.train.images.run import train_image_run
from studio.train.recording import read_metrics
from tests.soak import taking_turns
from tests.train.images.made import make_dataset, open_image_run

UNET = ["conv1", "conv2", "conv_in", "conv_out", "conv_shortcut", "conv", "time_emb_proj", "linear_1", "linear_2"]
UNET += ["to_q", "to_k", "to_v", "to_out.0"]
TRANSFORMER = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "linear", "proj"]
TRANSFORMER += ["proj_out", "proj_mlp", "net.2", "linear_1", "linear_2", "x_embedder", "context_embedder"]

# family: target modules, steps, learning rate. Bases this small learn by heart only with adapters nearly everywhere.
TUNING = {
    "sd15": (UNET, 160, 2e-2),
    "sdxl": (UNET, 140, 2e-2),
    "sd3": (TRANSFORMER, 80, 1e-2),
    "flux": (TRANSFORMER, 60, 1e-2),
    "unconditional": (UNET, 240, 2e-2),
}
CPU = {"device": torch.device("cpu"), "dtype": torch.float32}
PLAIN = {"method": "lora", "batch_size": 4, "resolution": 16, "caption_dropout": 0.0, "dtype": "float32"}
PLAIN |= {"sample": {"count": 2, "steps": 2}, "sample_every": 10_000}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("two") / "data")


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned-bases")
    return {family: write_base(folder / family, family) for family in TUNING}


def train(workspace, dataset, base, **settings):
    said: list[str] = []
    run = open_image_run(workspace, dataset, PLAIN | settings, base)
    train_image_run(run, resume=False, say=said.append)
    return run, [line["loss"] for line in read_metrics(run / "metrics.jsonl") if "loss" in line], said


def samples(loaded, **options):
    pictures = loaded.sample(["a red door", "a blue roof"], [7, 8], steps=3, guidance=1.0, **options)
    return np.stack([np.asarray(picture, dtype=int) for picture in pictures])


def by_diffusers(run, base, family, loaded):
    """Our sampler with the networks of a diffusers pipeline that loaded the adapter folder; no key may be left over."""
    import diffusers

    pipeline = diffusers.DiffusionPipeline.from_pretrained(base, local_files_only=True)
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    diffusers_log = logging.getLogger("diffusers")
    diffusers_log.addHandler(handler)
    try:
        pipeline.load_lora_weights(run / "adapter")
    finally:
        diffusers_log.removeHandler(handler)
    assert not [line for line in records if "unexpected keys" in line or "missing keys" in line]
    other = open_family(family, base, **CPU)
    for name in loaded.carriers:
        other._parts[name] = getattr(pipeline, name)
    loaded.family, mine = other, loaded.family
    try:
        return samples(loaded)
    finally:
        loaded.family = mine


@pytest.mark.parametrize("family", taking_turns(TUNING, {"sd15"}))
def test_two_pictures_are_learnt_by_heart(family, workspace, dataset, bases):
    targets, steps, rate = TUNING[family]
    lora = {"rank": 16, "alpha": 32, "target_modules": targets}
    batch = 8 if family == "unconditional" else 4
    run, losses, _ = train(workspace, dataset, bases[family], steps=steps, learning_rate=rate, lora=lora, batch_size=batch)
    assert np.mean(losses[:3]) > 10 * np.mean(losses[-20:])

    loaded = load_image_run(run)
    tuned = samples(loaded)
    with loaded.base():
        base = samples(loaded)
    assert np.abs(tuned - base).max() > 20
    assert np.array_equal(samples(load_image_run(run)), tuned)
    assert np.array_equal(samples(loaded, lora_scale=0.0), base)
    if family != "unconditional":  # its pipeline has no load_lora_weights
        assert np.abs(by_diffusers(run, bases[family], family, loaded) - tuned).max() <= 1


@pytest.mark.parametrize("family", taking_turns(["sd15", "sdxl", "sd3", "flux"], {"sdxl"}))
@pytest.mark.parametrize("dora", [False, True])
def test_text_encoders_and_dora_load_into_diffusers_too(family, dora, workspace, dataset, bases):
    lora = {"rank": 2, "alpha": 4, "target_modules": "all-linear", "text_encoder": not dora, "dora": dora, "rslora": dora}
    run, _, _ = train(workspace, dataset, bases[family], steps=4, learning_rate=0.1, lora=lora)
    loaded = load_image_run(run)
    tuned = samples(loaded)
    assert set(loaded.carriers) == {loaded.family.tuned, *(() if dora else loaded.family.text_networks)}
    with loaded.base():
        assert not np.array_equal(samples(loaded), tuned)
    assert np.abs(by_diffusers(run, bases[family], family, loaded) - tuned).max() <= 1


def test_cached_and_uncached_training_are_the_same_training(workspace, dataset, bases):
    settings = {"steps": 6, "learning_rate": 1e-2, "flip": True, "lora": {"rank": 2, "target_modules": "all-linear"}}
    _, cached, said = train(workspace, dataset, bases["sdxl"], **settings, cache="on", caption_dropout=0.3)
    assert any("7 made" in line for line in said)  # two pictures both ways round, two captions and the empty one
    _, again, said = train(workspace, dataset, bases["sdxl"], **settings, cache="on", caption_dropout=0.3)
    assert any("0 made" in line and "7 from the cache" in line for line in said)
    _, live, _ = train(workspace, dataset, bases["sdxl"], **settings, cache="off", caption_dropout=0.3)
    assert cached == again
    assert np.allclose(cached, live, rtol=1e-4)


def test_the_encoders_leave_memory_once_cached(workspace, dataset, bases, monkeypatch):
    from studio.models.images.families.pipeline import PipelineFamily
    from studio.train.images import loop

    there = []
    step = loop.one_step

    def watched(family, *arguments):
        there.append(set(family._parts) & set(family.classes))
        return step(family, *arguments)

    monkeypatch.setattr(loop, "one_step", watched)
    assert issubclass(type(open_family("flux", bases["flux"], **CPU)), PipelineFamily)
    train(workspace, dataset, bases["flux"], steps=2, lora={"rank": 2})
    assert there == [{"transformer"}] * 2


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_a_quantised_base_trains_and_loads(family, workspace, dataset, bases):
    run, losses, _ = train(
        workspace, dataset, bases[family], steps=30, learning_rate=2e-2, quantization="nf4",
        lora={"rank": 8, "target_modules": "all-linear"}, gradient_checkpointing=True,
    )  # fmt: skip
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    loaded = load_image_run(run)
    tuned = samples(loaded)
    assert type(next(layer for layer in loaded.carriers[loaded.family.tuned].modules() if "4bit" in type(layer).__name__))
    with loaded.base():
        assert not np.array_equal(samples(loaded), tuned)


def test_full_tuning_gives_a_base(workspace, dataset, bases):
    run, _, _ = train(workspace, dataset, bases["sd15"], method="full", steps=3, learning_rate=1e-2)
    loaded = load_image_run(run)
    import diffusers

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(run / "model", local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    key = "mid_block.attentions.0.proj_in.weight"
    assert torch.equal(pipeline.unet.state_dict()[key], loaded.family.part("unet").state_dict()[key])
    with loaded.base():
        before = samples(loaded)
    assert not np.array_equal(before, samples(loaded))


def test_an_adapter_of_another_base_is_refused(workspace, dataset, bases, tmp_path):
    from studio.adapters.images.lora import load_image_lora

    run, _, _ = train(workspace, dataset, bases["sd15"], steps=1, lora={"rank": 2, "target_modules": "all-linear"})
    with pytest.raises(UserError, match=r"does not (fit|have)"):
        load_image_lora(open_family("sdxl", bases["sdxl"], **CPU), run / "adapter")
    with pytest.raises(UserError, match="is of the family sd15, the preset says"):
        train(workspace, dataset, bases["sd15"], steps=1, family="flux")
