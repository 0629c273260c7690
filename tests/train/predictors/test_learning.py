"""One loop for all networks: every setting takes effect, seeds give bits, the best weights stay, a kill changes nothing."""

from __future__ import annotations

import math
import signal

import numpy as np
import pytest
import torch

from studio.core.errors import ConfigError, StudioError
from studio.models.predictors.opening import open_predictor, save_predictor
from studio.schema.networks import SmallCnn
from studio.train.checkpoints import list_checkpoints
from studio.train.predictors.learning import epoch_batches
from studio.train.predictors.rates import share_of_rate
from studio.train.recording import read_metrics
from tests.train.predictors.network_jobs import digits, fit, losses, network_job, same_weights, trained

TINY = {
    "type": "small-cnn",
    "size": 8,
    "depth": 2,
    "width": 4,
    "flip": False,
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    found = digits(tmp_path_factory.mktemp("digits"), 130)
    return found.part(range(100)), found.part(range(100, 130))


@pytest.fixture(scope="module")
def plain(rows, tmp_path_factory):
    """The training that all others are compared with."""
    folder = tmp_path_factory.mktemp("plain")
    return folder, trained(folder, *rows, TINY)


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    """Drawing the curve takes longer than learning; the record's own test looks at one."""
    monkeypatch.setattr("studio.train.predictors.learning.plot_network_loss", lambda *_: None)


# A setting of the loop, and a value that must change what is learned.
CHANGES = {
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 0.02,
    "decay": "none",
    "warmup": 0.3,
    "l2": 0.5,
    "dropout": 0.5,
    "label_smoothing": 0.2,
    "clip": 0.01,
    "depth": 1,
    "width": 8,
    "activation": "gelu",
    "size": 16,
    "flip": True,
    "shift": 0.3,
    "colour": 0.5,
}


@pytest.mark.parametrize("setting", CHANGES)
def test_every_setting_changes_what_is_learned(setting, rows, plain, tmp_path):
    changed = trained(tmp_path, *rows, TINY | {setting: CHANGES[setting]})
    assert not same_weights(changed, plain[1])


@pytest.mark.parametrize("how", ["weights", "oversample", "undersample"])
def test_every_remedy_of_imbalance_changes_what_is_learned(how, rows, plain, tmp_path):
    folder, without = plain
    balanced = trained(tmp_path, *rows, TINY, imbalance=how)
    assert not same_weights(balanced, without)
    _, counts = np.unique(rows[0].target, return_counts=True)
    expected = {"weights": 100, "oversample": 10 * counts.max(), "undersample": 10 * counts.min()}[how]
    assert balanced.info.extra["result"]["rows_per_epoch"] == expected
    # What validation measures is balanced too, so that early stopping does not stop what is asked for.
    assert losses(tmp_path, "eval_loss")[0] != losses(folder, "eval_loss")[0]


def test_a_seed_gives_the_same_bits_and_another_seed_others(rows, plain, tmp_path):
    torch.manual_seed(123)  # what the process drew before does not matter, and goes on as if nothing had happened
    expected = torch.Generator().manual_seed(123)
    again = trained(tmp_path / "again", *rows, TINY)
    assert same_weights(again, plain[1]) and losses(tmp_path / "again") == losses(plain[0])
    assert torch.equal(torch.rand(3), torch.rand(3, generator=expected))
    assert not same_weights(trained(tmp_path / "other", *rows, TINY, seed=1), plain[1])


def test_the_record_and_the_curve(rows, plain):
    folder, predictor = plain
    result = predictor.info.extra["result"]
    assert result["steps"] == 3 * math.ceil(100 / 16) and result["epochs"] == 3
    assert result["first_loss"] == losses(folder)[0] and result["validation_loss"] == min(losses(folder, "eval_loss"))
    assert result["final_loss"] < result["first_loss"] and (folder / "loss.png").read_bytes()[:4] == b"\x89PNG"
    [accuracy] = losses(folder, "eval_accuracy")[-1:]
    assert accuracy == np.mean(predictor.predict(rows[1].features).values == rows[1].target)


def test_saved_and_opened_it_says_the_same(rows, plain, tmp_path):
    predictor = plain[1]
    save_predictor(predictor, tmp_path)
    opened = open_predictor(tmp_path)
    assert np.array_equal(opened.scores(rows[1].features), predictor.scores(rows[1].features))
    assert np.allclose(opened.scores(rows[1].features).sum(axis=1), 1, atol=1e-12)
    (tmp_path / "model.safetensors").write_bytes(b"0")
    with pytest.raises(StudioError, match="cannot be opened"):
        open_predictor(tmp_path)


def test_early_stopping_keeps_the_best_weights(rows, tmp_path):
    # Steps far too large: the loss gets worse after some epoch.
    wild = TINY | {"learning_rate": 0.3, "decay": "none", "warmup": 0, "epochs": 20, "patience": 2}
    job = network_job(tmp_path / "stopped", *rows, wild)
    predictor = fit(job)
    measured = losses(tmp_path / "stopped", "eval_loss")
    best = 1 + measured.index(min(measured))
    assert best + 2 == len(measured) < 20 and predictor.info.extra["result"]["best_epoch"] == best
    assert any("early" in said or "best after epoch" in said for said in job.told)
    shorter = trained(tmp_path / "short", *rows, wild | {"epochs": best, "patience": None})
    assert same_weights(shorter, predictor)
    never = trained(tmp_path / "never", *rows, wild | {"epochs": best + 4, "patience": None})
    assert never.info.extra["result"]["epochs"] == best + 4


def test_without_validation_rows_the_last_weights_stay(rows, tmp_path):
    predictor = trained(tmp_path, rows[0], None, TINY | {"patience": 1})
    assert predictor.info.extra["result"]["epochs"] == 3 and predictor.info.extra["result"]["best_epoch"] is None


def test_the_learning_rate_of_every_step():
    def shares(**settings):
        return [share_of_rate(SmallCnn(**settings), step, 10, 0) for step in range(10)]

    assert shares(decay="none", warmup=0.2)[:3] == [0.5, 1, 1] and shares(decay="none")[-1] == 1
    assert shares(decay="linear", warmup=0)[5] == 0.5 and shares(decay="linear", warmup=0.2)[2] == 1
    assert shares(decay="cosine", warmup=0)[5] == pytest.approx(0.5) and shares(decay="cosine", warmup=0)[9] < 0.03
    assert share_of_rate(SmallCnn(decay="plateau", warmup=0), 5, 10, cuts=2) == pytest.approx(1 / 9)


def test_a_plateau_makes_steps_smaller(rows, tmp_path):
    wild = TINY | {"learning_rate": 0.3, "decay": "plateau", "warmup": 0, "epochs": 12, "patience": 4}
    trained(tmp_path, *rows, wild)
    measured, rates = losses(tmp_path, "eval_loss"), losses(tmp_path, "learning_rate")
    worse = cuts = 0
    for epoch, loss in enumerate(measured):
        assert rates[epoch * 7] == pytest.approx(0.3 / 3**cuts)
        worse = 0 if loss <= min(measured[: epoch + 1]) else worse + 1
        if worse == 2:
            worse, cuts = 0, cuts + 1
    assert cuts


def test_biases_and_norms_do_not_decay(rows, tmp_path, monkeypatch):
    seen = []
    init = torch.optim.AdamW.__init__
    monkeypatch.setattr(
        torch.optim.AdamW, "__init__", lambda self, groups, **more: (seen.extend(groups), init(self, groups, **more))[1]
    )
    trained(tmp_path, *rows, TINY | {"epochs": 1, "l2": 0.25, "activation": "prelu"})
    assert {group["weight_decay"] for group in seen} == {0.25, 0.0}
    for group in seen:
        assert all((value.ndim > 1) == (group["weight_decay"] > 0) for value in group["params"])


def test_no_batch_has_one_row_only():
    batches = epoch_batches(torch.arange(33), 16, seed=0, epoch=1)
    assert [len(batch) for batch in batches] == [16, 17] and sorted(row for batch in batches for row in batch) == list(range(33))
    assert batches != epoch_batches(torch.arange(33), 16, seed=0, epoch=2)


class Signals:
    """What ``StopOnSignal`` looks like when a signal comes while a certain step runs."""

    def __init__(self, folder, step):
        self.folder, self.step, self.stopped = folder, step, False

    @property
    def received(self):
        lines = read_metrics(self.folder / "metrics.jsonl")
        return signal.SIGINT if lines[-1]["step"] >= self.step else None


@pytest.mark.parametrize("decay", ["cosine", "plateau"])
def test_stopped_anywhere_and_resumed_is_exact(rows, tmp_path, decay):
    settings = TINY | {"dropout": 0.3, "shift": 0.2, "decay": decay, "learning_rate": 0.05, "epochs": 4, "patience": 2}
    whole = trained(tmp_path / "whole", *rows, settings)
    # In the middle of an epoch, at its end, in the next one.
    job = network_job(tmp_path / "parts", *rows, settings)
    for stop in (3, 14, 17):
        job.stop = Signals(tmp_path / "parts", stop)
        assert fit(job) is None and job.stop.stopped
        assert int(list_checkpoints(tmp_path / "parts" / "checkpoints")[0].name.split("-")[1]) == stop
        job = network_job(tmp_path / "parts", *rows, settings, resume=True)
    parts = fit(job)
    assert same_weights(parts, whole)
    for key in ("loss", "eval_loss", "learning_rate", "grad_norm"):
        assert losses(tmp_path / "parts", key) == losses(tmp_path / "whole", key)
    changing = {"learning_seconds", "peak_memory_bytes"}
    one, two = (predictor.info.extra["result"] for predictor in (parts, whole))
    assert {name: one[name] for name in one.keys() - changing} == {name: two[name] for name in two.keys() - changing}


def test_a_broken_checkpoint_is_skipped_on_resume(rows, tmp_path, plain):
    job = network_job(tmp_path, *rows, TINY)
    job.stop = Signals(tmp_path, 10)
    assert fit(job) is None
    newest, older = list_checkpoints(tmp_path / "checkpoints")
    (newest / "trained.safetensors").write_bytes(b"cut off")
    job = network_job(tmp_path, *rows, TINY, resume=True)
    assert same_weights(fit(job), plain[1])
    assert any(newest.name in said for said in job.told) and any(older.name in said for said in job.told)


def test_a_training_that_blows_up_is_one_sentence(rows, tmp_path):
    with pytest.raises(StudioError, match=r"blown up.*learning_rate"):
        trained(tmp_path, *rows, TINY | {"learning_rate": 1e30, "warmup": 0})


def test_labels_that_only_validation_has_are_left_out_of_its_loss(rows, tmp_path, plain):
    train, validation = rows
    strange = validation.part(range(len(validation)))
    strange.target = np.where(np.arange(len(strange)) < 10, "eleven", strange.target)
    trained(tmp_path / "some", train, strange, TINY)
    assert len(losses(tmp_path / "some", "eval_loss")) == 3 and losses(tmp_path / "some", "eval_accuracy")[-1] <= 2 / 3
    strange.target[:] = "eleven"
    trained(tmp_path / "all", train, strange, TINY)
    assert not losses(tmp_path / "all", "eval_loss")


def test_impossible_settings_are_one_sentence():
    from studio.schema.loading import validate
    from studio.schema.predictors import ClassifierPreset

    def refused(**settings):
        with pytest.raises(ConfigError) as error:
            validate({"kind": "classifier", "estimator": {"type": "resnet", "epochs": 5, **settings}}, ClassifierPreset)
        return str(error.value)

    assert "beyond the 5 epochs" in refused(tune="head", unfreeze=[2, 6])
    assert "rising order" in refused(tune="head", unfreeze=[3, 2])
    assert "tune: all freezes nothing" in refused(unfreeze=[2])
    assert "random" in refused(tune="head", pretrained=False)
