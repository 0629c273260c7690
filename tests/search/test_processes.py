"""Searches in processes of their own: several at once, killed, stopped early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from studio.search import record
from studio.search.crew import environment
from studio.search.journal import Journal, read_trials
from tests.conftest import Project, Result
from tests.search.test_search import C, plain, search, the_search

Studio = Callable[..., Result]


def test_each_process_has_a_gpu_and_a_share_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    found = [environment(number, 4, ["2", "5"]) for number in range(4)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["2", "5", "2", "5"]
    assert {one["OMP_NUM_THREADS"] for one in found} == {"2"}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert environment(0, 4, [])["OMP_NUM_THREADS"] == "1"


@pytest.mark.long
def test_two_processes_try_what_one_would_have_drawn(studio: Studio, flowers: Workspace) -> None:
    drawn = [*C, "--by", "random", "--trials", 4]
    assert search(studio, *drawn, "--name", "one").code == 0
    done = search(studio, *drawn, "--name", "two", "--processes", 2)
    assert done.code == 0, done.err
    one, two = (Journal(the_search(flowers, name)).trials for name in ("one", "two"))
    assert plain(one) == plain(two)
    assert (the_search(flowers, "two") / "process-1.log").is_file()


@pytest.mark.long
def test_a_killed_search_goes_on_to_the_same_trials(studio: Studio, flowers: Workspace) -> None:
    settings = [*C, "--trials", "12", "--suite", "none"]
    command = [sys.executable, "-m", "studio.cli.main", "search", "classify/logistic", "--data", "iris", *settings]

    def kill_after(arguments: list[str], trials: int) -> None:
        process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None:
            found = [place for place in record.searches(flowers) if place.parent.name == "killed"]
            if found and len(read_trials(found[0])[0]) >= trials:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    kill_after([*command, "--name", "killed"], 4)
    again = [sys.executable, "-m", "studio.cli.main", "search", "--resume", "killed"]
    kill_after(again, 11)
    assert studio("search", "--resume", "killed").code == 0
    assert search(studio, *C, "--trials", 12, "--name", "whole").code == 0
    killed, whole = (Journal(the_search(flowers, name)).trials for name in ("killed", "whole"))
    assert plain(killed) == plain(whole) and len(killed) == 13


@pytest.mark.long
def test_bad_learning_rates_are_stopped_early(
    studio: Studio, project: Project, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.search.pruning.FEWEST", 2)
    monkeypatch.setattr("studio.search.pruning._SECONDS", 0.02)
    rates = json.dumps([0.02, 0.005, 1e-6, 1e-7])
    arguments = [
        "search",
        project.preset,
        "--data",
        "doors",
        "--model",
        tiny_base,
        "--set",
        f"learning_rate={rates}",
        "--by",
        "grid",
    ]
    arguments += ["--set", "epochs=6", "--set", "early_stopping=null", "--suite", "none"]
    done = studio(*arguments, "--json")
    assert done.code == 0, done.err
    trials: list[dict[str, Any]] = done.json["trials"]
    assert [trial["state"] for trial in trials] == ["finished", "finished", "finished", "pruned", "pruned"]
    assert done.json["metric"] == "validation_loss" and done.json["best"] in {0, 1, 2}
    for trial in trials[3:]:
        assert trial["curve"] and len(trial["curve"]) < len(trials[0]["curve"])
        assert "worse than the median of the others'" in trial["reason"]
    assert done.json["result"]["luck"] is None
    assert not list((Path(done.json["folder"]) / "runs").glob("*/*/checkpoints"))
