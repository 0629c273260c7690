"""How many rows of each source are used: weights, caps, a temperature and replay, drawn without replacement by a seed.

Legend: n rows of a source that the steps left, w its weight, T the temperature.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from studio.core.errors import UserError, nearest
from studio.data.chat.replay import Wish, choose_replay
from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.chat.split import SplitPlan
from studio.data.chat.steps.base import CorpusStep
from studio.data.shelf import Joined
from studio.data.verdicts import Drop
from studio.schema.recipe import ChatRecipe

MIX_STEP = "mix"
"""What the mixing is called in records and in ``removed.parquet``."""


@dataclass(frozen=True)
class Mixture:
    """What a recipe asks for. weights, caps: by name of the source, those that are not named have 1 and none. replay: the source
    whose rows train beside the others, or None; replay_share: how much of train they are, counted in ``replay_of``.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    caps: Mapping[str, int] = field(default_factory=dict)
    temperature: float | None = None
    repeat: bool = False
    seed: int = 0
    replay: str | None = None
    replay_share: float = 0.0
    replay_of: str = "rows"

    @property
    def asks(self) -> bool:
        """Whether it changes anything."""
        if self.replay is not None:
            return True
        return bool(self.caps) or self.temperature not in {None, 1.0} or any(weight != 1 for weight in self.weights.values())

    def wanted(self, rows: Mapping[str, int]) -> dict[str, float]:
        """Rows of each source that should be used; more than there are only where rows may repeat.

        A source gets w * c * n^(1/T) (Arivazhagan et al. 2019, https://arxiv.org/abs/1907.05019, section 4.2). Where rows may
        repeat, c keeps the number of all rows; else it is the largest that asks no source for more than it has.
        """
        rows = {name: count for name, count in rows.items() if name != self.replay}
        shares = {name: count ** (1 / (self.temperature or 1)) for name, count in rows.items() if count}
        if not shares:
            return {}
        if self.repeat:
            scale = sum(rows.values()) / sum(shares.values())
        else:
            scale = min(rows[name] / share for name, share in shares.items())
        wanted = {name: self.weights.get(name, 1.0) * scale * share for name, share in shares.items()}
        return {name: min(count, self.caps.get(name, count)) for name, count in wanted.items()}


def mixture_asked(recipe: ChatRecipe, names: Sequence[str]) -> Mixture:
    """What a recipe asks for, by the names that its sources have.

    Raises:
        UserError: the source that is to be replayed is not there, or has a weight or a cap of its own.
    """
    given = list(zip(recipe.sources, names, strict=True))
    weights = {name: settings.weight for settings, name in given}
    caps = {name: settings.cap for settings, name in given if settings.cap is not None}
    mixture = Mixture(weights, caps, recipe.mix.temperature, recipe.mix.repeat, recipe.mix.seed)
    replay = recipe.mix.replay
    if replay is None:
        return mixture
    if replay.source not in names:
        raise UserError(
            f"mix.replay takes rows of {replay.source!r}, which is no source here.{nearest(replay.source, names)} "
            f"The sources are {', '.join(names)}; give one a 'name', or take one of these."
        )
    if weights[replay.source] != 1 or replay.source in caps:
        raise UserError(
            f"the source {replay.source} is replayed, and mix.replay.share says how many of its rows are used. Leave out its "
            "weight and cap."
        )
    return replace(mixture, replay=replay.source, replay_share=replay.share, replay_of=replay.of)


def mix_settings(recipe: ChatRecipe) -> dict[str, Any]:
    """The same for keys and records."""
    return {
        **recipe.mix.model_dump(),
        "weights": [one.weight for one in recipe.sources],
        "caps": [one.cap for one in recipe.sources],
    }


