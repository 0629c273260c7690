"""DreamBooth: both the thing and the class the base drew are trained on. Textual inversion: diffusers loads the word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.image_shapes import write_base
from studio.adapters.images.inversion import WEIGHTS
from studio.adapters.images.loading import load_image_run
from studio.core.errors import ConfigError, UserError
from studio.models.images.families.base import open_family
from studio.train.images import loop
from studio.train.images.dreambooth import paired_windows
from studio.train.images.run import train_image_run
from studio.train.recording import read_metrics
from tests.train.images.made import make_dataset, open_image_run

CPU = {"device": torch.device("cpu"), "dtype": torch.float32}
PLAIN = {"batch_size": 2, "resolution": 16, "caption_dropout": 0.0, "dtype": "float32", "sample": {"count": 2, "steps": 2}}
PLAIN |= {"sample_every": 10_000, "lora": {"rank": 2, "target_modules": "all-linear"}}
BOOTH = {"prompt": "a photo of sks door", "class_prompt": "a photo of a door", "class_pictures": 3, "steps": 2, "weight": 0.5}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("thing") / "data")


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("booth-bases")
    return {family: write_base(folder / family, family) for family in ("sd15", "sdxl", "flux")}


def test_windows_hold_both_and_go_through_both():
    windows = paired_windows([(16, 16)] * 7, of_class=3, batch_size=2, steps=6, seed=0)
    assert all(len(window) == 4 and max(window[:2]) < 4 <= min(window[2:]) for window in windows)
    assert {row for window in windows for row in window} == set(range(7))
    with pytest.raises(UserError, match="32 x 16 pixels cannot share a step"):
        paired_windows([(16, 32), (16, 16)], of_class=1, batch_size=1, steps=1, seed=0)


def test_prior_preservation_trains_on_both(workspace, dataset, bases, own_cache, monkeypatch):
    seen = []
    step = loop.one_step

    def watched(family, learner, pictures, window, adapter, index):
        seen.extend((pictures.captions[row], pictures.weights[row], pictures.identities[row]) for row in window)
        return step(family, learner, pictures, window, adapter, index)

    monkeypatch.setattr(loop, "one_step", watched)
    said: list[str] = []
    run = open_image_run(workspace, dataset, PLAIN | {"steps": 6, "dreambooth": BOOTH}, bases["sd15"])
    train_image_run(run, resume=False, say=said.append)
    assert {(caption, weight) for caption, weight, _ in seen} == {("a photo of sks door", 1.0), ("a photo of a door", 0.5)}
    assert len({identity for _, _, identity in seen}) == 2 + 3
    assert any("3 pictures of 'a photo of a door' keep the class (3 drawn now" in line for line in said)

    # The class is what the untouched base draws; a second run takes it again, another base draws its own.
    drawn = sorted(own_cache.glob("class-pictures/*/*.png"))
    expected = open_family("sd15", bases["sd15"], **CPU).sample(
        ["a photo of a door"], [1000], height=16, width=16, steps=2, guidance=7.5
    )
    levels = (expected[0] * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(Image.open(drawn[0]), dtype=float) - levels).max() <= 1
    said.clear()
    train_image_run(
        open_image_run(workspace, dataset, PLAIN | {"steps": 1, "dreambooth": BOOTH}, bases["sd15"]),
        resume=False,
        say=said.append,
    )
    assert any("(0 drawn now" in line for line in said)
    other = PLAIN | {"steps": 1, "dreambooth": BOOTH | {"guidance": 2.0}}
    train_image_run(open_image_run(workspace, dataset, other, bases["sdxl"]), resume=False, say=said.append)
    assert len(list(own_cache.glob("class-pictures/*/*.png"))) == 6


def test_the_weight_of_the_class_counts(workspace, dataset, bases):
    losses = []
    for weight in (0.0, 1.0):
        settings = PLAIN | {"steps": 1, "dreambooth": BOOTH | {"weight": weight}}
        run = open_image_run(workspace, dataset, settings, bases["sd15"])
        train_image_run(run, resume=False, say=print)
        losses.append(read_metrics(run / "metrics.jsonl")[0]["loss"])
    assert losses[0] < losses[1]


@pytest.mark.parametrize(("family", "vectors"), [("sd15", 1), ("sd15", 3), ("sdxl", 2)])
def test_a_new_word_is_learnt_and_diffusers_loads_it(family, vectors, workspace, dataset, bases):
    word = {"word": "<my-door>", "start_word": "door", "vectors": vectors, "prompt": "a picture of {word}"}
    settings = PLAIN | {"method": "inversion", "inversion": word, "steps": 12, "learning_rate": 0.2}
    run = open_image_run(workspace, dataset, settings, bases[family])
    train_image_run(run, resume=False, say=print)
    loaded = load_image_run(run)
    prompts = ["a picture of <my-door>", "a picture of a door"]
    tuned = np.stack([np.asarray(picture, dtype=int) for picture in loaded.sample(prompts, [1, 1], steps=3, guidance=1.0)])
    with loaded.base():
        base = np.stack([np.asarray(picture, dtype=int) for picture in loaded.sample(prompts, [1, 1], steps=3, guidance=1.0)])
    assert np.array_equal(tuned[1], base[1])  # only the new word has changed
    assert not np.array_equal(tuned[0], base[0])

    import diffusers
    from safetensors.torch import load_file

    card = (run / "README.md").read_text()
    assert "a picture of <my-door>" in card and "load_lora_weights" not in card
    pipeline = diffusers.DiffusionPipeline.from_pretrained(bases[family], local_files_only=True)
    file = run / "adapter" / WEIGHTS
    if family == "sd15":
        pipeline.load_textual_inversion(run / "adapter", token="<my-door>")
    else:
        tensors = load_file(file)
        assert {name: tuple(value.shape) for name, value in tensors.items()} == {"clip_l": (2, 16), "clip_g": (2, 16)}
        for key, number in (("clip_l", ""), ("clip_g", "_2")):
            parts = {name: getattr(pipeline, f"{name}{number}") for name in ("text_encoder", "tokenizer")}
            pipeline.load_textual_inversion(tensors[key], token="<my-door>", **parts)
    theirs = open_family(family, bases[family], **CPU)
    for name in (*theirs.text_networks, *theirs.tokenizers):
        theirs._parts[name] = getattr(pipeline, name)
    expected, found = theirs.encode_text(prompts), loaded.family.encode_text(prompts)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-5)


def test_what_cannot_be_inverted_is_refused(workspace, dataset, bases):
    run = open_image_run(workspace, dataset, PLAIN | {"method": "inversion", "steps": 1}, bases["flux"])
    with pytest.raises(UserError, match="works on sd15 and sdxl, and this base is flux"):
        train_image_run(run, resume=False, say=print)
    known = PLAIN | {"method": "inversion", "steps": 1, "inversion": {"word": "<|endoftext|>"}}
    with pytest.raises(UserError, match="is a word of this base already"):
        train_image_run(open_image_run(workspace, dataset, known, bases["sd15"]), resume=False, say=print)
    with pytest.raises(ConfigError, match="must hold '{word}'"):
        open_image_run(workspace, dataset, {"method": "inversion", "inversion": {"prompt": "a door"}}, bases["sd15"])
    with pytest.raises(ConfigError, match="'dreambooth' tunes a base"):
        open_image_run(workspace, dataset, {"method": "inversion", "dreambooth": BOOTH}, bases["sd15"])
