"""VAE and GAN: they learn, resume exactly, draw by label, and a collapsed generator is found out."""

from __future__ import annotations

import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from studio.adapters.images.loading import load_image_run
from studio.core.errors import InterruptedRunError, UserError
from studio.core.workspace import read_dataset, read_run
from studio.models.images.families.base import family_of, open_family
from studio.models.images.label_networks import Discriminator, Generator, Vae, halvings
from studio.schema.generative import GanAdapter, VaeAdapter
from studio.schema.loading import validate
from studio.train.images import labelled
from studio.train.images.augment import altered
from studio.train.images.collapse import check_collapse
from studio.train.images.gan import discriminator_loss, generator_loss
from studio.train.images.labelled import train_labelled_run
from studio.train.images.vae import vae_loss
from studio.train.record import open_run
from studio.train.recording import read_metrics
from tests.train.images.made import make_dataset

THINGS = [(colour, f"a {colour} door") for colour in ("red", "green", "blue", "yellow", "black", "purple", "orange", "pink")]
LABELS = ["warm", "cold", "cold", "warm", "cold", "cold", "warm", "warm"]
SMALL = {"resolution": 16, "latent": 8, "width": 8, "batch_size": 8, "sample": {"count": 4}}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("labelled") / "data", THINGS, labels=LABELS, validation=2)


def open_labelled(workspace, dataset, kind, **settings):
    schema = VaeAdapter if kind == "vae" else GanAdapter
    adapter = validate({"kind": kind, **SMALL, **settings}, schema)
    return open_run(
        adapter, workspace, name=kind, dataset_folder=dataset, dataset=read_dataset(dataset),
        base={"source": "scratch"}, processes=1, method="scratch",
    )  # fmt: skip


def losses(run):
    return [line["loss"] for line in read_metrics(run / "metrics.jsonl") if "loss" in line]


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_a_run_like_any_other(kind, workspace, dataset):
    run = open_labelled(workspace, dataset, kind, steps=30, learning_rate=2e-3)
    said: list[str] = []
    record = train_labelled_run(run, resume=False, say=said.append)
    assert record.status == "finished" and record.kind == kind
    assert {"README.md", "loss.png", "metrics.jsonl", "config.yaml", "run.json"} <= {path.name for path in run.iterdir()}
    assert (run / "samples" / "step-000030.png").is_file()
    assert record.result["collapse"]["samples"] == 6
    assert all(warning in said or f"warning: {warning}" in said for warning in record.result["warnings"])

    loaded = load_image_run(run)
    prompts = ["warm", "cold", "a red door", "something else"]
    pictures = loaded.sample(prompts, [1, 1, 1, 1])
    again = load_image_run(run).sample(prompts[2:], [1, 1])
    assert pictures[0].size == (16, 16)
    assert pictures[2].tobytes() == pictures[0].tobytes() == again[0].tobytes()  # that caption's label is "warm"
    assert pictures[0].tobytes() != pictures[1].tobytes()
    assert pictures[3].tobytes() == again[1].tobytes()
    with pytest.raises(UserError, match="from scratch and has no base"), loaded.base():
        pass
    family = open_family(family_of(run / "model"), run / "model", device=torch.device("cpu"), dtype=torch.float32)
    with pytest.raises(UserError, match="16 x 16 pixels only"):
        family.sample(["warm"], [0], height=32, width=32, steps=1, guidance=1.0)


@pytest.mark.long
def test_the_vae_learns_and_its_bound_is_right(workspace, dataset):
    run = open_labelled(workspace, dataset, "vae", steps=150, learning_rate=3e-3)
    record = train_labelled_run(run, resume=False, say=print)
    found = losses(run)
    assert np.mean(found[-10:]) < np.mean(found[:10]) - 0.5  # nats per number
    assert record.result["validation_loss"] is not None
    assert record.result["active"] > 0

    # The bound against the two terms written out by torch.distributions.
    torch.manual_seed(0)
    network = Vae(size=16, width=8, labels=2, latent=8)
    pixels, labels, noise = torch.rand(5, 3, 16, 16) * 2 - 1, torch.tensor([0, 1, 2, 1, 0]), torch.randn(5, 8)
    bound, _ = vae_loss(network, pixels, labels, noise, beta=1.0)
    mean, log_variance = network.encode(pixels, labels)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(dim=1)
    decoded = network(mean + posterior.stddev * noise, labels)
    sigma = (decoded - pixels).square().mean().sqrt()
    likelihood = torch.distributions.Normal(decoded, sigma).log_prob(pixels).flatten(1).sum(dim=1)
    expected = (divergence - likelihood).mean() / pixels[0].numel()
    torch.testing.assert_close(bound, expected, rtol=1e-4, atol=1e-4)


