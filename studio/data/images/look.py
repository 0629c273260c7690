"""One look at every picture: it is decoded once, and all that the steps judge by is measured. Steps themselves open no file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from PIL import Image

from studio.data.images.decode import Decoded, DecodeOptions, Place, decode, read_bytes
from studio.data.images.problems import PictureProblem

# Side of the small picture whose colours decide about near-duplicates.
COLOUR_SIDE = 16
# From twice this many pixels on, a picture is measured on a reduced copy.
_MEASURED_PIXELS = 1_000_000


@dataclass(frozen=True)
class Picture:
    """A picture on its way through the steps: where it lies, what is said about it, what was measured. Never its pixels.

    width, height: as decoded. file_hash: sha256 of the file. pixel_hash: sha256 of size and RGB values. phash: 64-bit
    perceptual hash, in hexadecimal. colours: the picture at 16 x 16, RGB bytes in hexadecimal. scores: cleanvision's, 0 to 1,
    higher is better. target: width and height to store, None for as it is; fit: how it gets there.
    """

    id: str
    source: str
    place: Place
    caption: str = ""
    label: str | None = None
    group: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    file_hash: str = ""
    pixel_hash: str = ""
    phash: str = ""
    colours: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    target: tuple[int, int] | None = None
    fit: str = "crop"
    bucket: str | None = None

    @property
    def file(self) -> str:
        """Where it was found, for people."""
        return self.place.path if self.place.member is None else self.place.member


@dataclass(frozen=True)
class Look:
    """What one look gave; values as in :class:`Picture`. remark: something a person should know."""

    width: int
    height: int
    file_hash: str
    pixel_hash: str
    phash: str
    colours: str
    scores: dict[str, float]
    remark: str | None = None


@dataclass(frozen=True)
class Unusable:
    """A picture that could not be decoded, and why."""

    reason: str
    value: str | None
    threshold: str | None


def look_at(places: Sequence[Place], options: DecodeOptions) -> list[Look | Unusable]:
    """Open, decode and measure pictures, in order."""
    found: list[Look | Unusable] = []
    raw: list[dict[str, Any]] = []
    for place in places:
        try:
            data = read_bytes(place)
            decoded = decode(data, options)
        except PictureProblem as problem:
            found.append(Unusable(problem.reason, problem.value, problem.threshold))
        else:
            found.append(_measure(decoded, hashlib.sha256(data).hexdigest()))
            raw.append(_raw_measures(_shrunk(decoded.picture)))
    scores = iter(_scores(raw))
    return [replace(look, scores=next(scores)) if isinstance(look, Look) else look for look in found]


def _measure(decoded: Decoded, file_hash: str) -> Look:
    """What one decoded picture is, without its quality scores."""
    import imagehash

    picture = decoded.picture
    pixels = hashlib.sha256(f"{picture.width}x{picture.height}".encode() + picture.tobytes()).hexdigest()
    shrunk = _shrunk(picture)
    return Look(
        width=picture.width,
        height=picture.height,
        file_hash=file_hash,
        pixel_hash=pixels,
        phash=str(imagehash.phash(shrunk)),
        colours=shrunk.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX).tobytes().hex(),
        scores={},
        remark=decoded.remark,
    )


def _shrunk(picture: Image.Image) -> Image.Image:
    """A large photo at about a megapixel: the measures say the same, and cleanvision's arrays stay small."""
    factor = int((picture.width * picture.height / _MEASURED_PIXELS) ** 0.5)
    return picture.reduce(factor) if factor > 1 else picture


@cache
def _properties() -> dict[str, Any]:
    """Cleanvision's measures with its own settings, by the names used here."""
    from cleanvision.issue_managers import IssueType
    from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager

    manager = ImagePropertyIssueManager()
    names = {
        "blur": IssueType.BLURRY.value,
        "dark": IssueType.DARK.value,
        "light": IssueType.LIGHT.value,
        "information": IssueType.LOW_INFORMATION.value,
    }
    return {name: (issue, manager.image_properties[issue], manager.params[issue]) for name, issue in names.items()}


def _raw_measures(picture: Image.Image) -> dict[str, Any]:
    """Cleanvision's measures of one picture, without its data set object."""
    raw: dict[str, Any] = {}
    for _, measured, _ in _properties().values():
        # Dark and light are two readings of one histogram of brightness.
        if not set(measured.score_columns) <= set(raw):
            raw |= measured.calculate(picture)
    return raw


def _scores(raw: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """Cleanvision's scores, 0 (bad) to 1 (good), of pictures measured before.

    Source: cleanvision.issue_managers.image_property, with the settings of its ImagePropertyIssueManager.
    """
    import pandas as pd

    if not raw:
        return []
    table = pd.DataFrame(list(raw))
    columns: dict[str, list[float]] = {}
    for name, (issue, measured, settings) in _properties().items():
        keep = {key: value for key, value in settings.items() if key != "threshold"}
        columns[name] = [round(float(score), 6) for score in measured.get_scores(table, issue, **keep).iloc[:, 0]]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
