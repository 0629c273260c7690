"""Recall and precision of the step ``scrub`` on texts whose personal data is known, by kind and by language.

    python benchmarks/pii.py [--repeats 50] [--presidio] [--write-docs]

Texts are made from the templates of ``tests/data/pii`` in seven languages, with traps (order numbers, ISBN, UUIDs, versions,
prices, dates, digits of any kind). A finding counts when kind, start and stop are right. Target: recall and precision of each
kind at least 0.9. What the templates do not think of is not measured: the figures say that forms are found where they stand, not
how people write.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections import Counter
from pathlib import Path

import docs
from studio.data.chat.personal import KINDS, Search
from studio.evals.intervals import share_interval

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "personal-data.md"
TARGET = 0.9
Counts = Counter[tuple[str, str, str]]


def made_set(repeats: int) -> list:
    """The labelled texts of the tests."""
    spec = importlib.util.spec_from_file_location("labelled", ROOT / "tests" / "data" / "pii" / "labelled.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["labelled"] = module
    spec.loader.exec_module(module)
    return module.labelled(repeats), module.TEMPLATES


def measure(repeats: int, more: object = None) -> tuple[Counts, float, int]:
    """Right, missed and wrong findings by language and kind; seconds and characters."""
    texts, templates = made_set(repeats)
    searches = {code: Search(KINDS, None, given["regions"], more) for code, given in templates.items()}
    counts: Counts = Counter()
    started = time.process_time()
    for one in texts:
        found = {(item.kind, item.start, item.stop) for item in searches[one.language].findings(one.text)}
        gold = set(one.gold)
        for outcome, items in (("right", found & gold), ("missed", gold - found), ("wrong", found - gold)):
            counts.update((outcome, one.language, kind) for kind, _, _ in items)
    return counts, time.process_time() - started, sum(len(one.text) for one in texts)


def share(hits: int, count: int) -> str:
    """A share with its exact (mid-P) 95% interval."""
    bounds = share_interval(hits, count)
    return f"{hits / count:.3f} ({bounds[0]:.3f} to {bounds[1]:.3f}) of {count:,}" if bounds else "–"


def table(counts: Counts, place: int, heading: str) -> list[str]:
    """Recall and precision by language (1) or kind (2)."""
    names = sorted({key[place] for key in counts})
    lines = [f"| {heading} | recall | precision |", "|---|---|---|"]
    for name in [*names, "all"]:
        right, missed, wrong = (
            sum(count for key, count in counts.items() if key[0] == outcome and name in (key[place], "all"))
            for outcome in ("right", "missed", "wrong")
        )
        lines.append(f"| {name} | {share(right, right + missed)} | {share(right, right + wrong)} |")
    return lines


def worst(counts: Counts) -> float:
    """The lowest recall or precision of a kind."""
    values = []
    for kind in {key[2] for key in counts}:
        right, missed, wrong = (
            sum(n for key, n in counts.items() if key[0] == o and key[2] == kind) for o in ("right", "missed", "wrong")
        )
        values += [right / max(1, right + missed), right / max(1, right + wrong)]
    return min(values)


def main() -> int:
    """Measure, print, and write the page when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--presidio", action="store_true", help="measure with the engine presidio besides (extra pii)")
    parser.add_argument("--write-docs", action="store_true", help=f"put the result into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    counts, seconds, characters = measure(options.repeats)
    lines = [*table(counts, 2, "kind"), "", *table(counts, 1, "language"), ""]
    lines.append(f"All kinds in one go: {characters / seconds / 1e6:.1f} million characters per second of one processor.")
    if options.presidio:
        from studio.data.chat.personal.presidio import Presidio

        engine = Presidio()
        engine.check()
        counted, took, read = measure(max(1, options.repeats // 10), engine)
        lines += ["", "With `engine: presidio` besides (English recognisers, no model):", "", *table(counted, 2, "kind")]
        lines += ["", f"{read / took / 1e3:.0f} thousand characters per second."]
    print("\n".join(lines))
    if options.write_docs:
        docs.write_between(PAGE, "pii", "\n".join(lines), packages=("phonenumbers",))
    return 0 if worst(counts) >= TARGET else 3


if __name__ == "__main__":
    sys.exit(main())
