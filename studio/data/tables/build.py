"""The build of a Dataset of a table: what :mod:`studio.data.build` needs to know of this kind.

A row on its way is its place in the table at hand, so that whole columns are read, judged and written at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from studio.core.files import sha256_json
from studio.core.records import DatasetRecord
from studio.data.build import Builder
from studio.data.cache import Codec, code_files, code_version, library_versions
from studio.data.memo import HashMemo
from studio.data.sources import READ_STEP, ResolvedSource
from studio.data.split import SPLITS, Division
from studio.data.stages import Stages, StepResult, judged
from studio.data.tables.reading import read_columns
from studio.data.tables.rows import RemovedTableRow, removed_to_table, table_to_removed
from studio.data.tables.sources import read_table, resolve_table
from studio.data.tables.split import Assignment, assign
from studio.data.tables.steps import TABLE_STEPS
from studio.data.tables.steps.base import TableStep as StepOfTable
from studio.data.tables.table import DataTable, from_arrow, to_arrow
from studio.data.tables.writing import write_table_dataset
from studio.schema.table_recipe import TableRecipe
from studio.schema.table_steps import TableStep

LIBRARIES = ("pandas", "numpy", "pyarrow", "scikit-learn")
DIVIDE = "divide"
"""The stage that gives each row its split; it comes before the first step that learns from training rows."""


class TableBuilder(Builder[TableRecipe, int, RemovedTableRow]):
    """Rows of a table by their place in it."""

    kind = "table"
    libraries = LIBRARIES

    _table: DataTable

    @property
    def table(self) -> DataTable:
        """The table at hand, once it was read."""
        return self._table

    @cached_property
    def _plan(self) -> list[TableStep | None]:
        """The steps in order; None is where rows are divided."""
        steps = list(self.recipe.steps)
        learning = [number for number, step in enumerate(steps) if make_table_step(step).learns]
        at = learning[0] if learning else len(steps)
        return [*steps[:at], None, *steps[at:]]

    @cached_property
    def codec(self) -> Codec[int, RemovedTableRow]:
        """Rows are kept as the table that they are places of."""
        return Codec(lambda _: to_arrow(self._table), self._restore, removed_to_table, table_to_removed)

    def _restore(self, table: pa.Table) -> list[int]:
        """Take up a table that was kept."""
        self._table = from_arrow(table)
        return list(range(len(self._table)))

    def resolve(self, memo: HashMemo) -> list[ResolvedSource]:
        """See :meth:`studio.data.build.Builder.resolve`."""
        return [resolve_table(source, index, self.beside, memo) for index, source in enumerate(self.recipe.sources)]

    def keys(self, sources: Sequence[ResolvedSource], memo: HashMemo) -> list[str]:  # noqa: ARG002 - no other files are read
        """One key per stage: a hash of all that its result depends on."""
        recipe = self.recipe
        said = recipe.model_dump(
            include={"target", "columns", "features", "id", "group", "time", "protected", "ignore", "values"}
        )
        settings = [source.model_dump(exclude={"path", "attribution", "licence"}) for source in recipe.sources]
        bytes_of = [(source.name, source.identity) for source in sources]
        code = code_version(*code_files("frames", "tables", "readers"), "similarity.py", "sketch.py", "bands.py", "split.py")
        keys = [sha256_json([settings, said, bytes_of, code, library_versions(LIBRARIES)])[:32]]
        for step in self._plan:
            keys.append(sha256_json([keys[-1], recipe.split.model_dump() if step is None else step.model_dump()])[:32])
        return keys

    def identity(self, sources: Sequence[ResolvedSource], keys: Sequence[str]) -> list[object]:  # noqa: ARG002 - keys know them
        """A Dataset depends on its last stage."""
        return [keys[-1]]

    @contextmanager
    def staffed(self) -> Iterator[None]:
        """Whole columns need no helpers."""
        yield

    def read(self, sources: Sequence[ResolvedSource]) -> StepResult[int, RemovedTableRow]:
        """Read every source, and find the type of every column."""
        started = time.perf_counter()
        tables = [read_table(settings, source) for settings, source in zip(self.recipe.sources, sources, strict=True)]
        counts = {source.name: table.rows for source, table in zip(sources, tables, strict=True)}
        found = read_columns(tables, [source.name for source in sources], self.recipe)
        self._table = found.table
        return judged(
            READ_STEP,
            self.recipe.values.model_dump(),
            sum(counts.values()),
            list(range(len(found.table))),
            found.removed,
            started=started,
            notes=found.notes,
            figures={"read": counts},
        )

    def judge(self, number: int, rows: Sequence[int]) -> StepResult[int, RemovedTableRow]:
        """Run one step, or divide the rows."""
        started = time.perf_counter()
        settings = self._plan[number]
        if settings is None:
            return self._assign(started)
        outcome = make_table_step(settings).run(self._table)
        removed = self._remove(settings.step, outcome.table, outcome.drops)
        if outcome.facts is not None:
            earlier = self._table.facts.get(settings.step, [])
            self._table.facts = {**self._table.facts, settings.step: [*earlier, outcome.facts]}
        kept = list(range(len(self._table)))
        told = settings.model_dump(exclude={"step"})
        return judged(
            settings.step, told, len(rows), kept, removed, changed=outcome.changed, started=started, notes=outcome.notes
        )

    def _assign(self, started: float) -> StepResult[int, RemovedTableRow]:
        """Give each row its split; rows between splits go."""
        found: Assignment = assign(self._table, self.recipe.split)
        divided = replace(self._table, split=found.split)
        before = len(divided)
        removed = self._remove(DIVIDE, divided, found.drops)
        self._table.facts = {**self._table.facts, DIVIDE: [found.clusters, found.tied, found.largest]}
        kept, told = list(range(len(self._table))), self.recipe.split.model_dump()
        return judged(DIVIDE, told, before, kept, removed, started=started, notes=found.notes)

    def _remove(self, step: str, table: DataTable, drops: dict[int, Any]) -> list[RemovedTableRow]:
        """Go on with the rows that stay; gives back those that go."""
        places = sorted(drops)
        removed = table.gone(places, step, [drops[place] for place in places])
        self._table = table.part(np.setdiff1d(np.arange(len(table)), places)) if places else table
        return removed

    def divide(self, rows: Sequence[int]) -> Division[int]:  # noqa: ARG002 - all rows of the table at hand
        """The division that was made before; later steps may have removed rows from it."""
        split = self._table.split
        assert split is not None
        parts = {name: np.flatnonzero(split == name).tolist() for name in SPLITS}
        clusters, tied, largest = self._table.facts[DIVIDE]
        return Division({name: part for name, part in parts.items() if part}, clusters, tied, largest)

    def write(
        self, place: Path, record: DatasetRecord, work: Stages[int, RemovedTableRow], division: Division[int]
    ) -> DatasetRecord:
        """See :func:`studio.data.tables.writing.write_table_dataset`."""
        return write_table_dataset(place, record, self.recipe, self._table, work.removed, division)


build_table_dataset = TableBuilder.build


def make_table_step(settings: TableStep) -> StepOfTable:
    """The step a recipe asks for."""
    step: StepOfTable = TABLE_STEPS.get(settings.step)(**settings.model_dump(exclude={"step"}))
    return step
