"""The shared form of an annotation, and what a kind of Dataset has to be able to do so that its rows can be annotated.

A kind whose rows can be annotated has a line in :data:`ANNOTATED`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from studio.core.errors import DataError, UserError
from studio.core.records import DatasetRecord
from studio.core.registry import Registry
from studio.core.workspace import read_dataset
from studio.data.boxes import Box
from studio.data.kinds import rows_of

ANNOTATED = Registry(
    "kind of Dataset",
    {
        "chat": "studio.data.chat.annotated:CONVERSATIONS",
        "image": "studio.data.images.annotated:PICTURES",
        "table": "studio.data.tables.annotated:TABLE_ROWS",
    },
)
"""Kind of Dataset to an :class:`AnnotatedRows`."""

Status = Literal["given", "suggested", "confirmed", "changed"]
"""``given``: without a suggestion; ``suggested``: a model's or a column's word alone; else what a person did with one."""
OWN_LABEL = "dataset"
"""Who suggests the label that a row has already."""


@dataclass(frozen=True)
class Suggestion:
    """A label that a person confirms or changes. by: a Run, a column or a model. score: its probability, None without one."""

    label: str
    by: str
    score: float | None = None


@dataclass(frozen=True)
class Annotation:
    """What one person (or model) says about one row.

    label, text, boxes: None where nothing is said of it. text: the answer or the caption as it should be. at: when, ISO 8601,
    empty where that is not known. suggestion: what was suggested before.
    """

    row: str
    by: str
    label: str | None = None
    text: str | None = None
    boxes: tuple[Box, ...] | None = None
    at: str = ""
    status: Status = "given"
    suggestion: Suggestion | None = None

    def judged(self, suggestion: Suggestion | None) -> Annotation:
        """The same with what became of a suggestion."""
        if suggestion is None or self.label is None:
            return self
        return replace(self, status="confirmed" if self.label == suggestion.label else "changed", suggestion=suggestion)

    @property
    def is_empty(self) -> bool:
        """True where nothing is said."""
        return self.label is None and self.text is None and self.boxes is None


@dataclass(frozen=True)
class Item:
    """A row of a Dataset that can be annotated.

    turns: role and content, of conversations. fields: columns and their values, of tables. text: the answer or caption that may
    be corrected, None without one. picture: path in the Dataset's folder; size: its width and height in pixels. names: file names
    under which others may know the picture.
    """

    id: str
    split: str
    label: str | None = None
    text: str | None = None
    turns: list[dict[str, str]] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    picture: str | None = None
    size: tuple[int, int] | None = None
    boxes: tuple[Box, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edit:
    """What becomes of one row: None leaves label, text or boxes as they are. by: who said so; at: the newest of them."""

    label: str | None = None
    text: str | None = None
    boxes: tuple[Box, ...] | None = None
    by: tuple[str, ...] = ()
    status: Status = "given"
    at: str = ""

    def marks(self) -> dict[str, Any]:
        """How the row is marked: who, what they did with a suggestion, when."""
        return {"annotated_by": list(self.by), "annotation_status": self.status, "annotated_at": self.at}


@dataclass
class Found:
    """Annotations of a file, and what of it could not be used: reason to number."""

    annotations: list[Annotation]
    left_out: Counter[str] = field(default_factory=Counter)


class AnnotatedRows(ABC):
    """How the rows of one kind of Dataset are annotated."""

    text_name: ClassVar[str | None] = None
    """What the text that may be corrected is called; None for kinds without one."""
    has_boxes: ClassVar[bool] = False
    """Whether there are boxes."""

    @abstractmethod
    def items(self, folder: Path, split: str) -> list[Item]:
        """Rows of one split, in order.

        Raises:
            StudioError: a file is missing or damaged.
        """

    @abstractmethod
    def write(self, folder: Path, place: Path, record: DatasetRecord, edits: Mapping[str, Edit]) -> DatasetRecord:
        """Write all files of an edited copy of a Dataset, ``dataset.json`` excepted.

        Args:
            folder: the Dataset as it is; it is only read. place: the new folder. record: of the new Dataset.
            edits: row to what becomes of it.
        Returns:
            the record with what only came to light here.
        Raises:
            DataError: a label or a name cannot be used in this Dataset.
        """


def annotated_rows(record: DatasetRecord) -> AnnotatedRows:
    """How the rows of a Dataset are annotated.

    Raises:
        UserError: its kind cannot be annotated.
    """
    if record.kind not in ANNOTATED:
        kinds = " and ".join([", ".join(ANNOTATED.in_order()[:-1]), ANNOTATED.in_order()[-1]])
        raise UserError(
            f"the dataset {record.name} holds {rows_of(record)}; rows of kind {kinds} are annotated here. Name another."
        )
    found: AnnotatedRows = ANNOTATED.get(record.kind)
    return found


def all_items(folder: Path) -> dict[str, Item]:
    """Every row of a Dataset by its id, in the order of its splits.

    Raises:
        UserError: its kind cannot be annotated. StudioError: a file is missing or damaged.
    """
    record = read_dataset(folder)
    rows = annotated_rows(record)
    return {item.id: item for split, count in record.splits.items() if count for item in rows.items(folder, split)}


def read_json(path: Path) -> Any:
    """A JSON file that another program wrote.

    Raises:
        DataError: there is no such file, or it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Give the file that was exported.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON that can be read ({error}). Export it again.") from error
