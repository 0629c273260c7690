"""``report.html`` of a Dataset of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from studio.core.records import DatasetRecord
from studio.data.images.rows import ImageRow, RemovedImage


def render_image_report(
    record: DatasetRecord, removed: Sequence[RemovedImage], splits: Mapping[str, Sequence[ImageRow]], folder: Path
) -> str:
    """The page as text."""
    return record.name
