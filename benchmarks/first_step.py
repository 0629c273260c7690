"""Time from the start of the process to the end of the first optimizer step: ``studio train`` beside a plain TRL script.

    python benchmarks/first_step.py [--repeats 3] [--json] [--write-docs]

The task of benchmarks/training.py; each process is ended after its first step. Exits 1 when the studio is more than a second
later than the script with its defaults.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from peers.sides import make_task, run_side, studio, trl

import docs

TARGET_SECONDS = 1.0


def main() -> int:
    """Run the sides in turn and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    docs.add_option(parser)
    options = parser.parse_args()
    sides = [studio(None), trl(None)]
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    with tempfile.TemporaryDirectory(prefix="first-step-benchmark-", ignore_cleanup_errors=True) as name:
        task = make_task(Path(name), rows=256, steps=32)
        for repeat in range(-1, options.repeats):  # one round before, unmeasured, fills the file cache for both
            for number, side in enumerate(sides):
                timed = run_side(side, task, f"{number}-{repeat}", stop_after=1)
                if repeat >= 0:
                    seconds[side.name].append(timed.at[0])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    late = medians[sides[0].name] - medians[sides[1].name]
    lines = ["| side | first step done after | lowest to highest |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {medians[name]:.1f} s | {min(values):.1f} to {max(values):.1f} s |" for name, values in seconds.items()
    ]
    lines.append(
        f"\nThe studio is {abs(late):.1f} s {'later' if late > 0 else 'earlier'}; target: at most {TARGET_SECONDS:.0f} s later. "
        f"Medians of {options.repeats}, in turn, after one unmeasured round each. In that time the studio reads and checks a "
        "finished Dataset, checks the base's weights and prints its mask report; the script tokenises a JSON Lines file."
    )
    if options.json:
        print(json.dumps({"seconds": seconds, "medians": medians, "late": late, "target": TARGET_SECONDS}, indent=2))
    else:
        print("\n".join(lines))
    if options.write_docs:
        docs.write_section("first-step", "\n".join(lines))
    return 0 if late <= TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
