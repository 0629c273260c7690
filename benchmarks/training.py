"""Training speed beside a plain TRL script and LLaMA-Factory, and beside what the machine can do.

    python benchmarks/training.py [--repeats 3] [--steps 32] [--llamafactory ENVIRONMENT] [--json] [--write-docs]

256 rows of the starter corpus, LoRA r16 alpha 32 on all linear layers, batches of 8, the same template, learning rate and
number of steps everywhere. All sides run in turn, each in a process of its own, and the medians are compared. Exits 1 when a
target is missed. benchmarks/README.md says how to make the environment for LLaMA-Factory and what is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.sides import PEERS, ROOT, Side, Task, Timed, llamafactory, make_task, run_side, studio, trl

import docs

ROWS, WARM_UP = 256, 2
TARGETS = {"TRL": 1.6, "LLaMA-Factory": 1.3}
SHARE_TARGET, LOSS_TOLERANCE, LAST = 0.55, 0.02, 5


@dataclass
class Result:
    """One side: rows/s of each repetition, mean loss of the last steps, loss over all rows after training."""

    side: Side
    rates: list[float]
    last_steps: float
    after: float

    @property
    def median(self) -> float:
        """Rows per second."""
        return statistics.median(self.rates)


def rows_per_second(timed: Timed, tokens_per_row: float) -> float:
    """Rate of the steps after the warm-up.

    The studio forms batches by length, so the rows of its first steps may be long or short; it says how many tokens each step
    had, and a row then counts as the mean one. The others draw rows at random and are counted by rows.
    """
    seconds = timed.at[-1] - timed.at[WARM_UP - 1]
    if all(timed.tokens):
        return sum(timed.tokens[WARM_UP:]) / tokens_per_row / seconds
    return (len(timed.at) - WARM_UP) * 8 / seconds


def measure_machine(task: Task) -> dict[str, Any]:
    """Matmul rates and model sizes, in a process of its own."""
    command = [sys.executable, str(PEERS / "matmul.py"), "--model", str(task.base)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def studio_default() -> str:
    """What ``dtype: auto`` takes on this machine."""
    code = "from studio.models.device import pick_dtype, pick_device; print(pick_dtype('auto', pick_device()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()[-1].removeprefix("torch.")


def final_losses(task: Task, adapters: list[Path]) -> list[float]:
    """Loss of each adapter over the training rows, in float32."""
    command = [sys.executable, str(PEERS / "final_loss.py"), "--rows", str(task.rows), *map(str, adapters)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout.splitlines()[-1])
    return [float(found[str(adapter)]) for adapter in adapters]


def mask_report(task: Task) -> dict[str, Any]:
    """Tokens and targets of the rows, from a Run of the studio."""
    record = next(task.workspace.glob("runs/*/*/run.json"))
    found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))["mask_report"]
    return found


def compare(results: list[Result], default: str) -> list[dict[str, Any]]:
    """Each side beside the studio's run of the same type; a tool's defaults beside the studio's."""
    ours = {result.side.dtype: result for result in results if result.side.tool == "studio"}
    compared = []
    for result in results:
        if result.side.tool == "studio":
            continue
        own = ours[result.side.dtype or default]
        ratio, target = own.median / result.median, TARGETS[result.side.tool]
        compared.append(
            {
                "side": result.side.name,
                "against": own.side.name,
                "ratio": ratio,
                "target": target,
                "met": ratio >= target,
                "loss_difference": own.after / result.after - 1,
                "loss_met": abs(own.after / result.after - 1) <= LOSS_TOLERANCE,
            }
        )
    return compared


def shares(results: list[Result], machine: dict[str, Any], report: dict[str, Any]) -> list[dict[str, Any]]:
    """Arithmetic per second of each studio run as a share of the matmul rate.

    4 FLOP per token and parameter that every token passes (adapters included), and per target and parameter of the head.
    """
    targets_per_token = report["trained_tokens"] / report["tokens"]
    per_token = 4 * (machine["body_parameters"] + machine["head_parameters"] * targets_per_token)
    found = []
    for result in results:
        if result.side.tool == "studio" and result.side.dtype:
            tokens = result.median * report["tokens"] / report["rows"]
            rate = max(machine["rates"][result.side.dtype])
            share = tokens * per_token / rate
            found.append({"dtype": result.side.dtype, "tokens_per_second": tokens, "rate": rate, "share": share})
    return found


