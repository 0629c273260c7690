"""The families that come as a diffusers pipeline, against diffusers' own pipeline on tiny bases made from their configs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from benchmarks.image_shapes import FAMILIES, write_base
from studio.core.errors import UserError
from studio.models.images.families.base import Size, family_of, open_family

CPU = {"device": torch.device("cpu"), "dtype": torch.float32}
TEXT = [family for family in FAMILIES if family != "unconditional"]
PROMPTS, SEEDS = ["a red door", "the roof"], [5, 6]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image-bases")
    return {family: write_base(folder / family, family) for family in FAMILIES}


def by_diffusers(folder, family, *, steps, guidance):
    """The same pictures by diffusers' pipeline, with the noise, schedule and empty prompt of ours."""
    import diffusers

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    ours = open_family(family, folder, **CPU)
    shape = ours.latent_shape(16, 16)
    noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS])
    options = {"num_inference_steps": steps, "guidance_scale": guidance, "height": 16, "width": 16, "output_type": "np"}
    if family in ("sd15", "sdxl"):
        config = {**pipeline.scheduler.config, "timestep_spacing": "trailing", "steps_offset": 0}
        pipeline.scheduler = diffusers.DDIMScheduler.from_config(config, set_alpha_to_one=True)
    else:
        options["sigmas"] = [1 - step / steps for step in range(steps)]
    if family == "flux":
        noise = pipeline._pack_latents(noise, 2, shape[0], shape[1], shape[2])
    else:
        options["negative_prompt"] = None if family == "sdxl" else [""] * 2
    return pipeline(PROMPTS, latents=noise, **options).images


@pytest.mark.parametrize("family", TEXT)
def test_samples_are_those_of_diffusers(bases, family):
    guidance = 3.0
    expected = by_diffusers(bases[family], family, steps=4, guidance=guidance)
    ours = open_family(family_of(bases[family]), bases[family], **CPU)
    found = ours.sample(PROMPTS, SEEDS, height=16, width=16, steps=4, guidance=guidance)
    assert np.abs(found.permute(0, 2, 3, 1).numpy() - expected).max() < 1e-4
    alone = ours.sample(PROMPTS[1:], SEEDS[1:], height=16, width=16, steps=4, guidance=guidance)
    torch.testing.assert_close(alone[0], found[1], atol=1e-5, rtol=0)


