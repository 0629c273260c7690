"""Networks of timm: from weights or from nothing, unfrozen stage by stage, with statistics that do not move while frozen."""

from __future__ import annotations

import json

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from studio.core.errors import ConfigError, DataError, StudioError, UserError
from studio.models.predictors.opening import open_predictor, save_predictor
from studio.models.predictors.picture_layers import TIMM_NAMES, TimmNetwork
from studio.schema.loading import validate
from studio.schema.predictors import ClassifierPreset
from studio.train.predictors.checks import base_of
from studio.train.predictors.learning import Learner
from tests.train.predictors.network_jobs import digits, fit, losses, network_job, same_weights, trained
from tests.train.predictors.test_learning import Signals

TINY = {"type": "resnet", "size": 32, "epochs": 1, "batch_size": 16, "flip": False, "learning_rate": 0.003}


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    monkeypatch.setattr("studio.train.predictors.learning.plot_network_loss", lambda *_: None)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    found = digits(tmp_path_factory.mktemp("digits"), 44)
    return found.part(range(32)), found.part(range(32, 44))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A ResNet-18 as timm's models on the Hub are, with random weights."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=7)
    save_file(network.state_dict(), folder / "model.safetensors")
    pixels = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.2]}
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet18", "num_classes": 7, "pretrained_cfg": pixels}))
    return folder


def body_changes(predictor, folder):
    """Groups of layers of the body that training has changed, running statistics included."""
    before, after = load_file(folder / "model.safetensors"), predictor.network.body.state_dict()
    return {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}


def test_all_layers_train_and_the_head_is_new(rows, weights, tmp_path):
    predictor = trained(tmp_path, *rows, TINY, model=str(weights))
    assert body_changes(predictor, weights) == {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
    assert predictor.settings["mean"] == [0.4, 0.5, 0.6] and predictor.network.head[1].out_features == 10
    save_predictor(predictor, tmp_path)
    assert np.array_equal(open_predictor(tmp_path).scores(rows[1].features), predictor.scores(rows[1].features))


def test_a_frozen_network_does_not_move_at_all(rows, weights, tmp_path):
    # Batch normalisation has running statistics that move without any gradient; colours keep pictures from being read once.
    frozen = TINY | {"tune": "head", "colour": 0.2, "epochs": 2, "learning_rate": 0.1}
    predictor = trained(tmp_path, *rows, frozen, model=str(weights))
    assert not body_changes(predictor, weights)
    assert predictor.info.extra["result"]["trained_parameters"] == 512 * 10 + 10


def test_stages_are_unfrozen_one_after_the_other(rows, weights, tmp_path, monkeypatch):
    seen: dict[int, set[str]] = {}
    step = Learner._step

    def watched(self, batch):
        step(self, batch)
        epoch = 1 + (self.standing.step - 1) // self.epoch_steps
        seen[epoch] = {name for name, part in self.network.body.named_children() if part.training and list(part.parameters())}

    monkeypatch.setattr(Learner, "_step", watched)
    staged = TINY | {"tune": "head", "unfreeze": [2, 4], "epochs": 4, "patience": 1}
    predictor = trained(tmp_path, *rows, staged, model=str(weights))
    # Early stopping waits for the last stage.
    assert seen == {1: set(), 2: {"layer4"}, 3: {"layer4"}, 4: {"layer4", "layer3"}}
    best = predictor.info.extra["result"]["best_epoch"]
    assert body_changes(predictor, weights) == seen[best]


@pytest.mark.parametrize("name", TIMM_NAMES)
def test_every_network_has_stages_that_are_all_of_its_body(name):
    network = TimmNetwork(architecture=name, labels=3, activation_name=None, dropout=0.1)
    parts = [value for stage in network.stages() for part in stage for value in part.parameters()]
    assert {id(value) for value in parts} == {id(value) for value in network.body.parameters()}
    assert len(parts) == len({id(value) for value in parts}) and len(network.stages()) >= 5
    pixels = torch.rand(2, 3, 64, 64)
    network.eval()
    assert torch.equal(network.head(network.pooled(network.maps(pixels))), network(pixels))
    assert network.maps(pixels).ndim == 4 and network(pixels).shape == (2, 3)


def test_the_head_alone_looks_at_every_picture_once(rows, weights, tmp_path, monkeypatch):
    looked = []
    maps = TimmNetwork.maps
    monkeypatch.setattr(TimmNetwork, "maps", lambda self, pixels: (looked.append(len(pixels)), maps(self, pixels))[1])
    once = TINY | {"tune": "head", "epochs": 6, "shift": 0, "colour": 0, "patience": None}
    predictor = trained(tmp_path / "once", *rows, once, model=str(weights))
    assert sum(looked) == 44 and not body_changes(predictor, weights)
    accuracy = np.mean(predictor.predict(rows[1].features).values == rows[1].target)
    assert losses(tmp_path / "once", "eval_accuracy")[predictor.info.extra["result"]["best_epoch"] - 1] == accuracy


def test_pretrained_layers_learn_slowly(rows, weights, tmp_path):
    slow, fast = (
        trained(tmp_path / str(share), *rows, TINY | {"body_rate": share, "warmup": 0}, model=str(weights)) for share in (0.01, 1)
    )
    before = load_file(weights / "model.safetensors")

    def moved(predictor):
        return (predictor.network.body.layer1[0].conv1.weight - before["layer1.0.conv1.weight"]).abs().mean()

    assert moved(slow) < 0.1 * moved(fast)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "resnet", "depth": 18, "activation": "gelu"},
        {"type": "mobilenet", "architecture": "mobilenetv3-small"},
        {"type": "mobilenet", "architecture": "mobilenetv2", "activation": "prelu"},
        {"type": "mobilenet", "architecture": "efficientnet-lite0", "dropout": 0.5},
    ],
)
def test_from_nothing_they_learn_and_are_opened_as_they_were(settings, rows, tmp_path):
    some = rows[0].part(range(12)), rows[1].part(range(4))
    predictor = trained(tmp_path / "run", *some, TINY | settings | {"pretrained": False})
    place = tmp_path / "saved"
    place.mkdir()
    save_predictor(predictor, place)
    assert np.array_equal(open_predictor(place).scores(rows[1].features), predictor.scores(rows[1].features))
    assert "body_rate" not in predictor.settings
    again = trained(tmp_path / "again", *some, TINY | settings | {"pretrained": False})
    assert same_weights(again, predictor)


