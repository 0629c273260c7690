"""The files that people's tools read, written whole; nothing is overwritten."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import UserError
from studio.core.files import write_text
from studio.core.workspace import read_dataset
from studio.data.annotations.base import Annotation, Item, Suggestion, annotated_rows
from studio.data.annotations.label_studio_tasks import as_tasks, interface
from studio.data.annotations.spreadsheet import as_csv

_MOST_CHOICES = 100


@dataclass(frozen=True)
class Choices:
    """The labels to choose from; empty takes those that are there."""

    labels: tuple[str, ...] = ()

    @staticmethod
    def read(text: str | None) -> Choices:
        """Labels with commas between them."""
        return Choices(tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip())))


def write_csv_file(
    path: Path, items: Sequence[Item], suggested: Mapping[str, Suggestion], given: Sequence[Annotation]
) -> list[Path]:
    """Write a csv to be filled in.

    Raises:
        UserError: the file exists, or its folder does not.
    """
    _check_free(path)
    write_text(path, as_csv(items, suggested, given))
    return [path]


def write_tasks(
    path: Path,
    folder: Path,
    items: Sequence[Item],
    suggested: Mapping[str, Suggestion],
    given: Sequence[Annotation],
    choices: Choices,
    pictures_at: str | None = None,
) -> list[Path]:
    """Write tasks for Label Studio, and beside them the labelling interface, ``NAME.xml``.

    Raises:
        UserError: a file exists, or its folder does not; there are no labels to choose from, or too many.
    """
    config = path.with_suffix(".xml")
    for file in (path, config):
        _check_free(file)
    labels = list(choices.labels) or sorted(
        {one.label for one in suggested.values()}
        | {one.label for one in given if one.label is not None}
        | {item.label for item in items if item.label is not None}
    )
    if not labels or len(labels) > _MOST_CHOICES:
        what = "no label is known" if not labels else f"there are {len(labels)} different labels"
        raise UserError(f"{what}, and Label Studio needs 1 to {_MOST_CHOICES} to choose from. Name them: --labels good,bad")
    boxed = sorted({box.label for item in items for box in item.boxes}) or labels
    text_name = annotated_rows(read_dataset(folder)).text_name
    dataset = f"{folder.parent.name}/{folder.name}"
    tasks = as_tasks(folder, items, suggested, given, dataset=dataset, pictures_at=pictures_at)
    write_text(path, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")
    write_text(config, interface(items, labels, boxed, text_name))
    return [path, config]


def _check_free(path: Path) -> None:
    """Refuse to write over something, or where there is no folder."""
    if path.exists():
        raise UserError(f"{path} exists, and nothing is written over. Give another name, or remove it.")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}. Make it first.")
