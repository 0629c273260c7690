"""Altered copies of training pictures. Seeded by the row, off where the caption would become a lie."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

# A mirrored or turned picture makes these words wrong; letters, digits and clocks are wrong in a mirror even unnamed.
_SIDES_WORDS = "left right leftwards rightwards clockwise counterclockwise anticlockwise east west mirrored reversed backhand"
_TEXT_WORDS = (
    "text letter letters word words number digit digits sign button keycap clock watch time o'clock oclock thirty "
    "logo writing handwriting caption title label book newspaper calendar flag banner input symbol latin script"
)
_DIRECTIONS_WORDS = "up down upwards downwards upside north south tilted leaning vertical horizontal arrow"
_COLOURS_WORDS = (
    "red green blue yellow orange purple violet pink brown black white grey gray golden gold silver dark light "
    "bright pale colour color colourful colorful skin tone monochrome"
)
SIDES = frozenset(_SIDES_WORDS.split())
TEXT = frozenset(_TEXT_WORDS.split())
DIRECTIONS = SIDES | frozenset(_DIRECTIONS_WORDS.split())
COLOURS = frozenset(_COLOURS_WORDS.split())
_WORD = re.compile(r"[^\W\d_][\w'’]*|\d+")


@dataclass(frozen=True)
class Alteration:
    """What is done to one copy.

    crop: left, upper, right, lower as shares; rotate: degrees; colour: brightness, contrast, saturation as factors; noise:
    standard deviation as a share of the range, with the seed it is drawn from.
    """

    flip: bool = False
    crop: tuple[float, float, float, float] | None = None
    rotate: float = 0.0
    colour: tuple[float, float, float] | None = None
    noise: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Augmenting:
    """What may be altered; fields as in :class:`studio.schema.image_steps.AugmentStep`."""

    copies: int = 1
    flip: bool = False
    crop: float = 0.0
    rotate: float = 0.0
    colour: float = 0.0
    noise: float = 0.0
    protect: Sequence[str] = ()
    seed: int = 0

    def plan(self, identity: str, caption: str) -> list[Alteration]:
        """The alterations of one picture's copies; fewer where nothing that is asked for would leave the caption true."""
        words = {word.casefold() for word in _WORD.findall(caption)}
        guarded = bool(words & {word.casefold() for word in self.protect})
        digits = any(word.isdigit() for word in words)
        may_flip = self.flip and not (guarded or digits or words & (SIDES | TEXT))
        may_turn = self.rotate > 0 and not (guarded or words & DIRECTIONS)
        may_colour = self.colour > 0 and not (guarded or words & COLOURS)
        if not (may_flip or may_turn or may_colour or self.crop or self.noise):
            return []
        made: dict[Alteration, None] = {}
        for number in range(self.copies):
            chance = random.Random(seed_of(self.seed, identity, number))
            made[self._draw(chance, may_flip and number % 2 == 0, may_turn, may_colour)] = None
        return [one for one in made if one != Alteration()]

    def _draw(self, chance: random.Random, flip: bool, turn: bool, colour: bool) -> Alteration:
        """One alteration."""
        crop = None
        if self.crop:
            share = chance.uniform(0, self.crop)
            left, upper = chance.uniform(0, share), chance.uniform(0, share)
            crop = (left, upper, 1 - share + left, 1 - share + upper)
        factors = tuple(round(chance.uniform(1 - self.colour, 1 + self.colour), 4) for _ in range(3))
        return Alteration(
            flip=flip,
            crop=crop and (round(crop[0], 4), round(crop[1], 4), round(crop[2], 4), round(crop[3], 4)),
            rotate=round(chance.uniform(-self.rotate, self.rotate), 3) if turn else 0.0,
            colour=(factors[0], factors[1], factors[2]) if colour else None,
            noise=self.noise,
            seed=chance.getrandbits(32) if self.noise else 0,
        )


def seed_of(seed: int, identity: str, number: int) -> int:
    """A number that depends on the row and the seed only, not on other rows."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\x1f{identity}\x1f{number}".encode(), digest_size=8).digest(), "big")


def alter(picture: Image.Image, what: Alteration, background: str) -> Image.Image:
    """Alter one picture; its size stays."""
    size = picture.size
    if what.flip:
        picture = ImageOps.mirror(picture)
    if what.rotate:
        picture = picture.rotate(what.rotate, Image.Resampling.BICUBIC, fillcolor=background)
    if what.crop:
        left, upper, right, lower = what.crop
        box = (left * size[0], upper * size[1], right * size[0], lower * size[1])
        picture = picture.resize(size, Image.Resampling.LANCZOS, box=box)
    if what.colour:
        for enhance, factor in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), what.colour, strict=True
        ):
            picture = enhance(picture).enhance(factor)
    if what.noise:
        values = np.asarray(picture, dtype=np.float32)
        noise = np.random.default_rng(what.seed).normal(0, what.noise * 255, values.shape)
        picture = Image.fromarray(np.clip(values + noise, 0, 255).round().astype(np.uint8), "RGB")
    return picture
