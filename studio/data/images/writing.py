"""The last part of a build: the pictures, the tables and the report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from studio.core.errors import DataError
from studio.core.files import folder_size, write_text
from studio.core.records import DatasetRecord
from studio.data.build import peak_bytes
from studio.data.cache import code_version, library_versions
from studio.data.images.crew import Crew
from studio.data.images.look import Picture
from studio.data.images.making import Made, stored_name
from studio.data.images.report import render_image_report
from studio.data.images.rows import PICTURES, ImageRow, RemovedImage, removed_to_table, rows_to_table
from studio.data.images.training import Copy, training_rows
from studio.data.page import REPORT_FILE
from studio.data.parquet import REMOVED_FILE, write_table
from studio.data.split import Division
from studio.data.stages import Stages, Tell
from studio.schema.image_recipe import ImageRecipe

LIBRARIES = ("pillow", "imagehash", "cleanvision", "resvg-py", "emoji", "ftfy", "numpy", "pyarrow")
_DRAWING_CODE = tuple(f"images/{name}.py" for name in ("decode", "svg", "making", "augment"))
# Pictures made by earlier builds are kept up to this size in one workspace, so that another split need not draw them anew.
_KEEP_BYTES = 4 * 1024**3

Work = Stages[Picture, RemovedImage]


def write_dataset(
    place: Path,
    record: DatasetRecord,
    recipe: ImageRecipe,
    removed: Sequence[RemovedImage],
    division: Division[Picture],
    crew: Crew,
    store: Path,
    tell: Tell,
) -> DatasetRecord:
    """Make the pictures and write them, the tables and the report into a folder; gives back the record with what was made.

    Args:
        store: pictures by hash, shared by the builds of a workspace.
    Raises:
        DataError: a source's file went away meanwhile.
    """
    started = time.perf_counter()
    copies = {split: [Copy(picture) for picture in part] for split, part in division.splits.items()}
    copies["train"], late = training_rows(copies["train"], recipe.train_steps)
    made = _make([copy for part in copies.values() for copy in part], crew, store)
    distinct = {one.sha256 for one in made}
    tell(f"pictures: {len(distinct):,} made for {len(made):,} rows ({time.perf_counter() - started:.1f} s)")
    for digest in sorted(distinct):
        _take_over(store / stored_name(digest), place / PICTURES / stored_name(digest))
    done = iter(made)
    splits = {split: [_row(copy, next(done)) for copy in part] for split, part in copies.items()}
    for split, rows in splits.items():
        write_table(rows_to_table(rows), place / f"{split}.parquet")
    write_table(removed_to_table(removed), place / REMOVED_FILE)
    record = record.model_copy(
        update={
            "steps": [*record.steps, *late],
            "splits": {split: len(rows) for split, rows in splits.items()},
            "rows_added": len(made) - sum(record.splits.values()),
            "said": _said([row for rows in splits.values() for row in rows]),
            "pictures": {"files": len(distinct), "bytes": folder_size(place / PICTURES)},
            "peak_bytes": peak_bytes(),
        }
    )
    write_text(place / REPORT_FILE, render_image_report(record, removed, splits, place))
    return record


def _said(rows: Sequence[ImageRow]) -> dict[str, int]:
    """How many rows have a caption, and how many labels there are."""
    return {"captions": sum(bool(row.caption) for row in rows), "labels": len({row.label for row in rows} - {None})}


def _make(copies: Sequence[Copy], crew: Crew, store: Path) -> list[Made]:
    """Make the picture of every row."""
    made: list[Made] = []
    version = code_version(*_DRAWING_CODE) + str(library_versions(LIBRARIES))
    for one in crew.make([copy.order() for copy in copies], store, version):
        if isinstance(one, str):
            raise DataError(f"{one}: the file was changed or removed while the dataset was built. Build it again.")
        made.append(one)
    return made


def _row(copy: Copy, made: Made) -> ImageRow:
    """The row of a picture that was made."""
    picture = copy.picture
    return ImageRow(
        id=copy.id,
        image=f"{PICTURES}/{stored_name(made.sha256)}",
        caption=copy.caption,
        label=picture.label,
        group=picture.group,
        width=made.width,
        height=made.height,
        bucket=picture.bucket,
        sha256=made.sha256,
        source=picture.source,
        meta=picture.meta | copy.meta,
    )


def _take_over(stored: Path, target: Path) -> None:
    """Copy a picture; a later change of one Dataset's file must not reach another's, so it is no link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(stored, target)


def prune_store(store: Path, keep_bytes: int = _KEEP_BYTES) -> None:
    """Remove the files that were made longest ago until the rest fits."""
    files = [file for file in store.rglob("[!.]*") if file.is_file()]
    used = 0
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        used += file.stat().st_size
        if used > keep_bytes:
            file.unlink(missing_ok=True)
