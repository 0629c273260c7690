"""The allocator of CPU training: found, handed to children, and never forced on a process that is not the studio's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from studio.train import allocator

needs_mimalloc = pytest.mark.skipif(allocator.find_mimalloc() is None, reason="cmeel-mimalloc is not installed")


@needs_mimalloc
def test_a_child_runs_on_mimalloc():
    command = [sys.executable, "-c", "from studio.train.allocator import allocator_in_use; print(allocator_in_use())"]
    environment = allocator.steady_environment({key: value for key, value in os.environ.items() if key != "LD_PRELOAD"})
    assert subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.strip() == "mimalloc"


def test_what_a_person_preloads_stays():
    assert allocator.steady_environment({"LD_PRELOAD": "/lib/mine.so"}) == {"LD_PRELOAD": "/lib/mine.so"}


def test_nothing_changes_where_the_package_is_missing(monkeypatch):
    monkeypatch.setattr(allocator, "_PACKAGE", "no-such-package-anywhere")
    assert allocator.find_mimalloc() is None
    assert allocator.steady_environment({"A": "1"}) == {"A": "1"}


@needs_mimalloc
def test_this_test_run_is_not_restarted(monkeypatch):
    monkeypatch.delenv(allocator.MARK, raising=False)
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("the process that is not the studio's was replaced"))
    allocator.restart_with_steady_allocator()


@needs_mimalloc
def test_the_studio_command_restarts_itself_once(tmp_path):
    script = tmp_path / "studio"
    script.write_text(
        "import os, sys\n"
        "from studio.train.allocator import allocator_in_use, restart_with_steady_allocator\n"
        "print('start', flush=True)\n"
        "restart_with_steady_allocator()\n"
        "print(allocator_in_use(), sys.argv[1:], os.environ.get('LD_PRELOAD'))\n"
    )
    environment = {key: value for key, value in os.environ.items() if key not in {"LD_PRELOAD", allocator.MARK}}
    done = subprocess.run(
        [sys.executable, str(script), "train", "x"], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines() == ["start", "start", "mimalloc ['train', 'x'] None"]
