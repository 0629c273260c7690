"""Steps on captions."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import replace

from studio.data.images.look import Picture
from studio.data.images.steps.base import ImageStep, SingleStep, Verdict
from studio.data.similarity import plain_key
from studio.data.text import repair_text
from studio.data.verdicts import Drop

# A comma that does not stand between two digits.
_COMMA = re.compile(r"(?<!\d),|,(?!\d)")


class CaptionRepair(SingleStep):
    """Mojibake repaired with ftfy, entities decoded, blanks squeezed to one line, repeated tags once."""

    def __init__(self, lowercase: bool = False, repeated_tags: bool = True) -> None:
        """See :class:`studio.schema.image_steps.CaptionRepairStep`."""
        self._lowercase, self._tags = lowercase, repeated_tags

    def judge(self, picture: Picture) -> Verdict:
        """Never drops."""
        caption = " ".join(repair_text(html.unescape(picture.caption)).split())
        if self._tags and "," in caption:
            caption = _once(caption)
        caption = caption.lower() if self._lowercase else caption
        return picture if caption == picture.caption else replace(picture, caption=caption)


def _once(caption: str) -> str:
    """A list of tags with each of them once; a caption that repeats nothing is left alone, ``1,000`` is no list."""
    tags = [tag.strip() for tag in _COMMA.split(caption)]
    first: dict[str, str] = {}
    for tag in tags:
        if tag:
            first.setdefault(tag.casefold(), tag)
    return caption if len(first) == len(tags) else ", ".join(first.values())


class CaptionEmpty(SingleStep):
    """Pictures of which nothing is said."""

    def __init__(self, fill: str | None = None, placeholders: Sequence[str] = ()) -> None:
        """``fill``: caption instead, ``{label}`` filled in; ``placeholders``: words that mean nothing."""
        self._fill = fill
        self._placeholders = frozenset(word.casefold() for word in placeholders)

    def judge(self, picture: Picture) -> Verdict:
        """Drop, fill or keep."""
        caption = picture.caption.strip()
        if caption and caption.casefold() not in self._placeholders:
            return picture
        if self._fill is not None and (picture.label or "{label}" not in self._fill):
            return replace(picture, caption=self._fill.replace("{label}", picture.label or ""))
        reason = "placeholder instead of a caption" if caption else "no caption"
        return Drop(reason, repr(caption) if caption else None, "some text")


class CaptionLength(SingleStep):
    """Captions of too few or too many words."""

    def __init__(self, min: int = 1, max: int = 60, action: str = "drop") -> None:
        """``action`` on a long caption: ``drop`` the picture or ``cut`` the caption after ``max`` words."""
        self._min, self._max, self._cut = min, max, action == "cut"

    def judge(self, picture: Picture) -> Verdict:
        """Drop, cut or keep."""
        words = picture.caption.split()
        if len(words) < self._min:
            return Drop("caption too short", f"{len(words)} words", f"at least {self._min}")
        if len(words) <= self._max:
            return picture
        if self._cut:
            return replace(picture, caption=" ".join(words[: self._max]).rstrip(",;:"))
        return Drop("caption too long", f"{len(words)} words", f"at most {self._max}")


class CaptionDuplicates(ImageStep):
    """Captions that too many pictures share."""

    def __init__(self, max: int = 1) -> None:
        """``max``: pictures that may share one."""
        self._max = max

    def judge_all(self, pictures: Sequence[Picture]) -> list[Verdict]:
        """The first ones stay."""
        first: dict[str, str] = {}
        counts: dict[str, int] = {}
        verdicts: list[Verdict] = []
        for picture in pictures:
            key = plain_key(picture.caption)
            known = first.setdefault(key, picture.id)
            counts[key] = counts.get(key, 0) + 1
            over = bool(key) and counts[key] > self._max
            verdicts.append(Drop("caption used before", f"{counts[key]}th use", f"{self._max}", known) if over else picture)
        return verdicts


class TriggerWord(SingleStep):
    """A word put into every caption that lacks it."""

    def __init__(self, word: str, position: str = "start", separator: str = ", ") -> None:
        """See :class:`studio.schema.image_steps.TriggerWordStep`."""
        self._word, self._start, self._separator = word, position == "start", separator

    def judge(self, picture: Picture) -> Verdict:
        """Never drops."""
        caption = picture.caption
        if self._word.casefold() in caption.casefold():
            return picture
        parts = [self._word, caption] if self._start else [caption, self._word]
        return replace(picture, caption=self._separator.join(part for part in parts if part))
