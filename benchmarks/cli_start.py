"""How long `studio --help` takes beside an empty Python. Run it: ``python benchmarks/cli_start.py``. Target: 0.4 s at most."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

import docs

TARGET_SECONDS = 0.4

SIDES = {
    "python -c pass": ["-c", "pass"],
    "import typer": ["-c", "import typer"],
    "studio --help": ["-m", "studio.cli.main", "--help"],
    "studio runs --help": ["-m", "studio.cli.main", "runs", "--help"],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> int:
    """Measure all sides in turn, so that a busy moment of the machine hits all of them; print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    docs.add_option(parser)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in SIDES}
    for arguments in SIDES.values():
        seconds(arguments)  # fills the file cache
    for _ in range(options.repeats):
        for name, arguments in SIDES.items():
            times[name].append(seconds(arguments))
    rows = {name: {"median": statistics.median(values), "fastest": min(values)} for name, values in times.items()}
    lines = ["| command | median s | fastest s |", "|---|---:|---:|"]
    lines += [f"| `{name}` | {row['median']:.3f} | {row['fastest']:.3f} |" for name, row in rows.items()]
    lines.append(f"\nTarget: `studio --help` at most {TARGET_SECONDS} s; {options.repeats} repeats, sides in turn.")
    if options.json:
        print(json.dumps({"repeats": options.repeats, "seconds": rows, "target": TARGET_SECONDS}, indent=2))
    else:
        print("\n".join(lines))
    if options.write_docs:
        docs.write_section("cli-start", "\n".join(lines), packages=("typer", "rich"))
    return 0 if rows["studio --help"]["median"] <= TARGET_SECONDS else 3


if __name__ == "__main__":
    sys.exit(main())
