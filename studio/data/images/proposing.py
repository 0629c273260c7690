"""A recipe for a folder of pictures: where its captions are, and the size that suits it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from studio.core.errors import StudioError
from studio.data.images.decode import SUFFIXES
from studio.data.images.look import Picture
from studio.data.images.sources import list_pictures
from studio.data.proposals import Proposal, Refusal, local_source, split_for, steps_of
from studio.data.sources import resolved
from studio.schema.image_recipe import ImageFolderSource

_SIZED = 20
_WORDS = re.compile(r"[^\W\d_]{3,}")
_CAMERA = re.compile(r"(?:img|dsc|dscn|pxl|image|photo|picture|screenshot|untitled|p)[-_ ]?\d*", re.I)


def propose_pictures(path: Path) -> Proposal | Refusal | None:
    """A recipe of pictures; None where there are none."""
    if path.is_file():
        one = path.suffix.lower() in SUFFIXES
        return Refusal("image", f"{path.name} is one picture. Give the folder it lies in.") if one else None
    files = [file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]
    pictures = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not pictures:
        return None
    source = local_source(path)
    try:
        found = _listed(source)
        source |= _captions(found, path)
        found = _listed(source)
    except StudioError as error:
        return Refusal("image", str(error))
    captions = sum(bool(one.caption) for one in found)
    labels = Counter(one.label for one in found if one.label)
    size = _size(pictures)
    steps = [
        *steps_of(("caption_repair", "caption_empty") if captions else ()),
        *steps_of(("exact_duplicates", "near_duplicates")),
    ]
    recipe: dict[str, Any] = {
        "kind": "image",
        "description": f"Pictures of {path.name}.",
        "sources": [source],
        "steps": [*steps, {"step": "buckets", "size": size, "min_rows": 4}],
        "split": split_for(len(found), 0.05, 0.1),
    }
    named = f", labels {', '.join(f'{label} ({count:,})' for label, count in labels.most_common(6))}" if labels else ""
    what = f"{len(pictures):,} pictures, {captions:,} with a caption{named}"
    shown = tuple(f"  {Path(one.meta['file']).name}: {one.caption or '(no caption)'}" for one in found[:3])
    beside = len([file for file in files if file not in set(pictures) and file.suffix.lower() not in {".txt", ".caption"}])
    likeness = 0.95 if len(pictures) >= beside else 0.4
    choice = f"Check captions: {source.get('captions', 'auto')}; and the size of {size} pixels, which most of the pictures have."
    return Proposal("image", likeness, what, recipe, (choice,), shown)


def _listed(source: dict[str, Any]) -> list[Picture]:
    """The pictures of a folder with what is said of them; none is opened."""
    settings = ImageFolderSource.model_validate(source)
    place = resolved(settings, 0, Path(settings.path).name, settings.path, "")
    listing = list_pictures(settings, place, Path.cwd(), lambda _: "")
    return [one for one in listing.found if isinstance(one, Picture)]


def _captions(found: list[Picture], path: Path) -> dict[str, Any]:
    """Where captions are, if neither beside the pictures nor in a metadata file."""
    if any(one.caption for one in found):
        return {}
    labels = {} if any(one.label for one in found) else {"label": "folder"}
    folders = {Path(one.place.path).parent for one in found}
    if len(folders) > 1 and path not in folders:
        return {"captions": "folder", **labels}
    names = [Path(one.meta["file"]).stem for one in found]
    worded = [name for name in names if _WORDS.search(name) and not _CAMERA.fullmatch(name)]
    return {"captions": "file_name" if len(worded) > len(names) / 2 else "none"}


def _size(pictures: list[Path]) -> int:
    """The side, a multiple of 64 up to 512, that half of the first pictures have at least."""
    sides = []
    for file in pictures[:_SIZED]:
        try:
            with Image.open(file) as picture:
                sides.append(min(picture.size))
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
    return min(512, max(64, int(median(sides or [512])) // 64 * 64))
