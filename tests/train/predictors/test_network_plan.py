"""The plan of a network counts what the training then trains, and refuses what cannot fit."""

from __future__ import annotations

import pytest

from studio.core.errors import GateNotMetError
from studio.train.predictors.network_plan import plan_network, probe_network
from tests.train.predictors.made import sklearn_table
from tests.train.predictors.network_jobs import digits, network_job, one_column, trained

GB = 10**9


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    monkeypatch.setattr("studio.train.predictors.learning.plot_network_loss", lambda *_: None)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("digits"), 40)


def planned(preset, rows, memory=100 * GB):
    return plan_network(preset, rows, memory=memory, free_disk=100 * GB)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "small-cnn", "size": 16, "width": 4},
        {"type": "mobilenet", "architecture": "mobilenetv3-small", "size": 32, "pretrained": False},
        {"type": "resnet", "size": 32, "pretrained": False, "activation": "prelu"},
    ],
)
def test_what_is_planned_is_what_trains(settings, pictures, tmp_path):
    settings = settings | {"epochs": 1, "batch_size": 16}
    predictor = trained(tmp_path, pictures, None, settings)
    found = planned(network_job(tmp_path, pictures, None, settings).preset, pictures)
    result = predictor.info.extra["result"]
    assert (found.trained, found.parameters, found.steps) == (
        result["trained_parameters"],
        result["parameters"],
        result["steps"],
    )


def test_words_and_columns_are_planned(tmp_path):
    texts = one_column("text", ["good food", "bad noise"] * 20, ["a", "b"] * 20)
    for settings in ({"type": "lstm", "width": 8}, {"type": "text-cnn", "filters": 4}):
        small, large = (
            planned(network_job(tmp_path, texts, None, settings | {"batch_size": size}).preset, texts) for size in (8, 32)
        )
        assert 3 < large.parts["activations"] / small.parts["activations"] < 5
        assert large.epoch_steps == 2 and small.epoch_steps == 5
    table = sklearn_table("wine")
    found = planned(network_job(tmp_path, table, None, {"type": "mlp", "width": 8}, imbalance="oversample").preset, table)
    assert found.epoch_steps == -(-3 * 71 // 32)


def test_frozen_layers_keep_nothing(pictures, tmp_path):
    def activations(**settings):
        preset = network_job(tmp_path, pictures, None, {"type": "resnet", "size": 64} | settings).preset
        return planned(preset, pictures).parts["activations"]

    assert activations(tune="head") <= activations(tune="head", unfreeze=[1]) < activations() / 2


def test_what_cannot_fit_is_refused_with_what_to_change(pictures, tmp_path):
    preset = network_job(tmp_path, pictures, None, {"type": "resnet", "pretrained": False}).preset
    planned(preset, pictures).check()
    with pytest.raises(GateNotMetError, match=r"needs about .* GB and there are 0.1 GB.*batch_size"):
        planned(preset, pictures, memory=GB // 10).check()
    with pytest.raises(GateNotMetError, match="GB of disk"):
        plan_network(preset, pictures, memory=None, free_disk=1000).check()


def test_a_probe_measures_real_steps_and_leaves_nothing(pictures, tmp_path):
    preset = network_job(tmp_path, pictures, None, {"type": "small-cnn", "size": 8, "width": 4, "batch_size": 8}).preset
    before = sorted(tmp_path.iterdir())
    probed = probe_network(preset, pictures, planned(preset, pictures))
    assert probed.seconds is not None and 0 < probed.seconds < 5 and sorted(tmp_path.iterdir()) == before


@pytest.mark.starter
@pytest.mark.parametrize(("tune", "share"), [("all", 1), ("frozen", 0.01), ("lora", 0.05)])
def test_an_encoder_is_planned_by_how_it_is_tuned(tune, share, tmp_path):
    texts = one_column("text", ["good food", "bad noise"] * 20, ["a", "b"] * 20)
    preset = network_job(tmp_path, texts, None, {"type": "bert", "tune": tune}, model="minilm-l6").preset
    found = planned(preset, texts)
    assert found.trained <= share * found.parameters and 22e6 < found.parameters < 24e6
    assert found.parts["activations"] > 10e6
