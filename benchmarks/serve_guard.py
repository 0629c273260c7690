"""What the guard costs: latency and throughput of ``studio serve`` beside bare vLLM, both up at once, asked in turn.

Both sides are the same vLLM on the same model with the same flags; one has the guard in it. Rounds alternate, so that a busy
moment of the machine hits both. Targets: at most 5% more latency, at most 5% less throughput.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docs
from studio.core.errors import StudioError
from studio.models.bases import resolve_base
from studio.models.vllm_environment import Environment, find_environment
from studio.schema.server import LimitSettings, ServerProfile
from studio.serve.command import vllm_environment
from studio.serve.keys import make_key
from studio.serve.launch import write_guard_files
from studio.serve.state import free_port

TARGET = 0.05
# Everything is counted and checked as in service, only nothing is refused.
PROFILE = ServerProfile(kind="server", limits=LimitSettings(requests_per_minute=1_000_000, concurrent=1_000))
QUESTION = "How wide must a door be, and why? Answer in a few sentences, and name the rule that says so."


@dataclass
class Side:
    """One server: bare, or with the guard."""

    name: str
    url: str
    key: str = ""
    latencies: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def ask(self, tokens: int, *, stream: bool = False) -> tuple[float, float]:
        """Seconds to the first byte of an answer and to its end."""
        body = {
            "model": "bench", "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": tokens,
            "ignore_eos": True, "stream": stream,
        }  # fmt: skip
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(f"{self.url}/v1/chat/completions", json.dumps(body).encode(), headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        started = time.perf_counter()
        with opener.open(request, timeout=600) as response:
            response.read(1)
            first = time.perf_counter() - started
            response.read()
        return first, time.perf_counter() - started

    def burst(self, requests: int, tokens: int, at_once: int) -> None:
        """Many requests at once; writes down tokens per second."""
        started = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda _: self.ask(tokens), range(requests)))
        self.rates.append(requests * tokens / (time.perf_counter() - started))


@contextmanager
def serving(environment: Environment, model: Path, folder: Path, threads: int, *, guarded: bool) -> Iterator[Side]:
    """VLLM on a free port, with or without the guard; ended when the block is left."""
    port = free_port("127.0.0.1", 0)
    folder.mkdir()
    text, key = make_key("bench", "client")
    control_text, control = make_key("bench", "operator")
    bundle, guard = write_guard_files(folder, [key, control], ["bench"], profile=PROFILE)
    variables = vllm_environment(environment, bundle=bundle, guard=guard, kv_cache_gib=1, threads=threads)
    command = [str(environment.python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    command += [
        "--host",
        "127.0.0.1",
        "--served-model-name",
        "bench",
        "--dtype",
        "float32" if environment.build == "cpu" else "auto",
    ]
    command += ["--max-model-len", "1024", "--max-num-seqs", "16", "--disable-uvicorn-access-log"]
    command += ["--middleware", "studio.serve.guard.Guard"] if guarded else []
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=variables, start_new_session=True)
    side = Side("with the guard" if guarded else "bare vLLM", f"http://127.0.0.1:{port}", text)
    try:
        wait_ready(process, side.url, control_text, folder / "log")
        if guarded:
            request = urllib.request.Request(f"{side.url}/studio/open", b"{}", {"Authorization": f"Bearer {control_text}"})
            urllib.request.urlopen(request, timeout=30).close()
        yield side
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_ready(process: subprocess.Popen[bytes], url: str, key: str, log: Path) -> None:
    """Wait until the models can be listed.

    Raises:
        StudioError: the server died, or is not up after ten minutes.
    """
    end = time.monotonic() + 600
    while time.monotonic() < end and process.poll() is None:
        try:
            request = urllib.request.Request(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"})
            urllib.request.urlopen(request, timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise StudioError(f"vLLM did not start: {log.read_text(errors='replace')[-800:]}")


def measure(sides: list[Side], rounds: int, requests: int, tokens: int, at_once: int) -> None:
    """Warm up, then ask the sides in turn; the order within a round alternates."""
    for side in sides:
        for _ in range(2):
            side.ask(tokens)
            side.ask(tokens, stream=True)
        side.burst(at_once, tokens, at_once)
        side.rates.clear()
    for number in range(rounds):
        for side in sides if number % 2 else reversed(sides):
            side.latencies.append(side.ask(tokens)[1])
            side.first_tokens.append(side.ask(tokens, stream=True)[0])
            side.burst(requests, tokens, at_once)


def paired(bare: list[float], guarded: list[float]) -> float:
    """Median over the rounds of guarded divided by bare, less one."""
    return statistics.median(g / b for b, g in zip(bare, guarded, strict=True)) - 1


def report(sides: list[Side], options: argparse.Namespace) -> tuple[str, bool]:
    """The table, and whether the targets are met."""
    bare, guarded = sides
    lines = ["| side | answer s | first token s | tokens/s together |", "|---|---:|---:|---:|"]
    for side in sides:
        medians = (statistics.median(side.latencies), statistics.median(side.first_tokens), statistics.median(side.rates))
        lines.append(f"| {side.name} | {medians[0]:.3f} | {medians[1]:.4f} | {medians[2]:.1f} |")
    slower, fewer = paired(bare.latencies, guarded.latencies), -paired(bare.rates, guarded.rates)
    later = paired(bare.first_tokens, guarded.first_tokens)
    lines.append(
        f"\nMedians of {options.rounds} rounds, sides in turn; the starter model, {options.tokens} tokens an answer, "
        f"{options.requests} requests {options.at_once} at a time for the throughput. "
        f"Median of the rounds' ratios: the guard makes an answer {slower:+.1%} and its first token {later:+.1%} later, and "
        f"takes {fewer:+.1%} of the throughput. "
        f"Target: at most {TARGET:.0%} of latency and of throughput."
    )
    return "\n".join(lines), slower <= TARGET and fewer <= TARGET


def main() -> int:
    """Start both sides, measure, print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1, help="threads of each server on a CPU")
    docs.add_option(parser)
    options = parser.parse_args()
    try:
        environment = find_environment()
    except StudioError as missing:
        print(f"left out: {missing}")
        return 0
    model = resolve_base("smollm2-135m-instruct").folder
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with (
            serving(environment, model, folder / "bare", options.threads, guarded=False) as bare,
            serving(environment, model, folder / "guarded", options.threads, guarded=True) as guarded,
        ):
            sides = [bare, guarded]
            measure(sides, options.rounds, options.requests, options.tokens, options.at_once)
    table, met = report(sides, options)
    print(table)
    if options.write_docs:
        version = re.sub(r"\s+", " ", f"{environment.package} {environment.version}, torch {environment.torch}")
        docs.write_section("serve-guard", f"{table}\n\nServed by {version}.", packages=())
    return 0 if met else 3


if __name__ == "__main__":
    sys.exit(main())
