"""Rows per second of a build on Ray beside processes of this machine, and the memory that its build's own process needs per row.

    python benchmarks/ray_build.py [--rows 60000] [--workers 1 2] [--write-docs]

The corpus is made here with a seed: conversations of about 650 characters, words by Zipf's law, every twentieth a copy of
an earlier one in which a few words were changed. The recipe has two steps that judge rows one by one, and near_duplicates.
Each side is a process of its own with an empty workspace, the sides in turn; wall time includes starting Python, and
starting Ray. Every side has to write the same bytes. Memory per row is that of what stays where the build runs: keys and
marks of near-duplicates.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from data_build import Run, watch

import docs

TABLES = ("train", "validation", "test", "removed")
SAMPLE = 5_000


def made_corpus(file: Path, rows: int) -> int:
    """Write the corpus, the same at every call; returns its characters."""
    generator = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(["".join(generator.choice(letters, generator.integers(2, 9))) for _ in range(30_000)])
    chances = 1 / np.arange(10, len(words) + 10)
    picked = generator.choice(len(words), (rows, 110), p=chances / chances.sum()).astype(np.int32)
    for place in range(19, rows, 20):
        picked[place] = picked[generator.integers(place)]
        swapped = generator.integers(0, 110, generator.integers(0, 5))
        picked[place, swapped] = generator.integers(0, len(words), len(swapped))
    lines = [json.dumps({"question": " ".join(row[:20]), "answer": " ".join(row[20:])}) for row in words[picked].tolist()]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return sum(map(len, lines))


def build_once(folder: Path, side: str, *options: object) -> Run:
    """Run ``studio data build`` on the corpus."""
    recipe = folder / "made.yaml"
    recipe.write_text(
        "kind: chat\nsources:\n- {type: local, path: rows.jsonl, licence: made here}\n"
        "steps:\n- step: unicode\n- step: scrub\n- step: near_duplicates\nsplit: {validation: 0.05, test: 0.05}\n"
    )
    command = [sys.executable, "-m", "studio.cli.main", "data", "build", str(recipe), "--json"]
    return watch([*command, "--workspace", str(folder / side), *map(str, options)])


def bytes_per_row(file: Path) -> tuple[float, float]:
    """Memory that a row's sketch takes where the build runs, and that its text takes there, both in bytes."""
    from studio.data.sketch import Shingling, sketch_part

    with file.open(encoding="utf-8") as lines:
        texts = ["\n".join(json.loads(line).values()) for line, _ in zip(lines, range(SAMPLE), strict=False)]
    sketches = sketch_part(texts, Shingling())
    keys = sum(map(sys.getsizeof, sketches.keys)) + 8 * len(texts)
    return (keys + sketches.long.nbytes + sketches.marks.nbytes) / len(texts), sum(map(sys.getsizeof, texts)) / len(texts)


def same_bytes(runs: list[Run]) -> bool:
    """Whether all sides wrote the same tables."""
    written = [{name: run.result["record"]["files"][f"{name}.parquet"] for name in TABLES} for run in runs]
    return all(found == written[0] for found in written)


def table(sides: dict[str, Run], rows: int, characters: int, memory: tuple[float, float]) -> list[str]:
    """What was measured, as markdown."""
    lines = [
        f"{rows:,} conversations of {characters / rows:.0f} characters made here; every side wrote the same bytes.", "",
        "| who helps | wall time | rows/s, all | rows/s in the steps | processor | peak memory of all processes |",
        "|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for side, run in sides.items():
        steps: list[dict[str, Any]] = run.result["record"]["steps"][1:]
        lines.append(
            f"| {side} | {run.wall:.1f} s | {rows / run.wall:,.0f} | {rows / sum(step['seconds'] for step in steps):,.0f} | "
            f"{run.cpu:.1f} s | {run.peak / 1024**3:.2f} GiB |"
        )
    sketch, text = memory
    lines += [
        "", f"Where the build runs, near_duplicates holds {sketch:.0f} bytes of sketch and {text:.0f} bytes of text for a row: "
        f"{1e7 * (sketch + text) / 1024**3:.0f} GiB for ten million rows like these, however many machines help.",
    ]  # fmt: skip
    return lines


def main() -> int:
    """Measure, print, and say by the exit code whether every side wrote the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    docs.add_option(parser)
    options = parser.parse_args()
    sides: dict[str, Run] = {}
    with tempfile.TemporaryDirectory(prefix="ray-build-") as name:
        folder = Path(name)
        characters = made_corpus(folder / "rows.jsonl", options.rows)
        for count in options.workers:
            what = "the building process alone" if count == 1 else f"{count} processes here"
            sides[what] = build_once(folder, f"here-{count}", "--processes", count)
            sides[f"Ray here, {count} worker{'s' * (count > 1)}"] = build_once(
                folder, f"ray-{count}", "--engine", "ray", "--processes", count
            )
        lines = table(sides, options.rows, characters, bytes_per_row(folder / "rows.jsonl"))
    print("\n".join(lines))
    met = same_bytes(list(sides.values()))
    if options.write_docs and met:
        docs.write_section("ray-build", "\n".join(lines), packages=("ray", "numpy", "pyarrow"))
    print("\nEvery side wrote the same." if met else "\nSides wrote different tables.")
    return 0 if met else 3


if __name__ == "__main__":
    sys.exit(main())
