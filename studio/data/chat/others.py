"""What a corpus is compared with: another Dataset, files of conversations or of a benchmark, the prompts of a suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import DataError, UserError, nearest
from studio.core.files import sha256_json
from studio.core.workspace import Workspace, read_dataset
from studio.data.chat.reading import CHAT_READERS, ChatReadOptions, ShapeOptions, read_source
from studio.data.chat.rows import ChatRow, read_split
from studio.data.chat.turns import turn_text
from studio.data.memo import HashMemo
from studio.data.readers import Damage, read_file
from studio.data.sources import DataFile, ResolvedSource, resolve_local


@dataclass(frozen=True)
class Other:
    """Something to compare with; its bytes are known and not yet read.

    name: as people see it. identity: hash of all that its texts depend on. dataset: folder of a Dataset. splits: those of it that
    count, empty for all. files: with rows of any shape. lines: texts that stand in a suite, each with its place there.
    """

    name: str
    identity: str
    dataset: Path | None = None
    splits: tuple[str, ...] = ()
    files: tuple[DataFile, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Compared:
    """All that one step compares with. missing: a line for each thing that is not here."""

    others: tuple[Other, ...]
    missing: tuple[str, ...] = ()

    def identity(self) -> list[object]:
        """All that the step's result depends on, as plain JSON values."""
        return [*([one.name, one.identity, list(one.splits)] for one in self.others), list(self.missing)]


def find_other(reference: str, step: str, workspace: Workspace, beside: Path, memo: HashMemo) -> Other:
    """A file or folder, or a Dataset of the workspace.

    Args:
        reference: as in the recipe; a relative path is looked for in the current folder, then in ``beside``.
        step: the step that asks, for messages.
    Raises:
        UserError: there is neither, or a Dataset of another kind. DataError: the folder holds nothing that can be read.
    """
    given = Path(reference).expanduser()
    place = next((path for path in (given, beside / given) if path.exists()), None)
    if place is not None and not (place / "dataset.json").is_file():
        _, identity, files = resolve_local(str(place.resolve()), "**/*", beside, memo, CHAT_READERS)
        return Other(reference, identity, files=files)
    if place is None and not _is_dataset(reference, workspace):
        names = sorted({folder.parent.name for folder in workspace.list_datasets()})
        raise UserError(
            f"the step {step} compares with {reference!r}, which is neither a file or folder here nor a dataset in "
            f"{workspace.datasets}.{nearest(reference, names)} Give a path or the name of a dataset."
        )
    folder = place.resolve() if place is not None else workspace.find_dataset(reference)
    record = read_dataset(folder)
    if record.kind != "chat":
        raise UserError(
            f"the step {step} compares with the dataset {reference}, which holds no conversations (its kind is {record.kind}). "
            "Name a dataset of conversations, or a file or folder."
        )
    return Other(reference, sha256_json(record.files), dataset=folder)


def _is_dataset(reference: str, workspace: Workspace) -> bool:
    """True when the workspace has a Dataset of that name."""
    try:
        workspace.find_dataset(reference)
    except UserError:
        return False
    return True


def conversations_of(other: Other) -> list[ChatRow]:
    """All rows of a Dataset or of files, as conversations.

    Raises:
        DataError: a row of a file is damaged or has no known shape. StudioError: a Dataset is not whole.
    """
    if other.dataset is not None:
        splits = other.splits or tuple(read_dataset(other.dataset).splits)
        return [row for split in splits for row in read_split(other.dataset, split)]
    source = ResolvedSource(other.name, "local", other.name, None, "", None, other.identity, other.files)
    found = read_source(source, ChatReadOptions(), ShapeOptions())
    return [row for row in found if isinstance(row, ChatRow)]


def texts_of(other: Other) -> Iterator[tuple[str, str]]:
    """Every text, with its place, whatever the shape of the rows: of a row of a file each value that is text.

    Raises:
        DataError: a file is damaged.
    """
    yield from other.lines
    if other.dataset is not None:
        for row in conversations_of(other):
            yield from ((row.id, turn_text(turn)) for turn in row.turns)
    for file in other.files:
        for found in read_file(file.path, ChatReadOptions(), CHAT_READERS):
            if isinstance(found, Damage):
                raise DataError(
                    f"{file.path}: {found.place} {found.reason}. Mend or remove it, so that nothing is left uncompared."
                )
            yield from ((f"{file.label} {found.place}", text) for text in _strings(found.value))


def _strings(value: Any) -> Iterator[str]:
    """Every text inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _strings(inner)
