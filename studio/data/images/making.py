"""The pictures of a Dataset, drawn at the size the steps decided, altered where asked, and saved by the hash of their bytes."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from studio.core.files import disk_errors, sha256_json
from studio.data.images.augment import Alteration, alter
from studio.data.images.decode import DecodeOptions, Place, decode, read_bytes
from studio.data.images.problems import PictureProblem

# Longer side of the thumbnails of removed pictures.
THUMBNAIL = 96


@dataclass(frozen=True)
class Order:
    """One picture to make: from where, at which size (None: as it is), how it gets there, what is altered.

    file_hash: sha256 of the file when it was looked at, by which a picture that was made before is found again.
    """

    place: Place
    file_hash: str
    target: tuple[int, int] | None
    fit: str
    alteration: Alteration | None = None


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


def make_pictures(orders: Sequence[Order], options: DecodeOptions, store: Path, version: str) -> list[Made | str]:
    """Make pictures and put each into ``store`` by its hash; a sentence where a file was lost since it was looked at.

    ``version``: of the code and libraries that draw. What was made before from the same bytes in the same way is taken as it is.
    """
    done: list[Made | str] = []
    for order in orders:
        found = made_before(order, options, store, version)
        if found is None:
            try:
                found = _make(order, options, store)
            except PictureProblem as problem:
                done.append(f"{order.place.path}: {problem.reason} ({problem.value})")
                continue
            _put(_known(order, options, store, version), f"{found.sha256} {found.width} {found.height}\n".encode())
        done.append(found)
    return done


def _known(order: Order, options: DecodeOptions, store: Path, version: str) -> Path:
    """File that says what an order gave when it was made before."""
    settings = asdict(order)
    settings.pop("place")
    digest = sha256_json([settings, asdict(options), version])
    return store / "known" / digest[:2] / digest[:32]


def made_before(order: Order, options: DecodeOptions, store: Path, version: str) -> Made | None:
    """A picture out of the store, if it is there and whole."""
    try:
        digest, width, height = _known(order, options, store, version).read_text(encoding="utf-8").split()
        whole = hashlib.sha256((store / stored_name(digest)).read_bytes()).hexdigest() == digest
        return Made(digest, int(width), int(height)) if whole else None
    except (OSError, ValueError):
        return None


def _make(order: Order, options: DecodeOptions, store: Path) -> Made:
    """Make one picture."""
    picture = fit_to(decode(read_bytes(order.place), options).picture, order.target, order.fit, options.background)
    if order.alteration is not None:
        picture = alter(picture, order.alteration, options.background)
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=6)
    return Made(keep_file(store, stream.getvalue(), ".png"), picture.width, picture.height)


def keep_file(store: Path, data: bytes, suffix: str) -> str:
    """Put bytes into a store by their hash, in one step; returns the sha256.

    Raises:
        StudioError: the disk is full or read-only.
    """
    digest = hashlib.sha256(data).hexdigest()
    path = store / stored_name(digest, suffix)
    if not path.is_file() or path.read_bytes() != data:
        _put(path, data)
    return digest


def _put(path: Path, data: bytes) -> None:
    """Write a file in one step, without waiting for the disk: what is lost in a power cut is made again."""
    with disk_errors("a picture", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


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
