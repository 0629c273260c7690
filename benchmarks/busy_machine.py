"""What another program on the machine costs: bfloat16 layers with the studio's setting of OpenMP and without it.

    python benchmarks/busy_machine.py [--seconds 8] [--json] [--write-docs]

Both settings run in turn in processes of their own, first alone, then beside one busy loop per core. Target: beside the loops
the studio's setting keeps at least a quarter of its quiet rate (two fair shares of four would be a half).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

import docs

SHARE = 0.25
LAYERS = """
import sys, time
import {first}torch
torch.manual_seed(0)
x = torch.randn(800, 576).bfloat16()
weights = [torch.randn(576, 576).bfloat16() for _ in range(60)]
def forward(y):
    for weight in weights:
        y = torch.nn.functional.silu(y @ weight) * 0.1 + y
        y = y / (y.float().norm(dim=-1, keepdim=True).bfloat16() + 1)
forward(x)
started, passes = time.time(), 0
while time.time() - started < float(sys.argv[1]):
    forward(x)
    passes += 1
print(passes / (time.time() - started))
"""
SETTINGS = {"OpenMP as it is": "", "the studio's setting": "studio, "}


def rate(first: str, seconds: float) -> float:
    """Passes per second of one process; ``first`` is imported before torch."""
    clean = {name: value for name, value in os.environ.items() if name not in {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}}
    command = [sys.executable, "-c", LAYERS.format(first=first), str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=clean)
    return float(done.stdout)


def main() -> int:
    """Measure, print one table, exit 3 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    docs.add_option(parser)
    options = parser.parse_args()
    quiet = {name: rate(first, options.seconds) for name, first in SETTINGS.items()}
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        busy = {name: rate(first, options.seconds) for name, first in SETTINGS.items()}
    finally:
        for loop in loops:
            loop.kill()
    lines = ["| | alone, passes/s | beside busy loops, passes/s | share kept |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {quiet[name]:.2f} | {busy[name]:.2f} | {busy[name] / quiet[name]:.0%} |" for name in SETTINGS]
    ours = "the studio's setting"
    kept = busy[ours] / quiet[ours]
    lines.append(
        f"\nBeside {len(loops)} busy loops: {busy[ours] / busy['OpenMP as it is']:.1f} times the rate. Target: {SHARE:.0%} kept."
    )
    print(json.dumps({"quiet": quiet, "busy": busy, "kept": kept}, indent=2) if options.json else "\n".join(lines))
    if options.write_docs:
        docs.write_section("busy-machine", "\n".join(lines), packages=("torch",))
    return 0 if kept >= SHARE else 3


if __name__ == "__main__":
    sys.exit(main())
