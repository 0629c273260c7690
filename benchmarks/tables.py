"""Time and memory of the build of a table: 100,000 rows and 50 columns, as csv and as parquet, with every step.

    python benchmarks/tables.py [--rows 100000] [--runs 3] [--write-docs]

The table is made here: 38 columns of numbers (some with missing values, some skewed), 8 of categories, one of 10,000 names, two
of times, and a target of three labels. Each run is a process of its own with an empty workspace; wall time includes starting
Python. Peak memory is the sum over the process and its workers, sampled every 50 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from data_build import Run, watch

import docs

TARGET_SECONDS, TARGET_BYTES = 60, 2 * 1024**3
STEPS = [
    {"step": step} for step in ("exact_duplicates", "missing", "outliers", "constant_columns", "suspicious_numbers", "leaks")
]
STEPS.insert(3, {"step": "rare_categories", "below": 100, "columns": [f"category {place}" for place in range(8)]})


def made_table(rows: int) -> pd.DataFrame:
    """The table, the same at every call."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(rows, 38))
    numbers[:, 30:] = np.exp(numbers[:, 30:])
    numbers[:, :6][rng.random((rows, 6)) < 0.05] = np.nan
    columns: dict[str, object] = {f"number {place}": numbers[:, place].round(6) for place in range(38)}
    for place in range(8):
        columns[f"category {place}"] = np.char.add("value ", rng.integers(0, 3 * 2**place, rows).astype(str))
    columns["name"] = np.char.add("name ", rng.integers(0, 10_000, rows).astype(str))
    for name in ("began", "ended"):
        columns[name] = (pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10**8, rows), "s")).strftime(
            "%Y-%m-%d %H:%M:%S"
        )
    columns["target"] = np.array(["low", "middle", "high"])[np.digitize(numbers[:, 7:12].sum(axis=1), [-1.5, 1.5])]
    return pd.DataFrame(columns)


def build_once(path: Path, workspace: Path) -> Run:
    """Run ``studio data build`` on the table."""
    recipe = {
        "kind": "table",
        "sources": [{"type": "local", "path": str(path), "licence": "made here"}],
        "target": "target",
        "steps": STEPS,
    }
    file = path.with_suffix(".yaml")
    file.write_text(json.dumps(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "studio.cli.main", "data", "build", str(file), "--json", "--workspace", str(workspace)]
    return watch(command)


def markdown(name: str, runs: list[Run]) -> list[str]:
    """Steps of the median run, and the totals."""
    record = sorted(runs, key=lambda run: run.wall)[len(runs) // 2].result["record"]
    seconds = ", ".join(f"{step['name']} {step['seconds']:.1f}" for step in record["steps"])
    walls = sorted(run.wall for run in runs)
    spread = f"{statistics.median(walls):.1f} s ({walls[0]:.1f} to {walls[-1]:.1f})"
    processor = statistics.median(run.cpu for run in runs)
    peak = max(run.peak for run in runs) / 1024**3
    return [f"| {name} | {record['rows_read']:,} | {spread} | {processor:.1f} s | {peak:.2f} GiB | {seconds} |"]


def main() -> int:
    """Measure, print, and say by the exit code whether the targets were met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    docs.add_option(parser)
    options = parser.parse_args()
    lines = [
        "| file | rows | wall (median, range) | processor | peak memory | seconds of each stage |",
        "|---|---:|---:|---:|---:|---|",
    ]
    every: list[Run] = []
    load = f"{os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} processors"
    with tempfile.TemporaryDirectory(prefix="tables-") as name:
        folder = Path(name)
        table = made_table(options.rows)
        table.to_csv(folder / "table.csv", index=False)
        table.to_parquet(folder / "table.parquet")
        for suffix in ("csv", "parquet"):
            runs = [build_once(folder / f"table.{suffix}", folder / f"{suffix}-{number}") for number in range(options.runs)]
            lines += markdown(suffix, runs)
            every += runs
    lines.append(f"\nTargets: {TARGET_SECONDS} s and {TARGET_BYTES / 1024**3:.0f} GiB. Load of the machine before: {load}.")
    print("\n" + "\n".join(lines))
    if options.write_docs:
        docs.write_section("tables", "\n".join(lines), packages=("pandas", "pyarrow", "scikit-learn"))
    met = max(run.wall for run in every) <= TARGET_SECONDS and max(run.peak for run in every) <= TARGET_BYTES
    print("\nTargets met." if met else "\nTargets not met.")
    return 0 if met else 3


if __name__ == "__main__":
    sys.exit(main())
