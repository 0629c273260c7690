"""The build of a Dataset of any kind, top to bottom: resolve sources, find it again, run the stages, divide, write.

What differs between kinds stands in a :class:`Builder` in the kind's room.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import studio
from studio.core.errors import DataError, StudioError, UserError
from studio.core.files import new_folder, sha256_file, sha256_json, write_json, write_text
from studio.core.records import DatasetRecord, SourceRecord
from studio.core.telling import size_text
from studio.core.workspace import Workspace, read_dataset
from studio.data.cache import Codec, Gone, Row, StepCache, library_versions
from studio.data.card import CARD_FILE, card_text
from studio.data.memo import HashMemo
from studio.data.shelf import Shelves
from studio.data.sources import ResolvedSource
from studio.data.split import Division
from studio.data.stages import Stages, StepResult, Tell
from studio.data.workers import Hire, hire_here
from studio.schema.loading import Settings

Recipe = TypeVar("Recipe", bound=Settings)


@dataclass(frozen=True)
class BuildOutcome:
    """A finished Dataset. cached: it was there already; reused: how many steps (reading included) were."""

    folder: Path
    record: DatasetRecord
    cached: bool
    reused: int = 0
    notes: list[str] = field(default_factory=list)


class Builder(ABC, Generic[Recipe, Row, Gone]):
    """What building a Dataset of one kind is: how its sources are resolved and read, its steps, its split, its files."""

    kind: ClassVar[str]
    """What stands under ``kind`` in recipes and in ``dataset.json``."""
    adds_rows: ClassVar[bool] = False
    """Whether writing may add rows (altered copies) to those that were read."""
    libraries: ClassVar[tuple[str, ...]]
    """The libraries that decide what ends up in the Dataset; their versions are written down."""

    def __init__(self, recipe: Recipe, workspace: Workspace, beside: Path, tell: Tell, hire: Hire = hire_here) -> None:
        """``beside``: folder of the recipe, for relative paths in it; ``tell``: gets one line per stage; ``hire``: who helps."""
        self.recipe, self.workspace, self.beside, self.tell, self.hire = recipe, workspace, beside, tell, hire
        # Where rows lie that are not held in memory; taken away after the build.
        self.shelves = Shelves(workspace.datasets / ".steps")

    @classmethod
    def build(
        cls,
        recipe: Recipe,
        workspace: Workspace,
        *,
        name: str,
        beside: Path | None = None,
        tell: Tell = lambda _: None,
        hire: Hire = hire_here,
    ) -> BuildOutcome:
        """See :func:`build_dataset`; ``beside`` is the current folder when it is not given."""
        return build_dataset(cls(recipe, workspace, beside or Path.cwd(), tell, hire), name=name)

    @abstractmethod
    def resolve(self, memo: HashMemo) -> list[ResolvedSource]:
        """Know the bytes of every source.

        Raises:
            UserError, DataError, StudioError: a source is not there or cannot be reached.
        """

    @abstractmethod
    def keys(self, sources: Sequence[ResolvedSource], memo: HashMemo) -> list[str]:
        """One key per stage (reading, then each step): a hash of all that its result depends on."""

    @abstractmethod
    def identity(self, sources: Sequence[ResolvedSource], keys: Sequence[str]) -> list[object]:
        """All that a Dataset depends on, as plain JSON values; its fingerprint is their hash."""

    @property
    @abstractmethod
    def codec(self) -> Codec[Row, Gone]:
        """How rows lie in the cache between builds."""

    @abstractmethod
    def staffed(self) -> AbstractContextManager[None]:
        """Helpers (processes) that are there inside the block."""

    @abstractmethod
    def read(self, sources: Sequence[ResolvedSource]) -> StepResult[Row, Gone]:
        """Read every source; ``figures["read"]`` holds the rows of each by name."""

    @abstractmethod
    def judge(self, number: int, rows: Sequence[Row]) -> StepResult[Row, Gone]:
        """Run the step with that number, counted from 0."""

    @abstractmethod
    def divide(self, rows: Sequence[Row]) -> Division[Row]:
        """Divide the rows as the recipe says."""

    def more_facts(self, division: Division[Row]) -> dict[str, Any]:  # noqa: ARG002 - for kinds that have some
        """What this kind's ``dataset.json`` says beyond what all have."""
        return {}

    @abstractmethod
    def write(self, place: Path, record: DatasetRecord, work: Stages[Row, Gone], division: Division[Row]) -> DatasetRecord:
        """Write tables, files and the report into a folder; gives back the record, with what only came to light here."""

    def tidy(self) -> None:
        """What is kept between builds and may be thrown away, once one has succeeded."""


