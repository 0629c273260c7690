"""Rows that need not all be in memory: held as they are while they are few, laid down on disk in parts beyond that.

A part is a parquet file in the form in which rows lie on disk anyway, so that nothing is known here of what a row is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
import weakref
from abc import abstractmethod
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from studio.core.files import disk_errors
from studio.data.parquet import write_table

T = TypeVar("T")
U = TypeVar("U")

WHOLE_BYTES = 256 << 20
"""Rows are held up to about this much memory; the studio with its libraries takes as much again, and a step twice that."""
PART_BYTES = 8 << 20
"""Memory of a part. A part is read whole and a few are kept, so it bounds what a shelf takes."""
_KEPT = 3
"""Parts in memory: steps walk on, and look back at a row now and then."""
BATCH = 8192
"""Rows that are written at a time."""
_PREFIX = ".shelf-"


@dataclass(frozen=True)
class Form(Generic[T]):
    """How rows lie in a table and come out of it, and about how many bytes of memory one takes."""

    to_table: Callable[[Sequence[T]], pa.Table]
    from_table: Callable[[pa.Table], list[T]]
    size: Callable[[T], int]


class Shelves:
    """The place on disk of one build's shelves; it goes with the build, and after one that was killed with the next."""

    def __init__(self, folder: Path, *, whole_bytes: int | None = None, part_bytes: int | None = None) -> None:
        """``folder`` is made when something is laid down; sizes as :data:`WHOLE_BYTES` and :data:`PART_BYTES`."""
        self.whole = WHOLE_BYTES if whole_bytes is None else whole_bytes
        self.part = PART_BYTES if part_bytes is None else part_bytes
        self._folder = folder / f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def __enter__(self) -> Shelves:
        """Take away what killed builds left."""
        for left in self._folder.parent.glob(f"{_PREFIX}*"):
            owner = left.name.removeprefix(_PREFIX).partition("-")[0]
            if not (owner.isdigit() and psutil.pid_exists(int(owner))):
                shutil.rmtree(left, ignore_errors=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Take everything away."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def new(self, form: Form[T], rows: Iterable[T] = ()) -> Shelf[T]:
        """A shelf with some rows."""
        shelf = Shelf(form, self)
        shelf.extend(rows)
        return shelf

    def opened(self, form: Form[T], files: Sequence[Path]) -> Shelf[T]:
        """A shelf of parts that lie elsewhere; it links them, so that they may be removed there."""
        shelf = Shelf(form, self)
        for file in files:
            shelf.link(file)
        return shelf

    def place(self) -> Path:
        """A new folder for the parts of one shelf."""
        place = self._folder / uuid.uuid4().hex[:12]
        with disk_errors("a part of the rows", self._folder.parent):
            place.mkdir(parents=True)
        return place


class Rows(Sequence[T]):
    """Rows that are fetched one by one; what is left to a kind of them is how."""

    @abstractmethod
    def at(self, place: int) -> T:
        """The row at a place from 0 on, which is there."""

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        """A row by its place, or several."""
        if isinstance(index, slice):
            return [self.at(place) for place in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(index)
        return self.at(place)


class Shelf(Rows[T]):
    """Rows in order; see the module. It may be added to at its end only."""

    def __init__(self, form: Form[T], shelves: Shelves) -> None:
        """An empty shelf; :meth:`Shelves.new` makes them."""
        self._form, self._shelves = form, shelves
        self._tail: list[T] = []
        self._tail_bytes = 0
        self._files: list[Path] = []
        self._starts: list[int] = [0]
        self._place: Path | None = None
        self._open: OrderedDict[int, list[T]] = OrderedDict()

    @property
    def files(self) -> list[Path]:
        """The parts on disk, all rows of them; empty while rows are held."""
        if self._files:
            self._lay_down()
        return list(self._files)

    def append(self, row: T) -> None:
        """Add a row at the end."""
        self._tail.append(row)
        self._tail_bytes += self._form.size(row)
        if self._tail_bytes > (self._shelves.part if self._files else self._shelves.whole):
            self._lay_down()

    def extend(self, rows: Iterable[T]) -> None:
        """Add rows at the end."""
        for row in rows:
            self.append(row)

    def held(self) -> list[T] | Shelf[T]:
        """The rows as a list where all are in memory, else the shelf itself."""
        return self if self._files else self._tail

    def parts(self) -> Iterator[list[T]]:
        """All rows, as many at a time as may be in memory."""
        return (part for part, _ in self.parts_with_files())

    def parts_with_files(self) -> Iterator[tuple[list[T], Path | None]]:
        """As :meth:`parts`, each with its file; None where it lies on none."""
        for number, file in enumerate(self._files):
            yield self._part(number), file
        if self._tail:
            yield self._tail, None

    def link(self, file: Path) -> None:
        """Add the rows of a part that was laid down by another shelf."""
        if self._tail:
            self._lay_down()
        self._add_file(lambda target: link_or_copy(file, target), pq.read_metadata(file).num_rows)

    def __len__(self) -> int:
        """Rows."""
        return self._starts[-1] + len(self._tail)

    def __iter__(self) -> Iterator[T]:
        """Rows in order."""
        for part in self.parts():
            yield from part

    def at(self, place: int) -> T:
        """See :meth:`Rows.at`."""
        if place >= self._starts[-1]:
            return self._tail[place - self._starts[-1]]
        number = bisect_right(self._starts, place) - 1
        return self._part(number)[place - self._starts[number]]

    def _part(self, number: int) -> list[T]:
        """The rows of a part."""
        found = self._open.get(number)
        if found is None:
            found = self._form.from_table(pq.read_table(self._files[number]))
            self._open[number] = found
            if len(self._open) > _KEPT:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(number)
        return found

    def _lay_down(self) -> None:
        """Write what is held, in parts."""
        rows, self._tail, self._tail_bytes = self._tail, [], 0
        start = size = 0
        for place, row in enumerate(rows, start=1):
            size += self._form.size(row)
            if size >= self._shelves.part or place == len(rows):
                table = self._form.to_table(rows[start:place])
                self._add_file(lambda target, table=table: write_table(table, target), place - start)  # type: ignore[misc]
                start, size = place, 0

    def _add_file(self, write: Callable[[Path], Any], rows: int) -> None:
        """Put a part behind the others."""
        if self._place is None:
            self._place = self._shelves.place()
            weakref.finalize(self, shutil.rmtree, self._place, ignore_errors=True)
        file = self._place / f"{len(self._files):06d}.parquet"
        with disk_errors("a part of the rows", self._place):
            write(file)
        self._files.append(file)
        self._starts.append(self._starts[-1] + rows)


class Picked(Rows[T]):
    """Some rows of a sequence by their places, fetched when they are asked for."""

    def __init__(self, rows: Sequence[T], places: Sequence[int]) -> None:
        """``places`` rise, so that walking along them walks along the rows."""
        self._rows, self._places = rows, places

    def __len__(self) -> int:
        """Rows."""
        return len(self._places)

    def at(self, place: int) -> T:
        """See :meth:`Rows.at`."""
        return self._rows[self._places[place]]


class Ahead(Rows[T]):
    """Rows that lie on disk, of which those that will be asked for next can be fetched in one walk."""

    def __init__(self, rows: Sequence[T]) -> None:
        """Nothing is fetched yet."""
        self._rows = rows
        self._near: dict[int, T] = {}

    def fetch(self, places: Sequence[int]) -> None:
        """Hold the rows at these places, which rise, instead of those held before."""
        self._near = {}
        self._near.update(zip(places, Picked(self._rows, places), strict=True))

    def __len__(self) -> int:
        """Rows."""
        return len(self._rows)

    def __iter__(self) -> Iterator[T]:
        """Rows in order."""
        return iter(self._rows)

    def at(self, place: int) -> T:
        """See :meth:`Rows.at`."""
        return self._near[place] if place in self._near else self._rows[place]


class Derived(Rows[U], Generic[T, U]):
    """What is made of each row, when it is asked for."""

    def __init__(self, rows: Sequence[T], make: Callable[[int, T], U]) -> None:
        """``make`` gets the place of a row and the row."""
        self._rows, self._make = rows, make

    def __len__(self) -> int:
        """Rows."""
        return len(self._rows)

    def __iter__(self) -> Iterator[U]:
        """One after the other."""
        return (self._make(place, row) for place, row in enumerate(self._rows))

    def at(self, place: int) -> U:
        """See :meth:`Rows.at`."""
        return self._make(place, self._rows[place])


class Joined(Rows[T]):
    """Several sequences one after the other."""

    def __init__(self, sequences: Sequence[Sequence[T]]) -> None:
        """Of the same kind of rows."""
        self._sequences = [sequence for sequence in sequences if len(sequence)]
        self._starts = [0]
        for sequence in self._sequences:
            self._starts.append(self._starts[-1] + len(sequence))

    def __len__(self) -> int:
        """Rows of all."""
        return self._starts[-1]

    def __iter__(self) -> Iterator[T]:
        """One sequence after the other."""
        for sequence in self._sequences:
            yield from sequence

    def at(self, place: int) -> T:
        """See :meth:`Rows.at`."""
        number = bisect_right(self._starts, place) - 1
        return self._sequences[number][place - self._starts[number]]


def parts_of(rows: Sequence[T]) -> Iterator[tuple[Sequence[T], Path | None]]:
    """Rows as many at a time as may be in memory, with the file in which they lie: all of a list, the parts of a shelf."""
    if isinstance(rows, Shelf):
        yield from rows.parts_with_files()
    else:
        yield rows, None


def batches(rows: Iterable[T], count: int = BATCH) -> Iterator[list[T]]:
    """Rows in order, so many at a time."""
    found = iter(rows)
    while batch := list(islice(found, count)):
        yield batch


def link_or_copy(file: Path, target: Path) -> None:
    """The same file under another name; a copy where the disk knows no links."""
    with contextlib.suppress(OSError):
        os.link(file, target)
        return
    shutil.copyfile(file, target)
