"""DreamBooth: a thing gets a rare word, and pictures of its class that the base drew itself keep the class from drifting.

Source: DreamBooth (arXiv 2208.12242), sections 3.2 (rare word) and 3.3 (prior preservation).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from studio.adapters.images.loading import to_pictures
from studio.core.errors import UserError
from studio.core.files import disk_errors, sha256_json
from studio.core.progress import Progress
from studio.core.workspace import cache_folder
from studio.data.images.rows import ImageRow
from studio.models.images.families.base import Family
from studio.schema.diffusion import DreamboothSettings
from studio.train.images.pictures import image_windows

# Pictures of the class that are drawn together.
_AT_ONCE = 4


def with_prompt(rows: Sequence[ImageRow], prompt: str | None) -> list[ImageRow]:
    """The same pictures, each with the prompt as its caption; None leaves their own."""
    return [replace(row, caption=prompt) for row in rows] if prompt else list(rows)


def class_rows(
    settings: DreamboothSettings, family: Family, base_sha256: str, size: int, *, say: Callable[[str], None]
) -> list[ImageRow]:
    """Pictures of the class, drawn by the untouched base; those that an earlier run drew are taken again.

    Args:
        base_sha256: hash of the base's weights; pictures of another base are never mixed in.
        size: side in pixels.
    Raises:
        UserError: the family has no text to name a class with.
        StudioError: the disk is full.
    """
    if not family.conditional:
        raise UserError(f"dreambooth.class_prompt needs a base that listens to text; the family {family.name} does not.")
    prompt = settings.class_prompt or ""
    steps, guidance = settings.steps or family.default_steps, settings.guidance or family.default_guidance
    name = sha256_json([base_sha256, prompt, size, steps, guidance, str(family.dtype)])[:32]
    folder = cache_folder() / "class-pictures" / name
    files = [folder / f"{settings.seed + number}.png" for number in range(settings.class_pictures)]
    missing = [number for number, file in enumerate(files) if not file.is_file()]
    if missing:
        with disk_errors("pictures of the class", folder):
            folder.mkdir(parents=True, exist_ok=True)
        with Progress(f"draw {prompt!r}", len(missing), "pictures") as progress:
            for first in range(0, len(missing), _AT_ONCE):
                numbers = missing[first : first + _AT_ONCE]
                drawn = family.sample(
                    [prompt] * len(numbers),
                    [settings.seed + number for number in numbers],
                    height=size,
                    width=size,
                    steps=steps,
                    guidance=guidance,
                )
                for number, picture in zip(numbers, to_pictures(drawn), strict=True):
                    hidden = files[number].with_name(f".{files[number].name}")
                    with disk_errors("a picture of the class", folder):
                        picture.save(hidden, format="PNG")
                        hidden.replace(files[number])
                progress.advance(len(numbers))
    say(f"{len(files)} pictures of {prompt!r} keep the class ({len(missing)} drawn now, in {folder})")
    return [_row(file, prompt, size) for file in files]


def _row(file: Path, prompt: str, size: int) -> ImageRow:
    """A row whose picture lies outside the Dataset; an absolute path stands for itself."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return ImageRow(f"class-{file.stem}", str(file.resolve()), prompt, None, None, size, size, None, digest, source="drawn")


def paired_windows(
    shapes: Sequence[tuple[int, int]], *, of_class: int, batch_size: int, steps: int, seed: int
) -> list[list[int]]:
    """Windows of ``batch_size`` pictures of the thing and as many of its class, each going through its own pictures.

    Args:
        shapes: of all rows, those of the class last.
        of_class: how many those are.
    Raises:
        UserError: the pictures of the thing have another shape than those of the class.
    """
    own = list(shapes[: len(shapes) - of_class])
    others = sorted({shape for shape in own if shape != shapes[-1]})
    if others:
        height, width = others[0]
        raise UserError(
            f"pictures of {width} x {height} pixels cannot share a step with those of the class, which are square. "
            "Build the Dataset without buckets, or leave dreambooth.class_prompt out."
        )
    things = image_windows(own, batch_size=batch_size, steps=steps, seed=seed)
    classes = image_windows(shapes[len(own) :], batch_size=batch_size, steps=steps, seed=seed + 1)
    return [[*thing, *(len(own) + row for row in kind)] for thing, kind in zip(things, classes, strict=True)]