def build_dataset(builder: Builder[Any, Row, Gone], *, name: str) -> BuildOutcome:
    """Build a Dataset, or find the one that was built from the same recipe, bytes and code.

    Args:
        name: name of the Dataset in the workspace.
    Raises:
        UserError: the recipe asks for what cannot be.
        DataError: a source or row cannot be used, or no row is left.
        StudioError: no network, no space, no permission.
    """
    check_name(name)
    workspace = builder.workspace
    memo = HashMemo(workspace.datasets / ".sources.json")
    sources = builder.resolve(memo)
    check_source_names(sources)
    keys = builder.keys(sources, memo)
    fingerprint = sha256_json([*builder.identity(sources, keys), studio.__version__])[:16]
    folder = workspace.datasets / name / fingerprint
    if (folder / "dataset.json").is_file():
        mark_newest(folder)
        return BuildOutcome(folder, read_dataset(folder), cached=True, reused=len(keys))
    workspace.check_writable()
    memo.save()
    cache = StepCache(workspace.datasets / ".steps", builder.codec, builder.shelves)
    work: Stages[Row, Gone] = Stages(keys, cache, builder.tell)
    with builder.shelves, builder.staffed(), _room_to_make(cache):
        reused = work.run(lambda: builder.read(sources), builder.judge)
        division = _divide(builder, work)
        record = _draft(builder, name, fingerprint, sources, work, division)
        made = _write(builder, folder, record, work, division)
    mark_newest(folder)
    if not made:
        builder.tell(f"found {name}/{fingerprint}: another build of the same was faster")
        return BuildOutcome(folder, read_dataset(folder), cached=True, reused=reused)
    cache.prune(keys)
    builder.tidy()
    record = read_dataset(folder)
    return BuildOutcome(folder, record, cached=False, reused=reused, notes=(record.model_extra or {})["notes"])


def check_name(name: str) -> None:
    """Refuse a name that could not be a folder everywhere."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UserError(
            f"{name!r} cannot be the name of a dataset: use letters, digits, '-', '_' and '.'. Give another with --name."
        )


def check_source_names(sources: Sequence[ResolvedSource]) -> None:
    """Refuse two sources of one name."""
    names = [source.name for source in sources]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled:
        raise UserError(f"two sources are called {doubled!r}. Give each a 'name' of its own.")


def mark_newest(folder: Path) -> None:
    """A name stands for the build that was asked for last; the clock of file systems is too coarse to tell two of them apart."""
    now = time.time_ns()
    with contextlib.suppress(OSError):
        os.utime(folder / "dataset.json", ns=(now, now))


def _divide(builder: Builder[Any, Row, Gone], work: Stages[Row, Gone]) -> Division[Row]:
    """Divide the rows, and say how; where too few are left, which step took most."""
    started = time.perf_counter()
    try:
        division = builder.divide(work.rows)
    except DataError as error:
        raise DataError(f"{error}{work.blame()}") from None
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in division.splits.items())
    builder.tell(f"split: {sizes} ({time.perf_counter() - started:.1f} s)")
    return division


def _draft(
    builder: Builder[Any, Row, Gone],
    name: str,
    fingerprint: str,
    sources: Sequence[ResolvedSource],
    work: Stages[Row, Gone],
    division: Division[Row],
) -> DatasetRecord:
    """``dataset.json`` before anything is written; counts that do not add up are a defect and stop the build."""
    counts: Mapping[str, int] = work.figures["read"]
    read, kept = sum(counts.values()), sum(map(len, division.splits.values()))
    if read != kept + len(work.removed) or any(one.rows_out != two.rows_in for one, two in pairwise(work.steps)):
        raise AssertionError(f"{read} rows were read, but {kept} kept and {len(work.removed)} removed")
    return DatasetRecord.model_validate(
        {
            "kind": builder.kind,
            "name": name,
            "fingerprint": fingerprint,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipe": builder.recipe.model_dump(mode="json"),
            "sources": [_source_record(source, counts[source.name]) for source in sources],
            "steps": work.steps,
            "splits": {split: len(part) for split, part in division.splits.items()},
            "rows_read": read,
            "rows_removed": len(work.removed),
            **({"rows_added": 0} if builder.adds_rows else {}),
            "studio_version": studio.__version__,
            "notes": [*work.notes, *(f"split: {note}" for note in division.notes)],
            "clusters": {"count": division.clusters, "tied_rows": division.tied, "largest": division.largest},
            **builder.more_facts(division),
            "libraries": library_versions(builder.libraries),
        }
    )


def _source_record(source: ResolvedSource, rows: int) -> SourceRecord:
    """One source as it was read."""
    return SourceRecord.model_validate(
        {
            "name": source.name,
            "kind": source.kind,
            "location": source.location,
            "revision": source.revision,
            "licence": source.licence,
            "attribution": source.attribution,
            "sha256": None if source.table is not None else source.identity,
            "rows": rows,
        }
    )


def _write(
    builder: Builder[Any, Row, Gone], folder: Path, record: DatasetRecord, work: Stages[Row, Gone], division: Division[Row]
) -> bool:
    """Write the folder in one step; ``dataset.json`` goes last. False when another build had put the same there meanwhile."""
    try:
        with new_folder(folder) as place:
            record = builder.write(place, record, work, division)
            write_text(place / CARD_FILE, card_text(record))
            files = {file.name: sha256_file(file) for file in sorted(place.iterdir()) if file.is_file() and file.name[0] != "."}
            write_json(place / "dataset.json", record.model_copy(update={"files": files}).model_dump(mode="json"))
    except StudioError:
        if not (folder / "dataset.json").is_file():
            raise
        return False
    return True


@contextlib.contextmanager
def _room_to_make(cache: StepCache[Row, Gone]) -> Iterator[None]:
    """Say of a full disk how much room the results of earlier steps take, which are there to save time only."""
    try:
        yield
    except StudioError as error:
        full = isinstance(error.__cause__, OSError) and error.__cause__.errno in {errno.ENOSPC, errno.EDQUOT}
        size = cache.size() if full else 0
        if not size:
            raise
        raise StudioError(
            f"{error} {size_text(size)} are results of steps in {cache.folder}, which only save time and may be deleted."
        ) from error.__cause__


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(own) * unit
