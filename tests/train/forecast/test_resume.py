"""A network's training that was stopped goes on to the same weights; early stopping keeps the best ones."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from studio.core.content import find_content
from studio.core.errors import InterruptedRunError, StudioError
from studio.core.workspace import Workspace, read_run
from studio.train.checkpoints import list_checkpoints
from studio.train.forecast import learning
from studio.train.forecast.kind import FORECAST
from studio.train.forecast.learning import Session, learning_rate
from studio.train.opening import Asked
from tests.train.forecast.made_runs import SMALL, make_space, train


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_space(tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize("preset", ["lstm", "transformer"])
def test_a_stopped_training_goes_on_to_the_same_weights(preset: str, space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(space, preset, *SMALL, name=f"{preset}-whole") == 0
    whole = Workspace(space).find_run(f"{preset}-whole")
    step = Session.step

    def interrupted(self: Session) -> None:
        if self.standing.step == 24:
            signal.raise_signal(signal.SIGINT)
        step(self)

    monkeypatch.setattr(learning.Session, "step", interrupted)
    asked = Asked(find_content("adapters", f"forecast/{preset}"), preset, "sales", settings=SMALL, name=f"{preset}-stopped")
    folder = FORECAST.open(asked, Workspace(space))
    with pytest.raises(InterruptedRunError, match="studio train --resume"):
        FORECAST.train(folder, resume=False, processes=1, accelerate_config=None, say=lambda _: None)
    assert read_run(folder).status == "interrupted" and not (folder / "model").exists()
    monkeypatch.undo()
    FORECAST.train(folder, resume=True, processes=1, accelerate_config=None, say=lambda _: None)
    weights = [(run / "model" / "network.safetensors").read_bytes() for run in (whole, folder)]
    assert weights[0] == weights[1]
    lines = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (whole, folder)]
    plain = [[{key: value for key, value in line.items() if key != "seconds"} for line in some] for some in lines]
    assert plain[0] == plain[1]


def test_early_stopping_keeps_the_best_weights(space: Path) -> None:
    settings = ["estimator.steps=200", "estimator.eval_every=5", "estimator.width=8", "estimator.patience=2"]
    assert train(space, "lstm", *settings, "estimator.learning_rate=0.05", name="early") == 0
    run = Workspace(space).find_run("early")
    result = read_run(run).result
    looks = [line for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "eval_loss" in line]
    best = min(looks, key=lambda line: line["eval_loss"])
    assert result["steps"] < 200 and result["best_step"] == best["step"] and result["validation_loss"] == best["eval_loss"]
    assert looks[-1]["step"] == result["steps"] and result["steps"] - result["best_step"] == 10
    kept = run / "checkpoints" / f"checkpoint-{best['step']}" / "network.safetensors"
    assert kept.read_bytes() == (run / "model" / "network.safetensors").read_bytes()
    assert len(list_checkpoints(run / "checkpoints")) <= 3 and (run / "loss.png").stat().st_size > 5000


def test_the_learning_rate_rises_and_falls_as_said() -> None:
    settings = {"steps": 100, "warmup": 0.1, "learning_rate": 1.0, "decay": "linear"}
    rates = [learning_rate(settings, number) for number in range(100)]
    assert rates[0] == 0.1 and max(rates) == rates[10] == 1.0 and rates[99] < 0.02
    np.testing.assert_allclose(np.diff(rates[10:]), -1 / 90)
    assert {learning_rate(settings | {"decay": "none"}, number) for number in range(10, 100)} == {1.0}
    assert learning_rate(settings | {"decay": "cosine"}, 55) == pytest.approx(0.5)


def test_a_training_that_blows_up_ends_in_one_sentence(space: Path) -> None:
    with pytest.raises(StudioError, match="blown up"):
        asked = Asked(
            find_content("adapters", "forecast/lstm"),
            "lstm",
            "sales",
            settings=[*SMALL, "estimator.learning_rate=1e30"],
            name="up",
        )
        FORECAST.train(
            FORECAST.open(asked, Workspace(space)), resume=False, processes=1, accelerate_config=None, say=lambda _: None
        )
    assert read_run(Workspace(space).find_run("up")).status == "failed"


def test_a_stopped_training_of_many_series_begins_again(space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.models.forecast import local

    learn = local.learn

    def interrupted(way: local.Way, series: object) -> local.Learnt:
        signal.raise_signal(signal.SIGINT)
        return learn(way, series)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "learn", interrupted)
    asked = Asked(find_content("adapters", "forecast/theta"), "theta", "sales", name="theta-stopped")
    folder = FORECAST.open(asked, Workspace(space))
    with pytest.raises(KeyboardInterrupt):
        FORECAST.train(folder, resume=False, processes=1, accelerate_config=None, say=lambda _: None)
    assert read_run(folder).status == "interrupted"
    monkeypatch.undo()
    said: list[str] = []
    FORECAST.train(folder, resume=True, processes=1, accelerate_config=None, say=said.append)
    assert read_run(folder).status == "finished" and "theta learns each series in one go, so the training begins again" in said
