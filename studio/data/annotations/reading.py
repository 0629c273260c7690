"""Annotations from wherever they lie: a file of any known form, the annotate app, or the Dataset that was made with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from studio.core.errors import DataError, UserError
from studio.data.annotations.base import Annotation, Found, Item, Suggestion, read_json
from studio.data.annotations.coco import is_coco, read_coco
from studio.data.annotations.derive import read_annotations
from studio.data.annotations.label_studio import Controls, is_label_studio, read_label_studio
from studio.data.annotations.spreadsheet import UNNAMED, read_csv
from studio.feedback.store import FILE_NAME, FeedbackStore


def read_annotation_file(
    path: Path, items: Mapping[str, Item], *, by: str | None = None, controls: Controls | None = None
) -> Found:
    """Annotations of a file: Label Studio's JSON, COCO's JSON, or a table that was exported to be filled in.

    Args:
        by: who labelled, for files that do not say it.
        controls: which controls of Label Studio say label and text.
    Raises:
        UserError: an option is for another form. DataError: the file cannot be read, or is of no known form.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}. Give the file that was exported.")
    if path.suffix.lower() != ".json":
        _only_label_studio(path, controls)
        return read_csv(path, items, by)
    value = read_json(path)
    if is_label_studio(value):
        if by is not None:
            raise UserError(f"{path} says itself who labelled; --by is for files that do not. Leave it out.")
        return read_label_studio(path, items, controls)
    if is_coco(value):
        _only_label_studio(path, controls)
        return read_coco(path, items, by or UNNAMED)
    raise DataError(
        f"{path} is neither Label Studio's JSON (a list of tasks with 'data') nor COCO's (images, annotations, categories). "
        "Export it as JSON; JSON-MIN leaves out who labelled."
    )


def _only_label_studio(path: Path, controls: Controls | None) -> None:
    """Refuse the choice of controls where there are none."""
    if controls is not None and (controls.label or controls.text):
        raise UserError(f"{path} has no controls; --label-from and --text-from are for Label Studio's JSON. Leave them out.")


def app_annotations(root: Path, folder: Path) -> list[Annotation]:
    """What people said of a Dataset in the annotate app.

    Args:
        root: the workspace's folder.
    Raises:
        StudioError: the file of feedback is damaged.
    """
    path = root / FILE_NAME
    if not path.is_file():
        return []
    rows = FeedbackStore.existing(path).current_annotations(f"{folder.parent.name}/{folder.name}")
    found = []
    for row in rows:
        at = datetime.fromtimestamp(row["created"], UTC).isoformat(timespec="seconds")
        said = Annotation(row["row"], row["user"], row["label"], row["correction"], at=at)
        found.append(said.judged(Suggestion(**row["suggestion"]) if row["suggestion"] else None))
    return found


def known_annotations(root: Path, folder: Path) -> list[Annotation]:
    """All that was said of a Dataset: what it was made with, then what was said in the annotate app.

    Raises:
        StudioError: a file is damaged.
    """
    return [*read_annotations(folder), *app_annotations(root, folder)]
