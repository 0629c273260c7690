"""Do the 95% intervals hold the truth in 95% of cases, and how often is a difference shown where there is none?

    python benchmarks/coverage.py [--repeats 500] [--only NAME ...] [--write-docs]

Populations with a known truth (``score_populations.py``) are drawn from n = 10, 20, 50 and 300 times; each draw is scored as an
evaluation scores it. Target: from n = 10 on the interval of a value and of a difference holds the truth in at least 93% of the
draws (or there is no interval), and at most 6% of two models that answer alike are called different. What holds in more than 97%
is marked: such an interval is longer than it had to be.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from score_populations import SIZE, Population, bias_populations, label_populations, text_populations

import docs
from studio.evals.scoring import difference, score
from studio.evals.statistics import NO_DIFFERENCE, NOT_COMPUTED

COUNTS = (10, 20, 50, 300)
LEAST, MOST, FALSE = 0.93, 0.97, 0.06
# What gives an interval in fewer of the draws gives none, for all practical purposes.
SELDOM = 0.05
PAGE = Path(__file__).resolve().parents[1] / "docs" / "evaluation.md"
# The number of resamples changes the noise of an interval, not what it is.
RESAMPLES = 300


@dataclass(frozen=True)
class Row:
    """What came of one score at one n: shares of draws. given: had an interval. None: hardly ever had one."""

    name: str
    count: int
    repeats: int
    given: float
    value: float | None
    differs: float | None
    false: float


@cache
def populations() -> dict[str, Population]:
    """All of them, by name."""
    return {item.name: item for item in text_populations() + label_populations() + bias_populations()}


def truth(item: Population, count: int, generator: np.random.Generator) -> tuple[float, float]:
    """True value of the tuned model and true difference; of a score that moves with n, the mean over draws of n."""
    ones = np.ones(SIZE, dtype=np.int64)
    whole = np.arange(SIZE)
    draws = [item.draw(generator, count) for _ in range(1500)] if item.moves else [whole]
    values = np.array([[_plain(item, places, side) for side in (1, 0)] for places in draws])
    assert len(ones) == SIZE
    mean = values.mean(axis=0)
    return float(mean[0]), float(mean[0] - mean[1])


def _plain(item: Population, places: np.ndarray, side: int) -> float:
    """The value on some examples of one model."""
    statistic = item.make(places, np.full(len(places), side))
    return float(statistic.at(np.ones((1, len(places))))[0])


def measure(job: tuple[str, int, int]) -> Row:
    """One score at one n."""
    name, count, repeats = job
    item = populations()[name]
    generator = np.random.default_rng([count, *name.encode()])
    value, moved = truth(item, count, generator)
    held, apart, wrong, scored, compared, judged = 0, 0, 0, 0, 0, 0
    for number in range(repeats):
        places = item.draw(generator, count)
        one, nought = np.ones(len(places), dtype=np.int64), np.zeros(len(places), dtype=np.int64)
        clusters = _clusters(item, places)
        settings = {"resamples": RESAMPLES, "seed": number, "clusters": clusters}
        tuned, base = item.make(places, one), item.make(places, nought)
        found = score(item.metric, tuned, **settings)
        if found.low is not None and found.high is not None:
            scored, held = scored + 1, held + (found.low - 1e-9 <= value <= found.high + 1e-9)
        change = difference(item.metric, tuned, base, **settings)
        if change.low is not None and change.high is not None:
            compared, apart = compared + 1, apart + (change.low - 1e-9 <= moved <= change.high + 1e-9)
        # Two models that answer alike: which of the two gave an example's answer is a coin's choice, per cluster.
        coin = _coin(generator, places, clusters)
        same = difference(item.metric, item.make(places, coin), item.make(places, 1 - coin), **settings)
        judged += 1
        wrong += same.verdict not in {NO_DIFFERENCE, NOT_COMPUTED}
    shares = tuple(hits / given if given >= SELDOM * repeats else None for hits, given in ((held, scored), (apart, compared)))
    return Row(name, count, repeats, scored / repeats, *shares, wrong / judged)


def _clusters(item: Population, places: np.ndarray) -> list[int] | None:
    """A name per drawn example: a cluster that was drawn twice is two."""
    if item.clusters is None:
        return None
    starts = np.cumsum(np.concatenate([[0], np.diff(places) != 1]))
    return starts.tolist()


def _coin(generator: np.random.Generator, places: np.ndarray, clusters: list[int] | None) -> np.ndarray:
    """0 or 1 for each example, the same within a cluster."""
    if clusters is None:
        return generator.integers(0, 2, len(places))
    names = np.array(clusters)
    return generator.integers(0, 2, names.max() + 1)[names]


def table(rows: list[Row]) -> list[str]:
    """The rows as markdown: per n the coverage of value and difference, and the false verdicts."""
    head = "| score | " + " | ".join(f"n = {count}" for count in COUNTS) + " |"
    lines = [head, "|---|" + "---|" * len(COUNTS)]
    for name in dict.fromkeys(row.name for row in rows):
        cells = [_cell(row) for row in rows if row.name == name]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _cell(row: Row) -> str:
    """Coverage of value and difference, false verdicts."""
    shares = [
        "none" if share is None else f"{100 * share:.0f}{'+' if share > MOST else ''}" for share in (row.value, row.differs)
    ]
    return f"{shares[0]} / {shares[1]} / {100 * row.false:.0f}"


def missed(row: Row) -> bool:
    """True where a share lies beyond its limit by more than the noise of so many draws allows: three standard errors, beyond
    which one in 700 cells lies by chance.
    """
    noise = 3 * np.sqrt(LEAST * (1 - LEAST) / row.repeats)
    low = any(share is not None and share < LEAST - noise for share in (row.value, row.differs))
    return low or row.false > FALSE + noise


def merged(new: list[str], page: Path) -> tuple[list[str], str]:
    """Lines of the page's table with the rows that were measured anew in place of theirs, and the note under it."""
    section = page.read_text(encoding="utf-8").partition("<!-- coverage -->")[2].partition("<!-- /coverage -->")[0]
    kept = {_name(line): line for line in section.splitlines() if line.startswith("| ")} | {_name(line): line for line in new[2:]}
    note = next((line for line in section.splitlines() if " draws each" in line), "").partition(" Measured anew")[0]
    return new[:2] + [kept[name] for name in populations() if name in kept], note


