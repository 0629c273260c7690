"""What is done to the training pictures only, after the split: altered copies and captions left out."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from studio.core.records import StepRecord
from studio.data.images.augment import Alteration, Augmenting, seed_of
from studio.data.images.look import Picture
from studio.data.images.making import Order
from studio.schema.image_steps import AugmentStep, TrainStep


@dataclass(frozen=True)
class Copy:
    """A row to be: a picture, as it is or altered. number: 0 for the picture itself. words: a caption instead of its own."""

    picture: Picture
    number: int = 0
    alteration: Alteration | None = None
    words: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The picture's id; copies get a number."""
        return f"{self.picture.id}+{self.number}" if self.number else self.picture.id

    @property
    def caption(self) -> str:
        """What is said about it."""
        return self.picture.caption if self.words is None else self.words

    def order(self) -> Order:
        """What has to be made."""
        return Order(self.picture.place, self.picture.file_hash, self.picture.target, self.picture.fit, self.alteration)


def training_rows(rows: Sequence[Copy], steps: Sequence[TrainStep]) -> tuple[list[Copy], list[StepRecord]]:
    """Run the steps that belong to training; a record each (rows_out above rows_in: copies were added)."""
    now = list(rows)
    records: list[StepRecord] = []
    for step in steps:
        started = time.perf_counter()
        before = now
        if isinstance(step, AugmentStep):
            now = [copy for row in now for copy in _augmented(row, Augmenting(**step.model_dump(exclude={"step"})))]
            changed = 0
        else:
            now = [_without_caption(row, step.share, step.seed) for row in now]
            changed = sum(one is not two for one, two in zip(before, now, strict=True))
        records.append(
            StepRecord(
                name=step.step,
                settings=step.model_dump(exclude={"step"}),
                rows_in=len(before),
                rows_out=len(now),
                changed=changed,
                seconds=round(time.perf_counter() - started, 3),
            )
        )
    return now, records


def _augmented(row: Copy, what: Augmenting) -> list[Copy]:
    """A picture and its altered copies; a copy is not copied again."""
    if row.alteration is not None:
        return [row]
    made = [row]
    for number, alteration in enumerate(what.plan(row.picture.id, row.picture.caption), start=row.number + 1):
        done = {key: value for key, value in asdict(alteration).items() if value and key != "seed"}
        meta = row.meta | {"copy_of": row.picture.id, "altered": done}
        made.append(replace(row, number=number, alteration=alteration, meta=meta))
    return made


def _without_caption(row: Copy, share: float, seed: int) -> Copy:
    """The row, its caption emptied by chance; what it was stays in ``meta``."""
    if not row.caption or random.Random(seed_of(seed, row.id, 0)).random() >= share:
        return row
    return replace(row, words="", meta=row.meta | {"caption_before": row.caption})