def test_another_activation_is_said_and_its_slopes_are_new(rows, weights, tmp_path):
    job = network_job(tmp_path, *rows, TINY | {"activation": "prelu", "tune": "head", "colour": 0.1}, model=str(weights))
    predictor = fit(job)
    assert any("activation prelu" in said for said in job.told)
    slopes = [value for name, value in predictor.network.body.state_dict().items() if value.shape == (1,)]
    assert len(slopes) > 8 and all(float(slope) == 0.25 for slope in slopes)


def test_stopped_and_resumed_is_exact(rows, weights, tmp_path):
    settings = TINY | {"tune": "head", "unfreeze": [2], "epochs": 3, "patience": None, "shift": 0.1}
    whole = trained(tmp_path / "whole", *rows, settings, model=str(weights))
    job = network_job(tmp_path / "parts", *rows, settings, model=str(weights))
    for stop in (1, 3):  # before the stage trains, and in the middle of its first epoch
        job.stop = Signals(tmp_path / "parts", stop)
        assert fit(job) is None
        job = network_job(tmp_path / "parts", *rows, settings, model=str(weights), resume=True)
    assert same_weights(fit(job), whole)


def refused(rows, tmp_path, error=UserError, model=None, **settings):
    with pytest.raises(error) as caught:
        job = network_job(tmp_path, *rows, TINY | settings, model=model)
        base_of(job.preset)
        fit(job)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_is_one_sentence(rows, weights, tmp_path, monkeypatch):
    assert "16 pixels are too few" in refused(rows, tmp_path, size=16, pretrained=False)
    assert "has 5 stages" in refused(rows, tmp_path, model=str(weights), tune="head", unfreeze=[1, 2, 3, 4, 5, 6], epochs=6)
    many = TINY | {"tune": "head", "unfreeze": [1, 2, 3, 4, 5, 6], "epochs": 6}
    with pytest.raises(UserError, match="has 5 stages"):
        base_of(validate({"kind": "classifier", "estimator": many, "model": str(weights)}, ClassifierPreset))
    assert "are of resnet18, and resnet34" in refused(rows, tmp_path, model=str(weights), depth=34)
    assert "starts from nothing" in refused(rows, tmp_path, model=str(weights), pretrained=False)
    assert "is a text encoder, and a picture network" in refused(rows, tmp_path, model="minilm-l6")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    said = refused(rows, tmp_path, StudioError)
    assert "timm/resnet18" in said and "pretrained=false" in said and "efficientnet-lite0" in said
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text((weights / "config.json").read_text())
    state = load_file(weights / "model.safetensors")
    save_file({name: value for name, value in state.items() if "layer2" not in name}, broken / "model.safetensors")
    assert "lack 30 tensors" in refused(rows, tmp_path, StudioError, model=str(broken))


def test_pictures_too_small_for_the_depth_and_broken_ones_are_one_sentence(rows, tmp_path):
    small = {"type": "small-cnn", "size": 8, "depth": 4}
    with pytest.raises(ConfigError, match="Set depth to 3 at most"):
        fit(network_job(tmp_path, *rows, small))
    broken = rows[0].part(range(4))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken.features.loc[2, "picture"] = str(tmp_path / "broken.png")
    with pytest.raises(DataError, match=r"broken.png cannot be read as a picture"):
        fit(network_job(tmp_path, broken, None, small | {"depth": 2}))
    broken.features.loc[2, "picture"] = None
    with pytest.raises(DataError, match="has no picture"):
        fit(network_job(tmp_path, broken, None, small | {"depth": 2}))


def test_pictures_that_do_not_fit_into_memory_are_opened_again(rows, tmp_path, monkeypatch):
    small = {"type": "small-cnn", "size": 8, "depth": 2, "width": 4, "epochs": 2}
    kept = trained(tmp_path / "kept", *rows, small)
    monkeypatch.setattr("studio.train.predictors.picture_training.memory_of", lambda _device: 0)
    assert same_weights(trained(tmp_path / "opened", *rows, small), kept)


@pytest.mark.starter
def test_the_starter_is_the_base_and_can_be_frozen(rows, tmp_path):
    starter = {"type": "mobilenet", "tune": "head", "size": 32, "flip": False, "shift": 0, "colour": 0}
    job = network_job(tmp_path, *rows, starter | {"epochs": 30, "learning_rate": 0.01})
    record = base_of(job.preset)
    assert record["name"] == "efficientnet-lite0" and record["source"] == "starter" and record["licence"] == "apache-2.0"
    predictor = fit(job)
    body = load_file(f"{record['path']}/model.safetensors")
    assert all(torch.equal(value, body[name]) for name, value in predictor.network.body.state_dict().items())
    assert np.mean(predictor.predict(rows[0].features).values == rows[0].target) > 0.9
