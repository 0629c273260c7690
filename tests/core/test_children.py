"""Processes of a pool end with the one that asked for them, however it ended."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

PARENT = """
import os, time
from studio.data.workers import workers

if __name__ == "__main__":
    with workers(2) as crew:
        ready = [crew.pool().submit(os.getpid) for _ in range(8)]
        [task.result() for task in ready]
        tasks = [crew.pool().submit(time.sleep, 120) for _ in range(4)]
        print("ready", flush=True)
        tasks[0].result()
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_helpers_end_with_a_killed_process(how: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    helpers = psutil.Process(process.pid).children(recursive=True)
    assert len(helpers) >= 3, "a server of processes and its helpers"
    process.send_signal(how)
    process.wait()
    _, left = psutil.wait_procs(helpers, timeout=20)
    for one in left:
        one.kill()
    assert not left
