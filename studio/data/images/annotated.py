"""Pictures whose captions, labels and boxes people edit: what is shown of them, and how an edited copy is written."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath

from studio.core.files import write_text
from studio.core.records import DatasetRecord
from studio.core.translation import later
from studio.data.annotations.base import AnnotatedRows, Edit, Item
from studio.data.boxes import boxes_of
from studio.data.images.report import render_image_report
from studio.data.images.rows import PICTURES as FOLDER
from studio.data.images.rows import ImageRow, read_image_split, read_removed_images, rows_to_table
from studio.data.page import REPORT_FILE
from studio.data.parquet import REMOVED_FILE, write_table


class AnnotatedPictures(AnnotatedRows):
    """Pictures; the text is the caption, and boxes lie in ``meta``."""

    text_name = later("Caption")
    has_boxes = True

    def items(self, folder: Path, split: str) -> list[Item]:
        """See :meth:`studio.data.annotations.base.AnnotatedRows.items`."""
        return [_item(row, split) for row in read_image_split(folder, split)]

    def write(self, folder: Path, place: Path, record: DatasetRecord, edits: Mapping[str, Edit]) -> DatasetRecord:
        """See :meth:`studio.data.annotations.base.AnnotatedRows.write`."""
        filled = [split for split, rows in record.splits.items() if rows]
        splits = {split: [_edited(row, edits.get(row.id)) for row in read_image_split(folder, split)] for split in filled}
        # Copied, no links: a later change of one Dataset's file must not reach another's.
        shutil.copytree(folder / FOLDER, place / FOLDER)
        for split, rows in splits.items():
            write_table(rows_to_table(rows), place / f"{split}.parquet")
        shutil.copyfile(folder / REMOVED_FILE, place / REMOVED_FILE)
        write_text(place / REPORT_FILE, render_image_report(record, read_removed_images(folder), splits, place))
        return record


def _item(row: ImageRow, split: str) -> Item:
    """A picture. An altered copy has no file name of its own: what lies where in the original is elsewhere in it."""
    names = () if "copy_of" in row.meta else (row.id.partition("/")[2] or row.id, PurePosixPath(row.image).name)
    return Item(
        row.id,
        split,
        label=row.label,
        text=row.caption,
        fields=row.meta,
        picture=row.image,
        size=(row.width, row.height),
        boxes=boxes_of(row.meta),
        names=names,
    )


def _edited(row: ImageRow, edit: Edit | None) -> ImageRow:
    """A picture after its edit; what caption and label were stays in ``meta``."""
    if edit is None:
        return row
    meta = row.meta | edit.marks()
    if edit.text is not None and edit.text != row.caption:
        meta.setdefault("caption_before", row.caption)
    if edit.label is not None and edit.label != row.label:
        meta.setdefault("label_before", row.label)
    if edit.boxes is not None:
        meta["boxes"] = [asdict(box) for box in edit.boxes]
    caption = row.caption if edit.text is None else edit.text
    return replace(row, caption=caption, label=row.label if edit.label is None else edit.label, meta=meta)


PICTURES = AnnotatedPictures()
