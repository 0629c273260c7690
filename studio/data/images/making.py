"""The pictures of a Dataset, drawn at the size the steps decided, altered where asked, and saved by the hash of their bytes."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from studio.core.files import disk_errors
from studio.data.images.augment import Alteration, alter
from studio.data.images.decode import DecodeOptions, Place, decode, read_bytes
from studio.data.images.problems import PictureProblem

# Longer side of the thumbnails of removed pictures.
THUMBNAIL = 96


@dataclass(frozen=True)
class Order:
    """One picture to make: from where, at which size (None: as it is), how it gets there, what is altered."""

    place: Place
    target: tuple[int, int] | None
    fit: str
    alteration: Alteration | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """A picture that was made: sha256 of the PNG file, and its size in pixels."""

    sha256: str
    width: int
    height: int


def fit_to(picture: Image.Image, target: tuple[int, int] | None, fit: str, background: str) -> Image.Image:
    """A picture at its stored size.

    Args:
        fit: ``crop`` cuts what sticks out in the middle, ``pad`` fills up with ``background``, ``inside`` only scales.
    """
    if target is None or picture.size == target:
        return picture
    width, height = target
    if fit == "inside":
        return picture.resize(target, Image.Resampling.LANCZOS)
    choose = max if fit == "crop" else min
    scale = choose(width / picture.width, height / picture.height)
    if fit == "pad":
        size = (max(1, min(width, round(picture.width * scale))), max(1, min(height, round(picture.height * scale))))
        ground = Image.new("RGB", target, background)
        ground.paste(picture.resize(size, Image.Resampling.LANCZOS), ((width - size[0]) // 2, (height - size[1]) // 2))
        return ground
    # The part of the original that fills the target, in exact coordinates: no picture is squeezed by a rounded size.
    left, upper = (picture.width - width / scale) / 2, (picture.height - height / scale) / 2
    box = (max(0.0, left), max(0.0, upper), min(picture.width, left + width / scale), min(picture.height, upper + height / scale))
    return picture.resize(target, Image.Resampling.LANCZOS, box=box)


def make_pictures(orders: Sequence[Order], options: DecodeOptions, store: Path) -> list[Made | str]:
    """Make pictures and put each into ``store`` by its hash; a sentence where a file was lost since it was looked at."""
    done: list[Made | str] = []
    for order in orders:
        try:
            picture = decode(read_bytes(order.place), options).picture
        except PictureProblem as problem:
            done.append(f"{order.place.path}: {problem.reason} ({problem.value})")
            continue
        picture = fit_to(picture, order.target, order.fit, options.background)
        if order.alteration is not None:
            picture = alter(picture, order.alteration, options.background)
        stream = io.BytesIO()
        picture.save(stream, "PNG", compress_level=6)
        digest = keep_file(store, stream.getvalue(), ".png")
        done.append(Made(digest, picture.width, picture.height))
    return done


def keep_file(store: Path, data: bytes, suffix: str) -> str:
    """Put bytes into a store by their hash, in one step; returns the sha256.

    Raises:
        StudioError: the disk is full or read-only.
    """
    digest = hashlib.sha256(data).hexdigest()
    path = store / stored_name(digest, suffix)
    with disk_errors("a picture", store):
        if not path.is_file() or path.stat().st_size != len(data):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                partial.write_bytes(data)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
    return digest


def stored_name(digest: str, suffix: str = ".png") -> str:
    """``ab/abcdef0123456789.png``."""
    return f"{digest[:2]}/{digest[:16]}{suffix}"


def make_thumbnails(places: Sequence[Place], options: DecodeOptions) -> list[bytes | None]:
    """Small JPEGs of pictures, None for those that cannot be decoded."""
    found: list[bytes | None] = []
    for place in places:
        try:
            picture = decode(read_bytes(place), options).picture
        except PictureProblem:
            found.append(None)
            continue
        found.append(thumbnail(picture))
    return found


def thumbnail(picture: Image.Image) -> bytes:
    """A small JPEG of a picture."""
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return stream.getvalue()
