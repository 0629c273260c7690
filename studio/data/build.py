"""The build of a Dataset, top to bottom: resolve sources, read rows, run the steps, divide, write."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import studio
from studio.core.errors import DataError, UserError
from studio.core.files import new_folder, sha256_file, sha256_json, write_json, write_text
from studio.core.records import DatasetRecord, SourceRecord, StepRecord
from studio.core.workspace import Workspace, read_dataset
from studio.data.cache import Snapshot, StepCache, code_version, library_versions
from studio.data.formats import ColumnNames
from studio.data.hub import HubTable
from studio.data.memo import HashMemo
from studio.data.readers import ReadOptions
from studio.data.rows import REMOVED_FILE, ChatRow, RemovedRow, characters, removed_to_table, rows_to_table, write_table
from studio.data.runner import StepResult, Workers, run_step, workers
from studio.data.similarity import Shingling
from studio.data.sources import READ_STEP, ResolvedSource, ShapeOptions, read_source, resolve_hub, resolve_local, resolve_wheel
from studio.data.split import Division, SplitPlan, divide
from studio.data.steps import STEPS
from studio.schema.recipe import ChatRecipe, HubSource, LengthStep, LocalSource, Source, SplitSettings, Step, WheelSource

Tell = Callable[[str], None]

# Code that decides how rows are read; a change of it makes everything after new.
_READ_CODE = ("sources.py", "readers.py", "formats.py", "documents.py", "hub.py", "rows.py")
_STEP_CODE = ("steps/base.py", "similarity.py", "tokens.py", "rows.py")
# Edges of length histograms in characters: powers of the square root of two, so that before and after share them.
LENGTH_EDGES = [round(2 ** (power / 2)) for power in range(4, 45)]
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class BuildOutcome:
    """A finished Dataset. cached: it was there already; reused: how many steps (reading included) were."""

    folder: Path
    record: DatasetRecord
    cached: bool
    reused: int = 0
    notes: list[str] = field(default_factory=list)


def build_dataset(
    recipe: ChatRecipe,
    workspace: Workspace,
    *,
    name: str,
    beside: Path | None = None,
    tell: Tell = lambda _: None,
) -> BuildOutcome:
    """Build a Dataset, or find the one that was built from the same recipe, bytes and code.

    Args:
        name: name of the Dataset in the workspace.
        beside: folder of the recipe, for relative paths in it.
        tell: gets one line per stage.
    Raises:
        UserError: the recipe asks for what cannot be.
        DataError: a source or row cannot be used.
        StudioError: no network, no space, no permission.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UserError(
            f"{name!r} cannot be the name of a dataset: use letters, digits, '-', '_' and '.'. Give another with --name."
        )
    memo = HashMemo(workspace.datasets / ".sources.json")
    sources = [_resolve(source, index, beside or Path.cwd(), memo) for index, source in enumerate(recipe.sources)]
    keys = _keys(recipe, sources, memo)
    fingerprint = sha256_json([keys[-1], recipe.split.model_dump(), code_version(), studio.__version__])[:16]
    folder = workspace.datasets / name / fingerprint
    if (folder / "dataset.json").is_file():
        _mark_newest(folder)
        return BuildOutcome(folder, read_dataset(folder), cached=True, reused=len(keys))
    workspace.check_writable()
    memo.save()
    cache = StepCache(workspace.datasets / ".steps")
    work = _Work(recipe, sources, keys, cache, tell)
    with workers() as crew:
        reused = work.run(crew)
    division = _divide(work.rows, recipe, tell)
    record = _record(recipe, name, fingerprint, sources, work, division)
    _write(folder, record, work, division)
    _mark_newest(folder)
    cache.prune(keys)
    return BuildOutcome(folder, read_dataset(folder), cached=False, reused=reused, notes=record.model_extra["notes"])  # type: ignore[index]


def _mark_newest(folder: Path) -> None:
    """A name stands for the build that was asked for last; the clock of file systems is too coarse to tell two of them apart."""
    now = time.time_ns()
    with contextlib.suppress(OSError):
        os.utime(folder / "dataset.json", ns=(now, now))


def _resolve(source: Source, index: int, beside: Path, memo: HashMemo) -> ResolvedSource:
    """Know the bytes of one source."""
    revision: str | None = None
    files: tuple[Any, ...] = ()
    table: HubTable | None = None
    match source:
        case LocalSource():
            location, identity, files = resolve_local(source.path, source.pattern, beside, memo)
            name = Path(location).stem
        case WheelSource():
            location, identity, files = resolve_wheel(source.package, source.version, source.files, source.sha256, memo)
            name, revision = source.package, source.version
        case HubSource():
            asked = HubTable(source.id, source.revision, source.subset, source.split, source.streaming)
            table, location, identity = resolve_hub(asked, memo)
            name, revision = source.id.rstrip("/").rpartition("/")[2], table.revision
    return ResolvedSource(
        name=source.name or name or f"source-{index}",
        kind=source.type,
        location=location,
        revision=revision,
        licence=source.licence,
        attribution=source.attribution,
        identity=identity,
        files=files,
        table=table,
    )


