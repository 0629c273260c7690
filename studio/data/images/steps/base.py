"""What a step for pictures is: something that judges them by caption and measures, and says why."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from studio.data.images.look import Picture
from studio.data.verdicts import Drop

Verdict = Picture | Drop


class ImageStep(ABC):
    """A step that sees all pictures at once."""

    notes: tuple[str, ...] = ()
    """What a person should know about the last judgement (a cap that was reached)."""

    @abstractmethod
    def judge_all(self, pictures: Sequence[Picture]) -> list[Verdict]:
        """One verdict per picture, in order: the very same object where nothing changes."""


class SingleStep(ImageStep):
    """A step that looks at one picture at a time."""

    def judge_all(self, pictures: Sequence[Picture]) -> list[Verdict]:
        """Judge each for itself."""
        return [self.judge(picture) for picture in pictures]

    @abstractmethod
    def judge(self, picture: Picture) -> Verdict:
        """Keep, change or drop one picture."""
