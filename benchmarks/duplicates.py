"""Near-duplicate texts beside gaoya, rensa, datasketch and semhash, and what a million rows take.

    python benchmarks/duplicates.py [--peers ENVIRONMENT] [--runs 3] [--rows 100000 1000000] [--corpus FILE] [--write-docs]

The corpus is that of ``data_build.py`` as it is read, before any step: 17,671 chats. Every side gets the same texts and is timed
from texts in memory to pairs, in a process of its own, the sides in turn. What a pair is worth is decided in one place: it is
verified when the exact Jaccard similarity of the studio's word 5-grams is at least 0.8, whoever proposed it. Rows of ``--rows``
are made here with a seed: about 400 characters each, words by Zipf's law, every twentieth a copy of an earlier one in which up to
four words were changed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from data_build import fetch_corpus, watch
from peers.near_duplicates import peak_of_this

import docs

ROOT = Path(__file__).resolve().parents[1]
SIDES = ("gaoya", "rensa", "datasketch", "semhash")
PEERS = ROOT / "benchmarks" / ".venv-duplicates"
THRESHOLD, SIZE = 0.8, 5
TARGET_SECONDS, TARGET_BYTES, TARGET_GROWTH = 4.0, 6 * 1024**3, 1.3


def conversations(corpus: Path) -> list[Any]:
    """The chats as they are read."""
    from studio.core.workspace import Workspace
    from studio.data.chat.build import ChatBuilder
    from studio.data.memo import HashMemo
    from studio.schema.loading import load_yaml
    from studio.schema.recipe import ChatRecipe

    recipe = load_yaml(ROOT / "benchmarks" / "stress-sharegpt.yaml", ChatRecipe, [f"sources.0.path={corpus}"])
    builder = ChatBuilder(recipe, Workspace(corpus.parent / "workspace"), corpus.parent, lambda _: None)
    return builder.read(builder.resolve(HashMemo(corpus.parent / "memo.json"))).rows


def texts_of(rows: Sequence[Any]) -> list[str]:
    """What is compared of each chat."""
    from studio.data.chat.rows import comparable_text

    return [comparable_text(row).encode("utf-8", "replace").decode() for row in rows]


def measured(work: Callable[[Any], Any]) -> dict[str, Any]:
    """Call and time something that is given processes, from before these start until they have stopped.

    cpu: of all of them, in seconds; peak: the most that this one held and what the others hold at the end, in bytes.
    """
    import psutil

    from studio.data.workers import workers

    before, began = os.times(), time.perf_counter()
    with workers() as crew:
        pairs = work(crew)
        helpers = psutil.Process().children(recursive=True)
        helped = sum(sum(one.cpu_times()[:2]) for one in helpers)
        held = sum(one.memory_info().rss for one in helpers)
    wall, after = time.perf_counter() - began, os.times()
    cpu = after.user + after.system - before.user - before.system + helped
    return {"pairs": pairs, "wall": wall, "cpu": cpu, "peak": peak_of_this() + held}


def ours(texts: Sequence[str], crew: Any) -> list[tuple[int, int]]:
    """Pairs as the studio finds them, verified."""
    from studio.data.similarity import NearPairs, Shingling

    pairs = NearPairs(texts, THRESHOLD, Shingling("word", SIZE), crew)
    near = [(index, other) for index, others in pairs.earlier() for other in others]
    return [(index, other) for index, other in near if pairs.similarity(index, other) >= THRESHOLD]


def step(rows: Sequence[Any], crew: Any) -> list[tuple[int, int]]:
    """The step near_duplicates on whole conversations; gives the rows that go, each with itself."""
    from studio.data.chat.steps.base import Drop
    from studio.data.chat.steps.duplicates import NearDuplicates

    judge = NearDuplicates(THRESHOLD, "word", SIZE)
    judge.crew = crew
    return [(index, index) for index, verdict in enumerate(judge.judge_all(rows)) if isinstance(verdict, Drop)]


def made_rows(count: int) -> list[Any]:
    """Conversations of about 400 characters."""
    from studio.data.chat.rows import ChatRow

    generator = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(["".join(generator.choice(letters, generator.integers(2, 9))) for _ in range(30_000)])
    chances = 1 / np.arange(10, len(words) + 10)
    rows: list[Any] = []
    chosen = np.zeros((0, 66), dtype=np.int32)
    for start in range(0, count, 50_000):
        picked = generator.choice(len(words), (min(50_000, count - start), 66), p=chances / chances.sum()).astype(np.int32)
        for place in range(19, len(picked), 20):
            earlier = chosen if len(chosen) and generator.random() < 0.5 else picked[:place]
            picked[place] = earlier[generator.integers(len(earlier))]
            swapped = generator.integers(0, 66, generator.integers(0, 5))
            picked[place, swapped] = generator.integers(0, len(words), len(swapped))
        chosen = picked if not len(chosen) else chosen
        for offset, line in enumerate(words[picked].tolist()):
            turns = [{"role": "user", "content": " ".join(line[:20])}, {"role": "assistant", "content": " ".join(line[20:])}]
            rows.append(ChatRow(f"made/{start + offset}", turns, "made"))
    return rows


def many(count: int) -> dict[str, Any]:
    """Seconds of the step and of the split's clusters on made rows, in this process and its helpers."""
    from studio.data.chat.split import SplitPlan, cluster_rows

    rows = made_rows(count)
    characters = sum(len(turn["content"]) for row in rows for turn in row.messages)
    judged = measured(lambda crew: step(rows, crew))
    clustered = measured(lambda crew: cluster_rows(rows, SplitPlan(), crew))
    return {
        "characters": characters / count, "gone": len(judged["pairs"]),
        "step": judged["wall"], "split": clustered["wall"], "cpu": judged["cpu"] + clustered["cpu"],
    }  # fmt: skip


