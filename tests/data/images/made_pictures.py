"""Pictures made for tests."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.images.build import build_image_dataset
from studio.data.images.look import Look, Picture, look_at
from studio.schema.image_recipe import ImageRecipe
from studio.schema.loading import validate


def scene(number: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A picture of coloured shapes, different for every number."""
    chance = random.Random(number)
    picture = Image.new("RGB", size, tuple(chance.randrange(90, 256) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        left, upper = chance.randrange(size[0]), chance.randrange(size[1])
        box = (left, upper, left + chance.randrange(8, 50), upper + chance.randrange(8, 50))
        shape = draw.ellipse if chance.random() < 0.5 else draw.rectangle
        shape(box, fill=tuple(chance.randrange(256) for _ in range(3)))
    grain = np.random.default_rng(number).integers(-12, 13, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(picture, dtype=np.int16) + grain, 0, 255).astype(np.uint8), "RGB")


def blurred(number: int) -> Image.Image:
    """A picture out of focus: soft spots of every brightness, no edge anywhere."""
    spots = np.random.default_rng(number).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    soft = Image.fromarray(spots, "RGB").resize((480, 360), Image.Resampling.BICUBIC)
    return soft.filter(ImageFilter.GaussianBlur(40))


def image_recipe(path: Path | str, steps: list[dict[str, Any]] | None = None, **more: Any) -> ImageRecipe:
    """A recipe for one folder; ``source`` and other keys are merged in."""
    source = {"type": "local", "path": str(path), "licence": "own data", **more.pop("source", {})}
    value = {"kind": "image", "sources": [source], "steps": steps or [], "split": {"validation": 2, "test": 2}, **more}
    return validate(value, ImageRecipe)


def build(recipe: ImageRecipe, workspace: Workspace, name: str = "made", **more: Any) -> BuildOutcome:
    return build_image_dataset(recipe, workspace, name=name, **more)


def seen(folder: Path, pictures: dict[str, Image.Image]) -> list[Picture]:
    """Pictures that were saved and looked at, as the steps get them; the caption is the name."""
    from dataclasses import asdict, replace

    from studio.data.images.decode import DecodeOptions, Place

    folder.mkdir(parents=True, exist_ok=True)
    made: list[Picture] = []
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
        place = Place(str(folder / f"{name}.png"))
        look = look_at([place], DecodeOptions())[0]
        assert isinstance(look, Look)
        values = asdict(look)
        values.pop("remark")
        made.append(replace(Picture(name, "test", place, name), **values))
    return made
