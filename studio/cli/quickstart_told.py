"""What both quickstarts tell, in the person's language: the plan, the table of scores, and what to try next."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studio.cli import output
from studio.core.translation import later, t

if TYPE_CHECKING:
    from studio.core.records import ReportRecord

# Headings and verdicts of the table of scores.
_TABLE_WORDS = tuple(map(later, ("metric", "base", "tuned", "difference", "value", "95% interval", "verdict")))
_VERDICTS = tuple(map(later, ("better", "worse", "no difference shown", "not computed")))


def plan(numbers: int, dtype: str, device: str, steps: int | None) -> None:
    """What trains."""
    text = "{numbers:,} numbers train in {dtype} on {device}, {steps} steps"
    output.note(t(text, numbers=numbers, dtype=dtype, device=device, steps=steps))


def memory(peak: float, there: float | None, disk: float) -> None:
    """What it takes, in bytes."""
    room = t(" of {size}", size=output.size_text(there)) if there else ""
    output.note(t("peak memory {peak}{room}, disk {disk}", peak=output.size_text(peak), room=room, disk=output.size_text(disk)))


def scores(record: ReportRecord, names: Sequence[str], called: Mapping[str, str] | None = None) -> None:
    """The table of base against tuned, of these metrics (of all, where none of them was computed), and what it rests on.

    Args:
        called: heading to what it is called instead, for runs that tune nothing.
    """
    from studio.evals.score_table import correction_note, score_table

    columns, rows = score_table(record)
    chosen = [row for row in rows if row[0].rpartition(".")[2] in names] or rows
    headings = [t((called or {}).get(name, name)) for name in columns]
    texts = [[*row[:-1], t(row[-1])] for row in chosen]
    right = [heading for heading, name in zip(headings, columns, strict=True) if name not in {"metric", "verdict"}]
    output.table(headings, texts, right=right)
    if (note := correction_note(record)) is not None:
        output.say(f"\n{note}")


def try_next(commands: dict[str, str]) -> None:
    """Commands of the studio as they can be pasted here, and what each is for."""
    output.say("\n" + t("Try next:"))
    studio = "studio" if shutil.which("studio") else os.path.relpath(Path(sys.executable).parent / "studio")
    width = max(len(f"{studio} {command}") for command in commands)
    for command, meaning in commands.items():
        output.say(f"  {f'{studio} {command}':<{width}}  {meaning}")
