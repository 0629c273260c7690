"""``report.html`` of a Dataset of pictures: contact sheets of what went and of what stays, in one file that opens offline."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.records import DatasetRecord
from studio.data.images.making import THUMBNAIL, thumbnail
from studio.data.images.rows import ImageRow, RemovedImage, open_image
from studio.data.page import page_template

# Pictures shown for one reason, and of what stays; the parquet files hold all.
_GONE_SHOWN = 48
_KEPT_SHOWN = 240
_LABELS_SHOWN = 30


@dataclass(frozen=True)
class Tile:
    """One picture of a contact sheet.

    source: a data URI, None where nothing could be decoded. text: under it. more: on hovering. mark: what a step saw.
    """

    source: str | None
    text: str
    more: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Reason:
    """What one step removed for one reason. pairs: a removed picture beside the one it repeats (None without)."""

    step: str
    reason: str
    threshold: str
    count: int
    pairs: list[tuple[Tile, Tile | None]]


def render_image_report(
    record: DatasetRecord, removed: Sequence[RemovedImage], splits: Mapping[str, Sequence[ImageRow]], folder: Path
) -> str:
    """The page as text.

    Args:
        splits: rows by split, as written.
        folder: where the pictures lie already.
    """
    rows = [row for part in splits.values() for row in part]
    extra: dict[str, Any] = record.model_extra or {}
    labels = Counter(row.label or "without label" for row in rows)
    return page_template("images/report.html.j2").render(
        record=record,
        extra=extra,
        notes=extra.get("notes", []),
        clusters=extra.get("clusters", {}),
        kept=len(rows),
        reasons=list(_reasons(removed, rows, folder)),
        sheets=_sheets(splits, folder),
        labels=_shares(labels),
        buckets=_shares(Counter(extra.get("buckets", {}))),
        sizes=Counter(f"{row.width} x {row.height}" for row in rows).most_common(6),
        captions=_caption_facts(rows),
    )


def _reasons(removed: Sequence[RemovedImage], rows: Sequence[ImageRow], folder: Path) -> Iterator[Reason]:
    """Removed pictures by step and reason, in the order of the steps."""
    grouped: dict[tuple[str, str], list[RemovedImage]] = {}
    for gone in removed:
        grouped.setdefault((gone.step, gone.reason), []).append(gone)
    kept = {row.id: row for row in rows}
    others = {gone.id: gone for gone in removed}
    for (step, reason), all_gone in grouped.items():
        pairs = [(_gone_tile(gone), _match_tile(gone.matched, kept, others, folder)) for gone in all_gone[:_GONE_SHOWN]]
        yield Reason(step, reason, all_gone[0].threshold or "", len(all_gone), pairs)


def _gone_tile(gone: RemovedImage) -> Tile:
    """A picture that went."""
    source = _uri(gone.thumbnail, "jpeg") if gone.thumbnail else None
    size = f" · {gone.width} x {gone.height}" if gone.width else ""
    more = f"{gone.id}{size} · {gone.caption or 'no caption'}"
    return Tile(source, gone.caption or gone.file.rpartition("/")[2], more, gone.value or "")


def _match_tile(
    matched: str | None, kept: Mapping[str, ImageRow], others: Mapping[str, RemovedImage], folder: Path
) -> Tile | None:
    """The picture that a removed one repeats; it may have been removed itself by a later step."""
    if matched is None:
        return None
    if matched in kept:
        return _kept_tile(kept[matched], folder)
    return _gone_tile(others[matched]) if matched in others else None


def _sheets(splits: Mapping[str, Sequence[ImageRow]], folder: Path) -> list[tuple[str, int, list[Tile]]]:
    """Split, rows, and pictures spread evenly over it."""
    total = sum(map(len, splits.values()))
    sheets = []
    for split, rows in splits.items():
        shown = min(len(rows), max(12, _KEPT_SHOWN * len(rows) // max(total, 1)))
        chosen = [rows[index * len(rows) // shown] for index in range(shown)]
        sheets.append((split, len(rows), [_kept_tile(row, folder) for row in chosen]))
    return sheets


def _kept_tile(row: ImageRow, folder: Path) -> Tile:
    """A picture that stays, as training will see it."""
    picture = open_image(folder, row)
    shrunk = max(picture.size) > THUMBNAIL
    source = _uri(thumbnail(picture), "jpeg") if shrunk else _uri((folder / row.image).read_bytes(), "png")
    words = " · ".join(filter(None, [row.id, row.label, f"{row.width} x {row.height}"]))
    return Tile(
        source, row.caption or "(no caption)", f"{row.caption} · {words}", "altered copy" if "copy_of" in row.meta else ""
    )


def _uri(data: bytes, kind: str) -> str:
    """Bytes of a picture inside the page."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _shares(counts: Counter[str]) -> list[tuple[str, int, float]]:
    """Name, count, and share of the largest in percent; the rare ones together at the end, without a share."""
    shown = counts.most_common(_LABELS_SHOWN)
    highest = max((count for _, count in shown), default=1)
    bars = [(name, count, round(100 * count / highest, 1)) for name, count in shown]
    rest = sum(counts.values()) - sum(count for _, count in shown)
    return [*bars, (f"{len(counts) - len(shown)} others", rest, 0.0)] if rest else bars


def _caption_facts(rows: Sequence[ImageRow]) -> dict[str, Any]:
    """How captions are: how many different ones, empty ones, words."""
    words = sorted(len(row.caption.split()) for row in rows)
    return {
        "different": len({row.caption for row in rows if row.caption}),
        "empty": sum(not row.caption for row in rows),
        "median": words[len(words) // 2],
        "longest": words[-1],
    }