def _keys(recipe: ChatRecipe, sources: Sequence[ResolvedSource], memo: HashMemo) -> list[str]:
    """One key per stage (reading, then each step): a hash of all that its result depends on."""
    names = [source.name for source in sources]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled:
        raise UserError(f"two sources are called {doubled!r}. Give each a 'name' of its own.")
    # Where a local file lies does not matter, what is in it does.
    settings = [source.model_dump(exclude={"path", "attribution", "licence"}) for source in recipe.sources]
    read = [settings, [(source.name, source.identity) for source in sources], code_version(*_READ_CODE), library_versions()]
    keys = [sha256_json(read)[:32]]
    for step in recipe.steps:
        module = _step_file(step.step)
        parts: list[object] = [keys[-1], step.model_dump(), code_version(module, *_STEP_CODE)]
        if isinstance(step, LengthStep) and step.unit == "tokens" and (step.min is not None or step.max is not None):
            from studio.data.tokens import tokenizer_identity

            parts.append(tokenizer_identity(step.model, memo))
        keys.append(sha256_json(parts)[:32])
    return keys


def _step_file(name: str) -> str:
    """Source file of a step, relative to this package."""
    return STEPS.target(name).partition(":")[0].removeprefix("studio.data.").replace(".", "/") + ".py"


def make_step(settings: Step) -> Any:
    """The step a recipe asks for."""
    arguments = settings.model_dump(exclude={"step"})
    if isinstance(settings, LengthStep):
        from studio.data.tokens import open_counter

        arguments["counter"] = partial(open_counter, settings.model)
    return STEPS.get(settings.step)(**arguments)


class _Work:
    """Rows on their way through the stages, with what was removed and recorded."""

    def __init__(
        self, recipe: ChatRecipe, sources: Sequence[ResolvedSource], keys: list[str], cache: StepCache, tell: Tell
    ) -> None:
        self._recipe, self._sources, self._keys, self._cache, self._tell = recipe, sources, keys, cache, tell
        self.rows: list[ChatRow] = []
        self.removed: list[RemovedRow] = []
        self.steps: list[StepRecord] = []
        self.notes: list[str] = []
        self.rows_read: dict[str, int] = {}
        self.lengths_read: list[int] = []

    def run(self, crew: Workers) -> int:
        """Run what is not known yet; returns how many stages were reused."""
        reused = self._restore(self._cache.latest(self._keys))
        if reused:
            self._tell(f"reused {reused} of {len(self._keys)} stages, {len(self.rows):,} rows")
        else:
            self._read()
        for position in range(max(reused, 1), len(self._keys)):
            settings = self._recipe.steps[position - 1]
            if not self.rows:
                raise DataError(self._nothing_left())
            result = run_step(settings.step, settings.model_dump(exclude={"step"}), make_step(settings), self.rows, crew)
            self._take(result)
            self._cache.put(
                self._keys[position],
                Snapshot(result.rows, result.removed, {"record": result.record.model_dump(), "notes": result.notes}),
            )
        if not self.rows:
            raise DataError(self._nothing_left())
        return reused

    def _restore(self, known: int) -> int:
        """Take over the results of the first stages; fewer when one of them turns out to be damaged."""
        while known:
            rows = self._cache.rows(self._keys[known - 1])
            if rows is None:
                known -= 1
                continue
            for position, key in enumerate(self._keys[:known]):
                found = self._cache.removed(key)
                if found is None:
                    self._forget()
                    known = position
                    break
                self._adopt(*found)
            else:
                self.rows = rows
                return known
        return 0

    def _forget(self) -> None:
        """Start over after a damaged result."""
        self.rows, self.removed, self.steps, self.notes, self.rows_read, self.lengths_read = [], [], [], [], {}, []

    def _adopt(self, removed: list[RemovedRow], figures: dict[str, Any]) -> None:
        """Take over what one stage removed and recorded."""
        self.removed += removed
        self.notes += figures.get("notes", [])
        if "read" in figures:
            self.rows_read, self.lengths_read = figures["read"], figures["lengths"]
        self.steps.append(StepRecord.model_validate(figures["record"]))

    def _read(self) -> None:
        """Read every source."""
        started = time.perf_counter()
        removed: list[RemovedRow] = []
        for settings, source in zip(self._recipe.sources, self._sources, strict=True):
            read = ReadOptions(settings.encoding, settings.records, settings.prompt)
            shape = ShapeOptions(
                settings.format,
                ColumnNames(**settings.columns.model_dump()),
                settings.group,
                settings.system,
                settings.damaged == "keep",
                settings.limit,
            )
            before = len(self.rows) + len(removed)
            for outcome in read_source(source, read, shape):
                if isinstance(outcome, ChatRow):
                    self.rows.append(outcome)
                else:
                    removed.append(outcome)
            self.rows_read[source.name] = len(self.rows) + len(removed) - before
        total = sum(self.rows_read.values())
        record = StepRecord(
            name=READ_STEP,
            rows_in=total,
            rows_out=len(self.rows),
            removed={"damaged": len(removed)} if removed else {},
            seconds=round(time.perf_counter() - started, 3),
        )
        self.lengths_read = histogram(characters(self.rows))
        self._take(StepResult(self.rows, removed, record))
        figures = {"record": record.model_dump(), "read": self.rows_read, "lengths": self.lengths_read}
        self._cache.put(self._keys[0], Snapshot(self.rows, removed, figures))

    def _take(self, result: StepResult) -> None:
        """Go on with what a step left."""
        self.rows = result.rows
        self.removed += result.removed
        self.steps.append(result.record)
        self.notes += [f"{result.record.name}: {note}" for note in result.notes]
        record = result.record
        gone = f", {record.rows_in - record.rows_out:,} removed" if record.rows_in > record.rows_out else ""
        changed = f", {record.changed:,} changed" if record.changed else ""
        self._tell(f"{record.name}: {record.rows_out:,} rows{gone}{changed} ({record.seconds:.1f} s)")

    def _nothing_left(self) -> str:
        """One sentence when the steps removed everything."""
        worst = max(self.steps, key=lambda step: step.rows_in - step.rows_out)
        reason = next(iter(worst.removed), "no reason")
        return (
            f"no row is left: the step {worst.name!r} removed {worst.rows_in - worst.rows_out:,} of {worst.rows_in:,} "
            f"({reason}). Loosen that step in the recipe."
        )


