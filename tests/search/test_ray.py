"""Trials on Ray: against a stand-in for its five calls, and against Ray itself where it is installed."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from studio.core.extras import available
from studio.core.workspace import Workspace
from studio.search.journal import Journal
from tests.conftest import Result
from tests.search.test_search import C, plain, search, the_search

Studio = Callable[..., Result]


class RayError(Exception):
    """As Ray's own."""


class FakeRay(types.ModuleType):
    """Does a task when its answer is asked for, the newest first; ``lose`` names one that dies."""

    def __init__(self, lose: int | None = None, refuse: bool = False) -> None:
        super().__init__("ray")
        self.exceptions = types.SimpleNamespace(RayError=RayError)
        self.lose, self.refuse, self.most, self.open = lose, refuse, 0, []
        self.settings: dict[str, Any] = {}
        self.up, self.tries = False, 0

    def init(self, **settings: Any) -> None:
        self.tries += 1
        if self.refuse:
            raise Exception("The current node timed out during startup.\nmore")
        self.up, self.settings = True, settings

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **resources: Any) -> Callable[[Any], Any]:
        assert resources == {"num_cpus": 1, "num_gpus": 0, "max_retries": 0}

        def wrap(function: Any) -> Any:
            def submit(record: dict[str, Any]) -> Any:
                reference = (len(self.open), function, str(record["number"]))
                self.open.append(reference)
                self.records = {**getattr(self, "records", {}), reference: record}
                return reference

            return types.SimpleNamespace(remote=submit)

        return wrap

    def wait(self, references: list[Any], *, num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(references))
        return [references[-1]], references[:-1]

    def get(self, reference: Any) -> Any:
        record = self.records[reference]
        if record["number"] == self.lose:
            raise RayError("The worker died unexpectedly")
        return reference[1](record)

    def cancel(self, reference: Any) -> None:
        raise AssertionError("nothing is under way at the end")

    def shutdown(self) -> None:
        self.up = False


@pytest.mark.long
def test_the_same_trials_run_on_ray(studio: Studio, flowers: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [*C, "--by", "random", "--trials", 4]
    assert search(studio, *drawn, "--name", "here").code == 0
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr("studio.core.ray_cluster.available", lambda name: name == "ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    done = search(studio, *drawn, "--name", "there", "--engine", "ray", "--processes", 3)
    assert done.code == 0, done.err
    here, there = (Journal(the_search(flowers, name)).trials for name in ("here", "there"))
    assert plain(here) == plain(there) and ray.most == 3 and not ray.up
    assert ray.settings["include_dashboard"] is False and ray.settings["address"] == "local"
    lost = FakeRay(lose=2)
    monkeypatch.setitem(sys.modules, "ray", lost)
    assert search(studio, *drawn, "--name", "lost", "--engine", "ray", "--processes", 2).code == 0
    [gone] = [trial for trial in Journal(the_search(flowers, "lost")).trials if trial.state == "failed"]
    assert gone.number == 2 and gone.reason == "its task on Ray ended: The worker died unexpectedly"


def test_a_ray_that_does_not_start_is_one_sentence(studio: Studio, flowers: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(refuse=True)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("studio.core.ray_cluster._PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("studio.core.ray_cluster.available", lambda name: name == "ray")
    done = search(studio, *C, "--engine", "ray")
    assert done.code == 1 and done.err.count("error:") == 1
    assert "Ray does not start on this machine, at 3 tries" in done.err and ray.tries == 3
    assert "The current node timed out during startup. Take --processes N instead." in done.err


@pytest.mark.long
@pytest.mark.skipif(not available("ray"), reason="Ray is an extra: pip install 'finetuning-studio[ray]'")
def test_ray_itself_runs_them(studio: Studio, flowers: Workspace) -> None:
    drawn = [*C, "--by", "random", "--trials", 3]
    assert search(studio, *drawn, "--name", "here").code == 0
    assert search(studio, *drawn, "--name", "there", "--engine", "ray", "--processes", 2).code == 0
    here, there = (Journal(the_search(flowers, name)).trials for name in ("here", "there"))
    assert plain(here) == plain(there)