def markdown(results: list[Result], compared: list[dict[str, Any]], shared: list[dict[str, Any]], default: str, note: str) -> str:
    """Both tables and what they mean."""
    against = {line["side"]: line for line in compared}
    lines = ["| side | rows/s | lowest to highest | studio is | target | loss, last 5 steps | loss after | difference |"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|---:|"]
    for result in results:
        line = against.get(result.side.name)
        beside = "| | | " if line is None else f"| {line['ratio']:.2f}x{'' if line['met'] else ', missed'} | {line['target']}x | "
        difference = "" if line is None else f"{line['loss_difference']:+.1%}{'' if line['loss_met'] else ', missed'}"
        name = result.side.name + (" (the default here)" if (result.side.tool, result.side.dtype) == ("studio", default) else "")
        lines.append(
            f"| {name} | {result.median:.2f} | {min(result.rates):.2f} to {max(result.rates):.2f} "
            f"{beside}{result.last_steps:.3f} | {result.after:.4f} | {difference} |"
        )
    lines += ["", "| studio in | tokens/s | matmul rate | share at 4N | target |", "|---|---:|---:|---:|---:|"]
    for line in shared:
        target = f"{SHARE_TARGET:.0%}" if line["dtype"] == default else ""
        missed = ", missed" if target and line["share"] < SHARE_TARGET else ""
        rates = f"{line['tokens_per_second']:.0f} | {line['rate'] / 1e9:.0f} GFLOP/s"
        lines.append(f"| {line['dtype']} | {rates} | {line['share']:.0%}{missed} | {target} |")
    return "\n".join([*lines, "", note])


def explain(repeats: int, steps: int) -> str:
    """The note under the tables."""
    return (
        f"Medians of {repeats} repetitions, the sides in turn, each in a process of its own; {steps} steps of 8 rows, of which "
        f"the first {WARM_UP} are left out on every side because memory is slow when it is touched first. Wall time between the "
        "steps' log lines, data loading included. 'defaults' are the tool's own settings (TRL and LLaMA-Factory then use "
        "gradient checkpointing) beside the studio's own; sides with a number type have weights and arithmetic in it and no "
        "checkpointing. 'loss, last 5 steps' depends on which rows come last, so the 2% are judged on 'loss after': nats per "
        "target token over the same 256 rows after training, in float32, by one script for all adapters. The matmul "
        "rate is the best of many 2048-cubes over all repetitions; the head "
        "counts only where logits are computed, attention scores not at all."
    )


def main() -> int:
    """Run all sides in turn and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=ROWS // 8, choices=range(WARM_UP + LAST, ROWS // 8 + 1), metavar="7..32")
    parser.add_argument("--llamafactory", type=Path, default=ROOT / "benchmarks" / ".venv-llamafactory", metavar="ENVIRONMENT")
    parser.add_argument("--sides", help="only sides whose name holds one of these words, comma-separated; studio always runs")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    docs.add_option(parser)
    options = parser.parse_args()

    default = studio_default()
    sides = [studio("float32"), studio("bfloat16"), *map(trl, (None, "float32", "bfloat16"))]
    if (options.llamafactory / "bin" / "llamafactory-cli").is_file():
        sides += [llamafactory(options.llamafactory, dtype) for dtype in (None, "float32", "bfloat16")]
    else:
        print("LLaMA-Factory is left out: no environment for it (benchmarks/README.md says how to make one).", file=sys.stderr)
    if options.sides:
        words = ["studio", *options.sides.split(",")]
        sides = [side for side in sides if any(word in side.name for word in words)]

    with tempfile.TemporaryDirectory(prefix="training-benchmark-", ignore_cleanup_errors=True) as name:
        task = make_task(Path(name), rows=ROWS, steps=options.steps)
        runs: dict[str, list[Timed]] = {side.name: [] for side in sides}
        machine: dict[str, Any] = {"rates": {}}
        for repeat in range(options.repeats):
            found = measure_machine(task)
            rates = {dtype: [*machine["rates"].get(dtype, []), rate] for dtype, rate in found["rates"].items()}
            machine = {**found, "rates": rates}
            for number, side in enumerate(sides):
                timed = run_side(side, task, f"{number}-{repeat}")
                runs[side.name].append(timed)
                taken = timed.at[-1] - timed.at[WARM_UP - 1]
                print(
                    f"{repeat + 1}/{options.repeats} {side.name}: first step at {timed.at[0]:.1f} s, {taken:.1f} s for "
                    f"{options.steps - WARM_UP} steps, loss {timed.losses[-1]:.3f}",
                    file=sys.stderr,
                    flush=True,
                )
        report = mask_report(task)
        after = final_losses(task, [runs[side.name][0].adapter for side in sides])
        tokens_per_row = report["tokens"] / report["rows"]
        results = [
            Result(
                side,
                [rows_per_second(timed, tokens_per_row) for timed in runs[side.name]],
                statistics.fmean(runs[side.name][0].losses[-LAST:]),
                loss,
            )
            for side, loss in zip(sides, after, strict=True)
        ]

    compared, shared = compare(results, default), shares(results, machine, report)
    own_share = next(line["share"] for line in shared if line["dtype"] == default)
    met = all(line["met"] and line["loss_met"] for line in compared) and own_share >= SHARE_TARGET
    table = markdown(results, compared, shared, default, explain(options.repeats, options.steps))
    if options.json:
        sides_json = [{"side": r.side.name, "rows_per_second": r.rates, "loss_after": r.after} for r in results]
        print(json.dumps({"met": met, "default": default, "sides": sides_json, "compared": compared, "shares": shared}, indent=2))
    else:
        print(table)
    if options.write_docs:
        docs.write_section("training", table)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