def test_a_decoder_that_ignores_its_latents_is_found_out(workspace, dataset):
    run = open_labelled(workspace, dataset, "vae", steps=30, beta=10_000.0, learning_rate=3e-3)
    record = train_labelled_run(run, resume=False, say=print)
    assert record.result["active"] == 0
    assert any("posterior collapse" in warning for warning in record.result["warnings"])


def test_altered_pictures_differ_from_each_other_and_pass_gradients_on():
    pictures = torch.full((6, 3, 16, 16), 0.25).requires_grad_()
    found = altered(pictures, torch.Generator().manual_seed(0))
    again = altered(pictures, torch.Generator().manual_seed(0))
    assert torch.equal(found, again), "all that is random comes from the draws"
    assert len({tuple(picture.flatten().tolist()) for picture in found.detach()}) == 6
    cut = (found == 0).float().mean(dim=(1, 2, 3))
    assert bool((cut > 0.06).all()) and bool((cut < 0.6).all()), cut  # a square of 7 x 7 or a corner of it, and the borders
    found.sum().backward()
    assert pictures.grad is not None and bool((pictures.grad.flatten(1).abs().sum(dim=1) > 0).all())


def test_both_losses_see_altered_pictures_only():
    networks = Discriminator(size=8, width=8, labels=2), Generator(size=8, width=8, labels=2, latent=4)
    real, labels, noise = torch.rand(3, 3, 8, 8), torch.tensor([0, 1, 2]), torch.randn(3, 4)
    for loss in (partial(discriminator_loss, penalty=1.0), generator_loss):
        seen = []
        loss(*networks, real, labels, noise, alter=lambda pictures, seen=seen: seen.append(len(pictures)) or pictures * 0.5)
        assert sum(seen) == 6


def test_the_judges_penalty_is_the_squared_gradient():
    torch.manual_seed(0)
    judge, generator = Discriminator(size=8, width=8, labels=2), Generator(size=8, width=8, labels=2, latent=4)
    real, labels, noise = torch.rand(3, 3, 8, 8), torch.tensor([0, 1, 2]), torch.randn(3, 4)
    without, _ = discriminator_loss(judge, generator, real, labels, noise, penalty=0.0)
    with_it, _ = discriminator_loss(judge, generator, real, labels, noise, penalty=2.0)

    def squared(pictures):
        rows = []
        for number in range(3):
            row = pictures[number : number + 1].clone().requires_grad_()
            judge(row, labels[number : number + 1]).backward()
            rows.append(row.grad.square().sum())
        return torch.stack(rows).mean()

    drawn = generator(noise, labels).detach()
    torch.testing.assert_close(with_it - without, squared(real) + squared(drawn))


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_a_resumed_run_ends_as_one_that_was_not_stopped(kind, workspace, dataset, monkeypatch):
    whole = open_labelled(workspace, dataset, kind, steps=12, eval_every=6)
    train_labelled_run(whole, resume=False, say=print)
    stopped = open_labelled(workspace, dataset, kind, steps=12, eval_every=6)
    after = labelled.Session.after

    def stop_at_7(session, figures, progress):
        if figures["step"] == 7:
            session.stop.received = 15
        return after(session, figures, progress)

    monkeypatch.setattr(labelled.Session, "after", stop_at_7)
    with pytest.raises(InterruptedRunError, match="--resume"):
        train_labelled_run(stopped, resume=False, say=print)
    monkeypatch.undo()
    assert read_run(stopped).status == "interrupted"
    train_labelled_run(stopped, resume=True, say=print)
    assert losses(stopped) == losses(whole)
    weights = "model/network/model.safetensors"
    assert (stopped / weights).read_bytes() == (whole / weights).read_bytes()