def histogram(lengths: Sequence[int]) -> list[int]:
    """Rows per length class; class i holds lengths from LENGTH_EDGES[i-1] up to but not including LENGTH_EDGES[i]."""
    counts = [0] * (len(LENGTH_EDGES) + 1)
    for length in lengths:
        counts[bisect_right(LENGTH_EDGES, length)] += 1
    return counts


def _divide(rows: Sequence[ChatRow], recipe: ChatRecipe, tell: Tell) -> Division:
    """Divide the rows as the recipe says."""
    started = time.perf_counter()
    division = divide(rows, split_plan(recipe.split))
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in division.splits.items())
    tell(f"split: {sizes} ({time.perf_counter() - started:.1f} s)")
    return division


def split_plan(split: SplitSettings) -> SplitPlan:
    """Plain arguments of a recipe's split."""
    return SplitPlan(
        split.validation, split.test, split.seed, split.threshold, Shingling(split.unit, split.size), split.same_question
    )


def _record(
    recipe: ChatRecipe,
    name: str,
    fingerprint: str,
    sources: Sequence[ResolvedSource],
    work: _Work,
    division: Division,
) -> DatasetRecord:
    """``dataset.json`` without the hashes of the files; counts that do not add up are a defect and stop the build."""
    read, kept = sum(work.rows_read.values()), sum(map(len, division.splits.values()))
    if read != kept + len(work.removed) or any(one.rows_out != two.rows_in for one, two in pairwise(work.steps)):
        raise AssertionError(f"{read} rows were read, but {kept} kept and {len(work.removed)} removed")
    return DatasetRecord.model_validate(
        {
            "kind": "chat",
            "name": name,
            "fingerprint": fingerprint,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipe": recipe.model_dump(mode="json"),
            "sources": [_source_record(source, work.rows_read[source.name]) for source in sources],
            "steps": work.steps,
            "splits": {split: len(part) for split, part in division.splits.items()},
            "rows_read": read,
            "rows_removed": len(work.removed),
            "studio_version": studio.__version__,
            "notes": [*work.notes, *(f"split: {note}" for note in division.notes)],
            "clusters": {"count": division.clusters, "tied_rows": division.tied, "largest": division.largest},
            "peak_bytes": _peak_bytes(),
            "libraries": library_versions(),
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


def _peak_bytes() -> int:
    """Largest resident memory of this process so far, and of its largest worker."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(own) * unit


def _write(folder: Path, record: DatasetRecord, work: _Work, division: Division) -> None:
    """Write the folder in one step; ``dataset.json`` goes last."""
    from studio.data.report import render_report

    with new_folder(folder) as place:
        for split, rows in division.splits.items():
            write_table(rows_to_table(rows), place / f"{split}.parquet")
        write_table(removed_to_table(work.removed), place / REMOVED_FILE)
        kept = [row for rows in division.splits.values() for row in rows]
        page = render_report(record, work.removed, kept, work.lengths_read, histogram(characters(kept)), LENGTH_EDGES)
        write_text(place / REPORT_FILE, page)
        files = {file.name: sha256_file(file) for file in sorted(place.iterdir()) if not file.name.startswith(".")}
        write_json(place / "dataset.json", record.model_copy(update={"files": files}).model_dump(mode="json"))
