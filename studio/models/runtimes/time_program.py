"""Measures how fast an export answers and the memory that takes, in a process of its own, with the program beside it.

See ``studio.core.environments.run_script``. The question names the folder, and either ``items`` (a JSON file, asked through
``predict``) or ``arrays`` (an .npz, asked through ``runtime`` alone). ``programs`` are the studio's own files by module name:
what lies in the folder is never run.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEAST_SECONDS = 1.0
"""So long each is asked at least; short enough for a table, long enough that a clock's grain is nothing."""


def timed(ask: Callable[[int, int], object], count: int, batch: int) -> dict[str, float]:
    """Rows per second in batches, and seconds for one row alone. ``ask(first, end)`` answers rows; the first call is not counted.

    Args:
        count: rows that there are. batch: rows at once, at most.
    """
    batch = min(batch, count)
    found = []
    for size in (batch, 1):
        ask(0, size)
        starts = itertools.cycle(range(0, count - size + 1, size))
        rows, started = 0, time.perf_counter()
        while (taken := time.perf_counter() - started) < LEAST_SECONDS or not rows:
            first = next(starts)
            ask(first, first + size)
            rows += size
        found.append(rows / taken)
    return {"rows_per_second": found[0], "seconds_per_row": 1 / found[1], "batch": batch}


def peak_bytes() -> int:
    """The most memory that this process has had; not ru_maxrss, which counts what the process was forked from."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return 1024 * next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def keep_to(processors: int) -> None:
    """Stay on so many of this process's processors, whatever a runtime counts by itself."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processors])


def loaded(name: str, path: str) -> Any:
    """A program under the name that the others import it by."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Time what the question names."""
    question = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder, batch = Path(question["folder"]), question["batch"]
    keep_to(question["processors"])
    programs = {name: loaded(name, path) for name, path in question["programs"].items()}
    if "arrays" in question:
        import numpy as np

        run = programs["runtime"].load(folder, json.loads((folder / "export.json").read_text(encoding="utf-8")))
        with np.load(question["arrays"]) as given:
            arrays = {name: given[name] for name in given.files}
        count = len(next(iter(arrays.values())))
        found = timed(lambda first, end: run({name: value[first:end] for name, value in arrays.items()}), count, batch)
    else:
        items = json.loads(Path(question["items"]).read_text(encoding="utf-8"))
        model = programs["predict"].Model(folder)
        found = timed(lambda first, end: model.predict(items[first:end]), len(items), batch)
    Path(sys.argv[2]).write_text(json.dumps({**found, "peak": peak_bytes()}), encoding="utf-8")


if __name__ == "__main__":
    main()