class Mix(CorpusStep):
    """Rows that are used; the others go, drawn by the seed, with what their source was given."""

    def __init__(self, mixture: Mixture, plan: SplitPlan) -> None:
        """``plan``: how rows are divided afterwards; replay is a share of what will be train."""
        self._mixture, self._plan = mixture, plan

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Drop | None]:
        """Order stays. How many are drawn may depend on the other sources, which ones on the seed and the own rows only."""
        places: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(row.source, []).append(place)
        wanted = self._mixture.wanted({name: len(own) for name, own in places.items()})
        verdicts: list[Drop | None] = [None] * len(rows)
        for name, own in places.items():
            count = max(1, round(wanted.get(name, len(own))))
            if count >= len(own):
                continue
            used = set(random.Random(f"{self._mixture.seed} {name}").sample(own, count))
            for place in own:
                if place not in used:
                    verdicts[place] = Drop("not drawn", f"one of {len(own):,} rows of {name}", f"{count:,} rows")
        self.notes = tuple(
            f"{name}: {min(len(own), max(1, round(wanted[name]))):,} of {len(own):,} rows are used"
            for name, own in places.items()
            if name in wanted
        )
        if self._mixture.replay is not None:
            kept = {name: len(own) for name, own in places.items()}
            choice = choose_replay(rows, verdicts, self._wish(self._mixture.replay, kept), self._plan, self.crew)
            self.notes = (*self.notes, choice.note)
            for place, drop in choice.drops.items():
                verdicts[place] = drop
        return verdicts

    def _wish(self, source: str, kept: Mapping[str, int]) -> Wish:
        """What is replayed; ``kept``: rows of each source that the steps left."""
        mixture = self._mixture
        return Wish(source, mixture.replay_share, mixture.replay_of, mixture.seed, lambda rows: repeated(rows, mixture, kept))


def repeated(rows: Sequence[ChatRow], mixture: Mixture, kept: Mapping[str, int]) -> Sequence[ChatRow]:
    """Training rows with their repetitions at the end; ids of these say so.

    Args:
        kept: rows of each source that the steps left, over all splits.
    """
    if not mixture.repeat:
        return rows
    wanted = mixture.wanted(kept)
    added: list[ChatRow] = []
    for name, count in kept.items():
        own = [row for row in rows if row.source == name]
        # Rows of validation and test are not repeated, so train has its part of what is wanted.
        more = round(wanted.get(name, 0) / count * len(own)) - len(own) if count else 0
        for time in range(max(0, more) // len(own) if own else 0):
            added += [replace(row, id=f"{row.id}/again-{time + 1}") for row in own]
        rest = max(0, more) % len(own) if own else 0
        chance = random.Random(f"{mixture.seed} {name} again")
        drawn = sorted(chance.sample(range(len(own)), rest))
        added += [replace(own[place], id=f"{own[place].id}/again-{max(0, more) // len(own) + 1}") for place in drawn]
    return Joined([rows, added])


def mixed(
    divided: Mapping[str, Sequence[ChatRow]], removed: Sequence[RemovedRow], read: Mapping[str, int], mixture: Mixture
) -> tuple[dict[str, Sequence[ChatRow]], dict[str, dict[str, Any]]]:
    """The splits, with training rows that repeat where that is asked for, and the mixture for ``dataset.json``.

    Args:
        divided: rows by split. removed: all that went, those that were not drawn among them. read: rows by source.
    Returns:
        splits, and of each source the rows that were read, that the steps kept, that are used (with ``repeated`` ones), and the
        share of these among all.
    """
    drawn = Counter(row.source for rows in divided.values() for row in rows)
    kept = drawn + Counter(gone.row.source for gone in removed if gone.step == MIX_STEP)
    train: Sequence[ChatRow] = divided.get("train", [])
    whole = repeated(train, mixture, kept)
    added = Counter(row.source for row in whole[len(train) :]) if whole is not train else Counter()
    used = drawn + added
    told = {
        name: {
            "read": count, "kept": kept[name], "used": used[name], "repeated": added[name],
            "share": round(used[name] / max(1, used.total()), 4),
            **({"replayed": used[name]} if name == mixture.replay else {}),
        }
        for name, count in read.items()
    }  # fmt: skip
    return {**divided, **({"train": whole} if added else {})}, told
