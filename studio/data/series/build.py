"""The build of a Dataset of time series: what :mod:`studio.data.build` needs to know of this kind.

Read, one value per stamp, onto the grid, divided in time; then gaps are filled as the recipe says and the report is drawn.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.core.errors import DataError
from studio.core.files import sha256_json
from studio.core.records import DatasetRecord
from studio.data.build import Builder
from studio.data.cache import Codec, code_files, code_version, library_versions
from studio.data.frames import FrameOptions
from studio.data.memo import HashMemo
from studio.data.series.columns import Found
from studio.data.series.grid import Held, calendar_of, held_out, long_enough, one_per_stamp, put_on_grid
from studio.data.series.reading import Read, read_file_points
from studio.data.series.rows import CODEC, KIND, Point, RemovedPoint
from studio.data.series.sources import resolve_source
from studio.data.series.split import Ends, divide_in_time
from studio.data.series.writing import write_series
from studio.data.sources import READ_STEP, ResolvedSource
from studio.data.split import Division
from studio.data.stages import Stages, StepResult, judged
from studio.models.forecast.calendar import Calendar
from studio.schema.series_recipe import SeriesRecipe, SeriesSource

LIBRARIES = ("pandas", "numpy", "pyarrow", "openpyxl", "statsmodels")
_STAGES = ("doubled", "grid")
# The grid decides which series stay, and those that stay decide the grid; it is at rest after a round or two.
_ROUNDS = 10


class SeriesBuilder(Builder[SeriesRecipe, Point, RemovedPoint]):
    """Time series on one regular grid."""

    kind = KIND
    libraries = LIBRARIES
    adds_rows = True

    _calendar: Calendar
    _held: Held
    _ends: Ends

    @property
    def codec(self) -> Codec[Point, RemovedPoint]:
        """See :data:`studio.data.series.rows.CODEC`."""
        return CODEC

    def resolve(self, memo: HashMemo) -> list[ResolvedSource]:
        """See :meth:`studio.data.build.Builder.resolve`."""
        return [resolve_source(source, index, self.beside, memo) for index, source in enumerate(self.recipe.sources)]

    def keys(self, sources: Sequence[ResolvedSource], memo: HashMemo) -> list[str]:  # noqa: ARG002 - no other files are read
        """One for reading, one for each of the stages after it."""
        recipe, code = self.recipe, code_version(*code_files("series", "frames", "readers"))
        settings = [source.model_dump(exclude={"path", "attribution", "licence"}) for source in recipe.sources]
        said = [recipe.columns.model_dump(), recipe.form, recipe.time_format]
        bytes_of = [(source.name, source.identity) for source in sources]
        keys = [sha256_json([KIND, settings, said, bytes_of, code, library_versions(LIBRARIES)])[:32]]
        keys.append(sha256_json([keys[-1], recipe.doubled])[:32])
        grid = [recipe.frequency, recipe.season_length, recipe.least, recipe.split.model_dump()]
        return [*keys, sha256_json([keys[-1], grid])[:32]]

    def identity(self, sources: Sequence[ResolvedSource], keys: Sequence[str]) -> list[object]:  # noqa: ARG002 - keys know them
        """All that a Dataset depends on."""
        return [keys[-1], self.recipe.fill, self.recipe.unit]

    @contextmanager
    def staffed(self) -> Iterator[None]:
        """Nobody helps."""
        yield

    def read(self, sources: Sequence[ResolvedSource]) -> StepResult[Point, RemovedPoint]:
        """Read every file of every source.

        Raises:
            DataError: two files hold their series in different columns.
        """
        started = time.perf_counter()
        points: list[Point] = []
        removed: list[RemovedPoint] = []
        notes: list[str] = []
        counts: Counter[str] = Counter()
        found: dict[str, Found] = {}
        for settings, source in zip(self.recipe.sources, sources, strict=True):
            for file in source.files:
                one = len(source.files) == 1
                alone = source.name if one else Path(file.label).stem
                prefix = source.name if one else f"{source.name}/{file.label}"
                read = self._read_file(settings, file.path, file.label, source.name, alone, prefix)
                points += read.points
                removed += read.removed
                notes += read.notes
                counts[source.name] += len(read.points) + len(read.removed)
                assert read.columns is not None
                found[file.label] = read.columns
        _refuse_unlike(found)
        figures = {"read": dict(counts), "columns": next(iter(found.values())).as_json()}
        return judged(READ_STEP, self._said(), counts.total(), points, removed, started=started, notes=notes, figures=figures)

    def _read_file(self, source: SeriesSource, path: Path, label: str, name: str, alone: str, prefix: str) -> Read:
        """One file, as the recipe says."""
        options = FrameOptions(encoding=source.encoding, sheet=source.sheet, format=source.format, year=source.year)
        return read_file_points(
            path,
            name,
            label,
            self.recipe.columns,
            form=self.recipe.form,
            time_format=self.recipe.time_format,
            options=options,
            alone=alone,
            prefix=prefix,
        )

    def _said(self) -> dict[str, Any]:
        """What the recipe says of reading, for the record."""
        return {"form": self.recipe.form, "time_format": self.recipe.time_format}

    def judge(self, number: int, rows: Sequence[Point]) -> StepResult[Point, RemovedPoint]:
        """One value per stamp, then the grid."""
        started = time.perf_counter()
        name = _STAGES[number]
        kept: Sequence[Point]
        if name == "doubled":
            kept, removed, notes = one_per_stamp(rows, self.recipe.doubled)
            return judged(name, {"doubled": self.recipe.doubled}, len(rows), kept, removed, started=started, notes=notes)
        kept, removed, calendar, told = _onto_grid(rows, self.recipe)
        settings = {"frequency": calendar.frequency, "season_length": calendar.season_length}
        season = f"a season of {calendar.season_length} stamps" if calendar.season_length > 1 else "no season"
        self.tell(f"frequency {calendar.frequency} ({told}), {season}")
        return judged(name, settings, len(rows), kept, removed, started=started)

    def divide(self, rows: Sequence[Point]) -> Division[Point]:
        """See :func:`studio.data.series.split.divide_in_time`."""
        self._calendar, _ = calendar_of(rows, self.recipe)
        self._held = held_out(self.recipe, self._calendar)
        division, self._ends = divide_in_time(rows, self._calendar, self._held)
        return division

    def write(
        self, place: Path, record: DatasetRecord, work: Stages[Point, RemovedPoint], division: Division[Point]
    ) -> DatasetRecord:
        """See :func:`studio.data.series.writing.write_series`."""
        columns = work.figures["columns"]
        return write_series(place, record, self.recipe, columns, work.removed, division, self._calendar, self._held, self._ends)


build_series_dataset = SeriesBuilder.build


def _onto_grid(rows: Sequence[Point], recipe: SeriesRecipe) -> tuple[Sequence[Point], list[RemovedPoint], Calendar, str]:
    """What lies on the grid of a calendar and is long enough; the calendar is that of what stays."""
    kept, removed = rows, list[RemovedPoint]()
    calendar, told = calendar_of(kept, recipe)
    for _ in range(_ROUNDS):
        kept, beside = put_on_grid(kept, calendar)
        kept, short = long_enough(kept, calendar, held_out(recipe, calendar))
        removed += [*beside, *short]
        if not kept or not (beside or short):
            break
        calendar, told = calendar_of(kept, recipe)
    return kept, removed, calendar, told


def _refuse_unlike(found: dict[str, Found]) -> None:
    """Files of one Dataset have their time and series in columns of one name.

    Raises:
        DataError: names two that differ.
    """
    (first, columns), *others = found.items()
    for label, other in others:
        if (other.time, other.series) != (columns.time, columns.series):
            raise DataError(
                f"{first} has its stamps in {columns.time!r} and its series in {columns.series!r}, {label} in {other.time!r} and "
                f"{other.series!r}. Name the columns alike in all files."
            )
