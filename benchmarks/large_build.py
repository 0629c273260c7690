"""A Dataset build from a corpus that does not fit: time, and memory of all its processes together.

    python benchmarks/large_build.py [--gigabytes 2] [--write-docs]

The corpus is made up: talks of one to three questions with answers of sentences from a list of words, a twentieth of the rows
repeated, a fiftieth nearly repeated, one in a thousand with an address in it. The steps are those of ``chat/own-folder``, so near
duplicates and the split are part of it. Memory is what the system counts for the build and its workers (proportional set size, so
that what they share counts once), looked at five times a second.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml

import docs
from studio.core.content import find_content

LIMIT = 1 << 30
"""Bytes that all processes of the build may take together."""


def sentences(chance: random.Random, words: list[str]) -> str:
    """A paragraph of one to six sentences."""
    found = [" ".join(chance.choices(words, k=chance.randint(6, 18))) for _ in range(chance.randint(1, 6))]
    return " ".join(f"{one.capitalize()}." for one in found)


def lines(size: int) -> Iterator[str]:
    """JSON lines of about so many bytes together."""
    chance = random.Random(0)
    letters = "abcdefghijklmnoprstuvyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(20_000)]
    recent: list[str] = []
    number = written = 0
    while written < size:
        if recent and chance.random() < 0.05:
            line = chance.choice(recent)
        else:
            turns = []
            for _ in range(chance.randint(1, 3)):
                turns += [{"role": "user", "content": f"{sentences(chance, words)[:-1]}?"}]
                turns += [{"role": "assistant", "content": " ".join(sentences(chance, words) for _ in range(3))}]
            if number % 1000 == 0:
                turns[-1]["content"] += f" Write to {chance.choice(words)}@example.com."
            line = json.dumps({"messages": turns}) + "\n"
            if number % 50 == 0:
                turns[-1]["content"] += " Thanks."
                recent.append(json.dumps({"messages": turns}) + "\n")
            recent.append(line)
            del recent[:-2000]
        number += 1
        written += len(line)
        yield line


def memory_of(process: psutil.Process) -> int:
    """Bytes of a process and all it started."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def built(place: Path, gigabytes: float) -> dict[str, float]:
    """Make the corpus, build it, and what that took."""
    corpus = place / "corpus"
    corpus.mkdir()
    with (corpus / "rows.jsonl").open("w", encoding="utf-8") as stream:
        stream.writelines(lines(int(gigabytes * 1e9)))
    recipe = yaml.safe_load(find_content("data_recipes", "chat/own-folder").read_text(encoding="utf-8"))
    recipe["sources"] = [{"type": "local", "path": str(corpus), "licence": "own data"}]
    (place / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    studio = Path(sys.executable).with_name("studio")
    command = [studio, "data", "build", place / "recipe.yaml", "--name", "large", "--workspace", place / "workspace"]
    began = time.monotonic()
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        said: list[str] = []
        # Read as it comes: a pipe that fills up would stop the build.
        reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
        reader.start()
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            if (now := memory_of(watched)) > peak:
                peak = now
            time.sleep(0.2)
        reader.join(timeout=5)
    seconds = time.monotonic() - began
    print("".join(said), file=sys.stderr)
    if process.returncode:
        raise SystemExit("the build failed")
    record = json.loads(next((place / "workspace" / "datasets" / "large").glob("*/dataset.json")).read_text(encoding="utf-8"))
    kept = sum(record["splits"].values())
    size = (corpus / "rows.jsonl").stat().st_size
    return {"bytes": size, "read": record["rows_read"], "kept": kept, "seconds": seconds, "peak": peak}


def main() -> int:
    """Measure, print, and say by the exit code whether the target was met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gigabytes", type=float, default=2)
    docs.add_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large-") as name:
        found = built(Path(name), options.gigabytes)
    body = "\n".join(
        [
            "| input | rows read | rows kept | time | rows/s | peak memory of all processes |",
            "|---:|---:|---:|---:|---:|---:|",
            f"| {found['bytes'] / 1e9:.2f} GB | {found['read']:,} | {found['kept']:,} | {found['seconds']:.0f} s "
            f"| {found['read'] / found['seconds']:,.0f} | {found['peak'] / 1024**3:.2f} GiB |",
            "\nTarget: 1 GiB for 2 GB.",
        ]
    )
    print(body)
    if options.write_docs:
        docs.write_section("large-build", body, packages=("pyarrow", "numpy"))
    return 0 if found["peak"] <= LIMIT else 3


if __name__ == "__main__":
    sys.exit(main())
