"""A few real steps in a process of its own, so that what is measured is that process and nothing of it stays."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.core.allocator import keep_freed_memory
from studio.core.errors import StudioError


def ask_probe(module: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run a module with a task and give back what it measured.

    Args:
        module: run with ``python -m``; it calls :func:`answer_probe`.
        task: what JSON can hold.
    Raises:
        StudioError: the process failed; its last line is told.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "task.json"
        file.write_text(json.dumps(task), encoding="utf-8")
        done = subprocess.run([sys.executable, "-m", module, str(file)], capture_output=True, text=True, check=False)
        result = file.with_name("result.json")
        if not result.is_file():
            reason = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode} and said nothing"])[-1]
            killed = " It was killed, most likely because memory ran out." if done.returncode in {-9, 137} else ""
            raise StudioError(f"the probe could not train: {reason}.{killed}")
        measured: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return measured


def answer_probe(work: Callable[[dict[str, Any], Path], dict[str, Any]]) -> None:
    """In the probe's process: do the work of the task file that is named on the command line.

    Args:
        work: takes the task and a folder that goes afterwards; gives what was measured.
    """
    keep_freed_memory()
    file = Path(sys.argv[1])
    measured = work(json.loads(file.read_text(encoding="utf-8")), file.parent)
    file.with_name("result.json").write_text(json.dumps(measured), encoding="utf-8")
