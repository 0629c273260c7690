"""A few rows of many, drawn evenly in one walk: rows may lie on disk, and nobody has to know how many there are."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Reservoir(Generic[T]):
    """So many of the things that were offered, each with the same chance: algorithm R (Vitter 1985)."""

    def __init__(self, size: int, seed: str) -> None:
        """``seed``: the same things in the same order give the same choice."""
        self._size, self._chance = size, random.Random(seed)
        self._places: list[int] = []
        self._taken: list[T] = []
        self.offered = 0

    def offer(self, make: Callable[[], T]) -> None:
        """Take one more into the choice or not; ``make`` is called only where it is taken."""
        self.offered += 1
        if len(self._taken) < self._size:
            self._taken.append(make())
            self._places.append(self.offered)
            return
        place = self._chance.randrange(self.offered)
        if place < self._size:
            self._taken[place] = make()
            self._places[place] = self.offered

    def drawn(self) -> list[T]:
        """What was chosen, in the order in which it was offered."""
        order = sorted(range(len(self._taken)), key=self._places.__getitem__)
        return [self._taken[index] for index in order]
