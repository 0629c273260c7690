"""Replay: general rows beside those of a field, so that less is forgotten. They train and are never held out.

The rows of the field are divided as if no others were there, so that a Dataset with replay has the test of one without. A general
row that resembles a held-out one stays out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from studio.core.errors import DataError
from studio.core.telling import counted
from studio.data.chat.rows import ChatRow, character_count
from studio.data.chat.split import SplitPlan, cluster_rows, divide
from studio.data.shelf import Joined, Picked
from studio.data.split import Division
from studio.data.verdicts import Drop
from studio.data.workers import Workers


@dataclass(frozen=True)
class Wish:
    """What a recipe asks for. source: whose rows are replayed; share of train, counted in rows or characters (``of``).
    as_trained: the training rows of a field as they will be, those that repeat among them.
    """

    source: str
    share: float
    of: str
    seed: int
    as_trained: Callable[[Sequence[ChatRow]], Sequence[ChatRow]]


@dataclass
class Choice:
    """What becomes of the rows of the replayed source. drops: by place, those that go; note: what a person should know."""

    drops: dict[int, Drop] = field(default_factory=dict)
    note: str = ""


def choose_replay(
    rows: Sequence[ChatRow],
    verdicts: Sequence[Drop | None],
    wish: Wish,
    plan: SplitPlan,
    crew: Workers | None = None,
) -> Choice:
    """Draw the rows that are replayed: so many that they are the share of train that is asked for.

    With a share p and a field of n training rows (or characters), p / (1 - p) * n are wanted.

    Args:
        verdicts: of a field's rows that are not drawn.
    Raises:
        DataError: no row can be replayed, or the field cannot be divided.
    """
    name = wish.source
    pool = [place for place, row in enumerate(rows) if row.source == name]
    own = [place for place, row in enumerate(rows) if row.source != name and verdicts[place] is None]
    training, alike = _held_apart(rows, own, pool, plan, crew)
    size = character_count if wish.of == "characters" else _one
    learnt = sum(size(row) for row in wish.as_trained(training))
    wanted = wish.share / (1 - wish.share) * learnt
    able = [place for place in pool if place not in alike]
    if not able:
        why = f"all {len(pool):,} resemble a held-out row" if pool else "the steps left none"
        raise DataError(f"no row of {name} can be replayed: {why}. Give it other rows, or leave out mix.replay.")
    random.Random(f"{wish.seed} {name} replay").shuffle(able)
    taken, total = _taken([size(rows[place]) for place in able], wanted)
    limit = f"below {plan.threshold:g}"
    drops = {place: Drop("resembles a held-out row", "alike", limit, matched) for place, matched in alike.items()}
    drops |= {
        place: Drop("not drawn", f"one of {len(pool):,} rows of {name}", f"{counted(taken, 'row')} replayed")
        for place in able[taken:]
    }
    share = total / (total + learnt)
    said = f"{name}: {taken:,} of {len(pool):,} rows are replayed, {share:.1%} of the {wish.of} of train"
    if taken == len(able) and total < wanted - 0.5:
        said += f"; {wish.share:.1%} was asked for, and there are no more"
    if alike:
        said += f"; {counted(len(alike), 'row')} resembling a held-out one stay out"
    return Choice(drops, said)


def _held_apart(
    rows: Sequence[ChatRow], own: Sequence[int], pool: Sequence[int], plan: SplitPlan, crew: Workers | None
) -> tuple[Sequence[ChatRow], dict[int, str]]:
    """The field's training rows, and places of the pool whose row is tied to one that is held out, with that one's id."""
    division = divide(_some(rows, own), plan, crew)
    held = {row.id for name, part in division.splits.items() if name != "train" for row in part}
    together = sorted([*own, *pool])
    general = set(pool)
    alike: dict[int, str] = {}
    for cluster in cluster_rows(_some(rows, together), plan, crew):
        places = [together[index] for index in cluster]
        matched = next((rows[place].id for place in places if place not in general and rows[place].id in held), None)
        if matched is not None:
            alike |= {place: matched for place in places if place in general}
    return division.splits["train"], alike


def _some(rows: Sequence[ChatRow], places: Sequence[int]) -> Sequence[ChatRow]:
    """Rows at places that rise; a list where they are in memory, which is the quicker one."""
    return [rows[place] for place in places] if isinstance(rows, list) else Picked(rows, places)


def _one(_row: ChatRow) -> int:
    """Each row counts one."""
    return 1


def _taken(sizes: Sequence[int], wanted: float) -> tuple[int, int]:
    """How many of the first sizes come nearest to what is wanted, one at least, and their sum."""
    total = count = 0
    for size in sizes:
        if count and abs(total + size - wanted) > abs(total - wanted):
            break
        total, count = total + size, count + 1
    return count, total


def divide_with_replay(
    rows: Sequence[ChatRow], replayed: str | None, plan: SplitPlan, crew: Workers | None = None
) -> Division[ChatRow]:
    """Divide rows; those of the replayed source are added to train, after the others.

    Raises:
        DataError: see :func:`studio.data.chat.split.divide`.
    """
    if replayed is None:
        return divide(rows, plan, crew)
    places: tuple[list[int], list[int]] = ([], [])
    for place, row in enumerate(rows):
        places[row.source == replayed].append(place)
    own, general = (_some(rows, chosen) for chosen in places)
    division = divide(own, plan, crew)
    together = Joined([division.splits["train"], general])
    division.splits["train"] = list(together) if isinstance(rows, list) else together
    return division