class Collapsed(nn.Module):
    """A generator that draws one picture whatever it is given."""

    def __init__(self, **_):
        super().__init__()
        self.colour = nn.Parameter(torch.tensor([0.2, -0.3, 0.5]))

    def forward(self, latents, labels):
        return torch.tanh(self.colour).view(1, 3, 1, 1).expand(len(latents), 3, 16, 16)


def test_a_collapsed_generator_raises_a_warning_in_the_run(workspace, dataset, monkeypatch, capsys):
    from studio.models.images.families.labelled import LabelGan

    monkeypatch.setattr(LabelGan, "network_class", Collapsed)
    run = open_labelled(workspace, dataset, "gan", steps=2)
    said: list[str] = []
    record = train_labelled_run(run, resume=False, say=said.append)
    assert record.result["collapse"]["repeated"] == 1.0
    assert any(line.startswith("warning: the generator repeats itself: 100% of 6 samples") for line in said)
    saved = json.loads((run / "run.json").read_text())["result"]["warnings"]
    assert saved and saved[0].startswith("the generator repeats itself")
    assert "Warning: the generator repeats itself" in (run / "README.md").read_text()


def test_collapse_is_told_from_variety():
    generator = torch.Generator().manual_seed(0)
    labels = [f"label {number % 8}" for number in range(64)]
    kinds = torch.rand(8, 3, 1, 1, generator=generator)
    real = torch.stack([kinds[number % 8].expand(3, 16, 16) for number in range(64)])
    noise = 0.02 * torch.randn(64, 3, 16, 16, generator=generator)
    sound = check_collapse(real + 0.02 * torch.randn(64, 3, 16, 16, generator=generator), real + noise, labels)
    assert sound.warnings == [] and sound.labels_reached == sound.labels_real == 8
    assert 0.9 < sound.distance < 1.1 and sound.repeated < 0.2
    # One picture per label, again and again: as far apart as real ones on the whole, but repeated.
    repeats = check_collapse(real.clone(), real + noise, labels)
    assert repeats.repeated == 1.0 and len(repeats.warnings) == 1 and repeats.labels_reached == 8
    # One picture per label, never twice quite the same, where two real pictures are: what the share of repeats cannot see.
    twins = real + noise
    twins[8] = twins[0] + 1e-4 * torch.randn(3, 16, 16, generator=generator)
    alike = check_collapse(real + 0.005 * torch.randn(64, 3, 16, 16, generator=generator), twins, labels)
    assert alike.repeated == 0 and alike.within == pytest.approx(0.25, rel=0.1) and sound.within == pytest.approx(1, rel=0.1)
    assert len(alike.warnings) == 1 and "much the same for a label" in alike.warnings[0]
    # Varied pictures of one label only.
    one = check_collapse(kinds[0].expand(64, 3, 16, 16) + noise, real + noise, labels)
    assert one.labels_reached == 1 and any("forgets labels" in warning for warning in one.warnings)
    # Everything the same.
    same = check_collapse(kinds[:1].expand(64, 3, 16, 16), real + noise, labels)
    assert len(same.warnings) == 2 and same.distance < 0.01


def test_the_command_line_trains_one_and_says_what_is_wrong(studio, dataset, tmp_path, monkeypatch):
    space = tmp_path / "workspace"
    shutil.copytree(dataset, space / "datasets" / "made" / "0123456789abcdef")
    monkeypatch.setenv("STUDIO_WORKSPACE", str(space))
    sets = ["steps=3", "resolution=16", "width=8", "latent=8", "batch_size=4", "sample.count=2"]
    options = [option for value in sets for option in ("--set", value)]
    done = studio("train", "image/vae", "--data", "made", *options)
    assert done.code == 0, done.err
    assert "nats per number" in done.out and "studio eval images" in done.out
    refused = studio("train", "image/gan", "--data", "made", "--model", "somewhere", *options)
    assert refused.code == 2 and "has no base" in refused.err
    wrong = studio("train", "image/gan", "--data", "made", "--set", "resolution=20")
    assert wrong.code == 2 and "Allowed: 8, 16, 32, 64, 128" in wrong.err.replace(" or ", ", ")


def test_sizes():
    assert [halvings(size) for size in (8, 16, 32, 64, 128)] == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="24 pixels"):
        halvings(24)