def score(pairs: Sequence[Sequence[int]], judge: Any, long: Sequence[bool]) -> tuple[int, int, int]:
    """Verified pairs of different texts, rows that these take out, and pairs that are not verified."""
    found = {(judge.same[one], judge.same[other]) for one, other in pairs}
    found = {(max(pair), min(pair)) for pair in found if pair[0] != pair[1]}
    verified = {pair for pair in found if long[pair[0]] and long[pair[1]] and judge.similarity(*pair) >= THRESHOLD}
    return len(verified), len({later for later, _ in verified}), len(found) - len(verified)


def compare(folder: Path, corpus: Path, peers: Path | None, runs: int) -> tuple[list[str], bool]:
    """Every side in turn, as a table; and whether the studio was fastest and found no fewer pairs, within its time."""
    from studio.data.similarity import NearPairs, Shingling
    from studio.language.scripts import words_of

    texts = texts_of(conversations(corpus))
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    told: dict[str, list[dict[str, Any]]] = {}
    for number in range(runs):
        commands = {side: [sys.executable, __file__, "--side", side, str(folder), str(corpus)] for side in ("studio", "step")}
        if peers is not None:
            script = ROOT / "benchmarks" / "peers" / "near_duplicates.py"
            place = [str(folder / "texts.json"), str(folder / "out.json"), str(_encoder())]
            commands |= {side: [str(peers / "bin" / "python"), str(script), side, *place] for side in SIDES}
        for side, command in commands.items():
            if number and side in {"datasketch", "semhash"}:
                continue  # a minute each; one run is enough to see where they stand
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            told.setdefault(side, []).append(json.loads((folder / "out.json").read_text(encoding="utf-8")))
    judge = NearPairs(texts, THRESHOLD, Shingling("word", SIZE))
    long = [len(words_of(text)) >= SIZE for text in texts]
    size = sum(map(len, texts)) / 1e6
    return _table(told, judge, long, f"{len(texts):,} chats, {size:.0f} million characters")


def _encoder() -> Path:
    """Folder of the encoder whose token vectors semhash gets."""
    from studio.models.bases import resolve_base

    return resolve_base("minilm-l6", use="text encoder").folder


