"""Steps that drop pictures which cannot teach anything, by the scores that cleanvision gave them."""

from __future__ import annotations

from studio.data.images.look import Picture
from studio.data.images.steps.base import SingleStep, Verdict
from studio.data.verdicts import Drop


class Blur(SingleStep):
    """Blurred pictures: few edges (variance of Pillow's FIND_EDGES)."""

    def __init__(self, min_score: float = 0.29) -> None:
        """``min_score``: lowest score that stays."""
        self._min = min_score

    def judge(self, picture: Picture) -> Verdict:
        """Drop or keep."""
        return _judge(picture, "blur", self._min, "blurred")


class Brightness(SingleStep):
    """Pictures that are nearly black or nearly white."""

    def __init__(self, min_dark_score: float = 0.32, min_light_score: float = 0.05) -> None:
        """Lowest scores that stay; see :class:`studio.schema.image_steps.BrightnessStep`."""
        self._dark, self._light = min_dark_score, min_light_score

    def judge(self, picture: Picture) -> Verdict:
        """Drop or keep."""
        verdict = _judge(picture, "dark", self._dark, "too dark")
        return verdict if isinstance(verdict, Drop) else _judge(picture, "light", self._light, "too light")


class Information(SingleStep):
    """Pictures that show next to nothing: little entropy."""

    def __init__(self, min_score: float = 0.3) -> None:
        """``min_score``: lowest score that stays."""
        self._min = min_score

    def judge(self, picture: Picture) -> Verdict:
        """Drop or keep."""
        return _judge(picture, "information", self._min, "low information")


def _judge(picture: Picture, score: str, least: float, reason: str) -> Verdict:
    """Drop a picture whose score is below the least."""
    value = picture.scores[score]
    return Drop(reason, f"score {value:.3f}", f"at least {least:g}") if value < least else picture
