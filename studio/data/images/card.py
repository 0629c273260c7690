"""The card of a Dataset of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from studio.data.card import DatasetCard
from studio.data.images.rows import PICTURES


class ImageCard(DatasetCard):
    """Pictures with captions or labels."""

    rows = "pictures"
    fields: ClassVar[Sequence[tuple[str, str]]] = (
        ("id", "unique in this Dataset"),
        ("image", f"path of the picture in the folder `{PICTURES}/`"),
        ("caption", "what is said about it"),
        ("label", "category, null where the source has none"),
        ("group", "rows that share it lie in one split"),
        ("width", "pixels"),
        ("height", "pixels"),
        ("bucket", "`WxH` where there are aspect-ratio buckets"),
        ("sha256", "of the picture file"),
        ("source", "name of the source, as below"),
        ("meta", "everything else, as JSON text"),
    )

    def tasks(self) -> list[str]:
        """What captions and labels allow, as far as there are some."""
        said = self.extra.get("said") or {}
        tasks = [("text-to-image", said.get("captions")), ("image-classification", said.get("labels", 0) > 1)]
        return [task for task, there in tasks if there]

    def division(self) -> str:
        """How pictures were divided, and how many files there are."""
        pictures = self.extra.get("pictures") or {}
        files = f"{pictures['files']:,} picture files of {pictures['bytes']:,} bytes together." if pictures else ""
        return " ".join(part for part in (super().division(), files) if part)

    def personal(self) -> str:
        """No step looks for people in pictures."""
        return "No step looked for people, faces, number plates or names in the pictures. Whether some are shown is not known."