def _table(told: dict[str, list[dict[str, Any]]], judge: Any, long: Sequence[bool], what: str) -> tuple[list[str], bool]:
    """The table of the sides."""
    lines = [
        f"{what}, from texts in memory to pairs; processes of the studio are started and stopped within its time.", "",
        "| side | wall time | processor | peak memory | verified pairs | rows these take out | pairs not verified |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    best: dict[str, tuple[float, int]] = {}
    for side, found in told.items():
        walls = sorted(run["wall"] for run in found)
        wall = statistics.median(walls)
        spread = f" ({walls[0]:.1f} to {walls[-1]:.1f})" if len(walls) > 1 else ""
        cpu, peak = statistics.median(run["cpu"] for run in found), max(run["peak"] for run in found) / 1024**3
        name = {"studio": "**studio**", "step": "step near_duplicates, whole"}.get(side, f"{side} {found[0].get('version', '')}")
        if side == "step":
            counts = f" | {len(found[0]['pairs']):,}, equal ones too | "
            best[side] = (wall, 0)
        else:
            verified, gone, wrong = score(found[0]["pairs"], judge, long)
            counts, best[side] = f"{verified:,} | {gone:,} | {wrong:,}", (wall, verified)
        lines.append(f"| {name} | {wall:.1f} s{spread} | {cpu:.1f} s | {peak:.2f} GiB | {counts} |")
    seconds, pairs = best["studio"]
    others = [value for side, value in best.items() if side in SIDES]
    met = best["step"][0] <= TARGET_SECONDS and all(seconds < wall and pairs >= count for wall, count in others)
    return lines, met


def grow(counts: Sequence[int]) -> tuple[list[str], bool]:
    """Time and memory of more and more rows, as a table, and whether they stay within the targets.

    Growth is that of processor time: these runs last minutes, in which other programs come and go.
    """
    lines = [
        "", "| rows made here | characters each | near_duplicates | split | rows that go | processor, per row | peak memory |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    rates, peaks = [], []
    for count in counts:
        run = watch([sys.executable, __file__, "--made", str(count)])
        rates.append(run.result["cpu"] / count)
        peaks.append(run.peak)
        lines.append(
            f"| {count:,} | {run.result['characters']:.0f} | {run.result['step']:.1f} s | {run.result['split']:.1f} s | "
            f"{run.result['gone']:,} | {1e6 * rates[-1]:.0f} µs | {run.peak / 1024**3:.2f} GiB |"
        )
    growth = rates[-1] / rates[0]
    lines.append(
        f"\nProcessor time per row grew {growth:.2f} times (target: less than {TARGET_GROWTH:g}); peak memory "
        f"{max(peaks) / 1024**3:.2f} GiB (target: {TARGET_BYTES / 1024**3:.0f} GiB)."
    )
    return lines, growth < TARGET_GROWTH and max(peaks) <= TARGET_BYTES


def main() -> int:
    """Measure, print, and say by the exit code whether the targets were met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peers", type=Path, default=PEERS, help="environment with the other packages")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--corpus", type=Path, help="the JSON file, if it is here already")
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--made", type=int, help=argparse.SUPPRESS)
    docs.add_option(parser)
    options = parser.parse_args()
    if options.made:
        print(json.dumps(many(options.made)))
        return 0
    if options.side:
        side, folder, corpus = options.side
        rows = conversations(Path(corpus)) if side == "step" else []
        texts = json.loads((Path(folder) / "texts.json").read_text(encoding="utf-8"))
        result = measured(lambda crew: step(rows, crew) if side == "step" else ours(texts, crew))
        (Path(folder) / "out.json").write_text(json.dumps(result), encoding="utf-8")
        return 0
    peers = options.peers if (options.peers / "bin" / "python").is_file() else None
    if peers is None:
        print(f"There is no environment in {options.peers} (see benchmarks/README.md): the other packages are left out.")
    with tempfile.TemporaryDirectory(prefix="duplicates-") as name:
        folder = Path(name)
        lines, met = compare(folder, options.corpus or fetch_corpus(folder), peers, options.runs)
    print("\n".join(lines), flush=True)
    more, grown = grow(options.rows) if options.rows else ([], True)
    print("\n".join(more))
    if options.write_docs:
        docs.write_section("duplicates", "\n".join([*lines, *more]), packages=("numpy",))
    print("\nTargets met." if met and grown else "\nTargets not met.")
    return 0 if met and grown else 3


if __name__ == "__main__":
    sys.exit(main())