def _name(line: str) -> str:
    """The score of a line of the table."""
    return line.split(" | ")[0].removeprefix("| ")


def main() -> int:
    """Measure, print one table, exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=500, help="draws of each score at each n (300 examples: a third of it)")
    parser.add_argument("--only", nargs="*", default=[], help="names of scores")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/evaluation.md")
    chosen = parser.parse_args()
    names = [name for name in populations() if not chosen.only or any(part in name for part in chosen.only)]
    jobs = [(name, count, chosen.repeats if count < 300 else max(50, chosen.repeats // 3)) for name in names for count in COUNTS]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        rows = list(pool.map(measure, jobs))
    lines = table(rows)
    bad = [row for row in rows if missed(row)]
    note = (
        f"{chosen.repeats} draws each, a third as many at n = 300. Beyond the limits "
        f"(93%; 6% of false verdicts) by more than the noise of so many draws: {len(bad)} of {len(rows)} cells."
    )
    print("\n".join([*lines, "", note]), flush=True)
    for row in bad:
        print(f"missed: {row}", file=sys.stderr)
    if chosen.write_docs:
        if chosen.only:
            lines, earlier = merged(lines, PAGE)
            note = f"{earlier} Measured anew: {', '.join(names)}; of their cells beyond the limits: {len(bad)} of {len(rows)}."
        docs.write_between(PAGE, "coverage", "\n".join([*lines, "", note]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