def test_unconditional_denoises_what_its_scheduler_noised(bases):
    from diffusers import DDIMPipeline

    family = open_family("unconditional", bases["unconditional"], **CPU)
    pipeline = DDIMPipeline.from_pretrained(bases["unconditional"], local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    config = {**pipeline.scheduler.config, "timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": True}
    pipeline.scheduler = type(pipeline.scheduler).from_config(config)
    expected = pipeline(batch_size=1, num_inference_steps=4, generator=torch.Generator().manual_seed(5), output_type="np").images
    found = family.sample(["anything"], [5], height=16, width=16, steps=4, guidance=1.0)
    assert np.abs(found.permute(0, 2, 3, 1).numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("family", ["sd15", "sdxl", "unconditional"])
def test_the_schedulers_prediction_type_decides_the_loss(tmp_path, family):
    folder = write_base(tmp_path / family, family, prediction_type="v_prediction")
    assert open_family(family, folder, **CPU).process.objective == "v"


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_the_transformers_match_flows(bases, family):
    assert open_family(family, bases[family], **CPU).process.objective == "flow"


def test_sdxl_is_told_sizes_and_crops(bases):
    family = open_family("sdxl", bases["sdxl"], **CPU)
    text = family.encode_text(["door"])
    noisy, times = torch.zeros(1, 4, 8, 8), torch.tensor([500])
    whole = family.predict(noisy, times, text)
    same = family.predict(noisy, times, text, [Size((16, 16), (0, 0), (16, 16))])
    cropped = family.predict(noisy, times, text, [Size((64, 32), (5, 0), (16, 16))])
    assert torch.equal(whole, same) and not torch.allclose(whole, cropped)


def test_latents_are_drawn_anew_from_kept_moments(bases):
    family = open_family("sd3", bases["sd3"], **CPU)
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    moments = family.encode_pixels(pixels)
    assert moments.shape == (2, 8, 8, 8)
    one = family.latents(moments, torch.Generator().manual_seed(1))
    again = family.latents(moments, torch.Generator().manual_seed(1))
    other = family.latents(moments, torch.Generator().manual_seed(2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    vae = family.part("vae")
    expected = (vae.encode(pixels).latent_dist.mode() - vae.config.shift_factor) * vae.config.scaling_factor
    torch.testing.assert_close(family.latents(moments, None), expected)


def test_what_was_released_is_out_of_memory_and_comes_back_for_samples(bases):
    family = open_family("sdxl", bases["sdxl"], **CPU)
    before = family.sample(PROMPTS, SEEDS, height=16, width=16, steps=2, guidance=2.0)
    family.release(["vae", "text_encoder", "text_encoder_2"])
    assert set(family.networks()) == {"unet"}
    after = family.sample(PROMPTS, SEEDS, height=16, width=16, steps=2, guidance=2.0)
    assert torch.equal(before, after)
    family.sample(["never seen"], [1], height=16, width=16, steps=2, guidance=1.0)
    assert set(family._parts) & {"vae", "text_encoder", "text_encoder_2"} == set()


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_large_pictures_are_drawn_a_few_at_a_time(bases, family, monkeypatch):
    from studio.models.images.families import pipeline

    ours = open_family(family, bases[family], **CPU)
    options = {"height": 16, "width": 16, "steps": 2, "guidance": 2.0}
    together = ours.sample([*PROMPTS, "a wall"], [5, 6, 7], **options)
    monkeypatch.setattr(pipeline, "_PIXELS_AT_ONCE", 2 * 16 * 16)
    sizes = []
    predict = type(ours).predict

    def watched(self, noisy, *arguments):
        sizes.append(len(noisy))
        return predict(self, noisy, *arguments)

    monkeypatch.setattr(type(ours), "predict", watched)
    few = ours.sample([*PROMPTS, "a wall"], [5, 6, 7], **options)
    torch.testing.assert_close(few, together, atol=1e-5, rtol=0)
    assert max(sizes) == (2 if family == "flux" else 4) and min(sizes) == (1 if family == "flux" else 2)


def test_sd3_without_its_t5(bases, tmp_path):
    import json

    folder = shutil.copytree(bases["sd3"], tmp_path / "sd3")
    shutil.rmtree(folder / "text_encoder_3")
    shutil.rmtree(folder / "tokenizer_3")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}))
    family = open_family("sd3", folder, **CPU)
    text = family.encode_text(["door"])
    assert text["embeds"].shape == (1, 77 + 256, 32) and text["embeds"][:, 77:].abs().max() == 0
    assert family.predict(torch.zeros(1, 4, 8, 8), torch.tensor([0.5]), text).shape == (1, 4, 8, 8)


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantised_base_is_smaller_and_close(bases, quantization):
    plain = open_family("flux", bases["flux"], **CPU)
    small = open_family("flux", bases["flux"], quantization=quantization, **CPU)
    import bitsandbytes

    layers = [type(layer) for layer in small.part("transformer").modules()]
    kind = bitsandbytes.nn.Linear4bit if quantization == "nf4" else bitsandbytes.nn.Linear8bitLt
    assert layers.count(kind) > 10
    text = plain.encode_text(["door"])
    noisy, times = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0.5])
    exact, rounded = plain.predict(noisy, times, text), small.predict(noisy, times, text)
    assert 0 < (exact - rounded).abs().max() < 0.5 * exact.abs().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_base_opens_again(bases, family, tmp_path):
    ours = open_family(family, bases[family], **CPU)
    ours.save(tmp_path / "saved")
    again = open_family(family_of(tmp_path / "saved"), tmp_path / "saved", **CPU)
    options = {"height": 16, "width": 16, "steps": 2, "guidance": 1.0}
    assert torch.equal(ours.sample(PROMPTS, SEEDS, **options), again.sample(PROMPTS, SEEDS, **options))


def test_damaged_bases_are_refused_in_one_sentence(bases, tmp_path):
    folder = shutil.copytree(bases["sd15"], tmp_path / "sd15")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="cut off"):
        open_family("sd15", folder, **CPU)
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UserError, match="pickled"):
        open_family("sd15", folder, **CPU)
    shutil.rmtree(folder / "unet")
    with pytest.raises(UserError, match=r"unet/config\.json is missing"):
        open_family("sd15", folder, **CPU)
