"""The build of a Dataset, top to bottom: resolve sources, read rows, run the steps, divide, write."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import studio
from studio.core.errors import UserError
from studio.core.files import new_folder, sha256_file, sha256_json, write_json, write_text
from studio.core.records import DatasetRecord, SourceRecord, StepRecord
from studio.core.workspace import Workspace, read_dataset
from studio.data.cache import Codec, StepCache, code_version, library_versions
from studio.data.chat.feedback import FeedbackTable, resolve_feedback
from studio.data.chat.formats import ColumnNames
from studio.data.chat.rows import (
    REMOVED_FILE,
    ChatRow,
    RemovedRow,
    characters,
    removed_to_table,
    rows_to_table,
    table_to_removed,
    table_to_rows,
    write_table,
)
from studio.data.chat.steps import STEPS
from studio.data.hub import HubTable
from studio.data.memo import HashMemo
from studio.data.readers import ReadOptions
from studio.data.runner import Workers, run_step, workers
from studio.data.similarity import Shingling
from studio.data.sources import READ_STEP, ResolvedSource, ShapeOptions, read_source, resolve_hub, resolve_local, resolve_wheel
from studio.data.split import Division, SplitPlan, divide
from studio.data.stages import Stages, StepResult, Tell
from studio.schema.recipe import (
    ChatRecipe,
    FeedbackSource,
    HubSource,
    LengthStep,
    LocalSource,
    Source,
    SplitSettings,
    Step,
    WheelSource,
)

CODEC: Codec[ChatRow, RemovedRow] = Codec(rows_to_table, table_to_rows, removed_to_table, table_to_removed)

# Code that decides how rows are read; a change of it makes everything after new.
_READ_CODE = ("sources.py", "readers.py", "chat/formats.py", "chat/documents.py", "hub.py", "chat/feedback.py", "chat/rows.py")
_STEP_CODE = ("chat/steps/base.py", "similarity.py", "chat/tokens.py", "chat/rows.py")
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
    check_name(name)
    memo = HashMemo(workspace.datasets / ".sources.json")
    sources = [_resolve(source, index, beside or Path.cwd(), memo, workspace) for index, source in enumerate(recipe.sources)]
    keys = _keys(recipe, sources, memo)
    fingerprint = sha256_json([keys[-1], recipe.split.model_dump(), code_version(), studio.__version__])[:16]
    folder = workspace.datasets / name / fingerprint
    if (folder / "dataset.json").is_file():
        mark_newest(folder)
        return BuildOutcome(folder, read_dataset(folder), cached=True, reused=len(keys))
    workspace.check_writable()
    memo.save()
    cache = StepCache(workspace.datasets / ".steps", CODEC)
    work = Stages(keys, cache, tell)
    with workers() as crew:
        reused = work.run(lambda: read_rows(recipe, sources), lambda number, rows: _judge(recipe.steps[number], rows, crew))
    division = _divide(work.rows, recipe, tell)
    record = _record(recipe, name, fingerprint, sources, work, division)
    _write(folder, record, work, division)
    mark_newest(folder)
    cache.prune(keys)
    return BuildOutcome(folder, read_dataset(folder), cached=False, reused=reused, notes=record.model_extra["notes"])  # type: ignore[index]


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


def _resolve(source: Source, index: int, beside: Path, memo: HashMemo, workspace: Workspace) -> ResolvedSource:
    """Know the bytes of one source."""
    revision: str | None = None
    files: tuple[Any, ...] = ()
    table: HubTable | None = None
    said: FeedbackTable | None = None
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
        case FeedbackSource():
            said, location, identity = resolve_feedback(
                workspace,
                source.form,
                path=_place(source.path, beside) if source.path else None,
                **source.model_dump(include={"per_user", "models", "keep_out", "scrub", "phone_region"}),
            )
            name = f"feedback-{source.form}"
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
        said=said,
    )


def _place(path: str, beside: Path) -> Path:
    """A path of a recipe: looked for in the current folder, then beside the recipe."""
    given = Path(path).expanduser()
    return given if given.is_absolute() or given.exists() else beside / given


def _keys(recipe: ChatRecipe, sources: Sequence[ResolvedSource], memo: HashMemo) -> list[str]:
    """One key per stage (reading, then each step): a hash of all that its result depends on."""
    check_source_names(sources)
    # Where a local file lies does not matter, what is in it does.
    unimportant = {"path", "attribution", "licence"}
    settings = [source.model_dump(exclude=unimportant) for source in recipe.sources]
    read = [settings, [(source.name, source.identity) for source in sources], code_version(*_READ_CODE), library_versions()]
    keys = [sha256_json(read)[:32]]
    for step in recipe.steps:
        module = _step_file(step.step)
        parts: list[object] = [keys[-1], step.model_dump(), code_version(module, *_STEP_CODE)]
        if isinstance(step, LengthStep) and step.unit == "tokens" and (step.min is not None or step.max is not None):
            from studio.data.chat.tokens import tokenizer_identity

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
        from studio.data.chat.tokens import open_counter

        arguments["counter"] = partial(open_counter, settings.model)
    return STEPS.get(settings.step)(**arguments)


def _judge(settings: Step, rows: list[ChatRow], crew: Workers) -> StepResult[ChatRow, RemovedRow]:
    """Run one step."""
    return run_step(settings.step, settings.model_dump(exclude={"step"}), make_step(settings), rows, crew)


def read_rows(recipe: ChatRecipe, sources: Sequence[ResolvedSource]) -> StepResult[ChatRow, RemovedRow]:
    """Read every source."""
    started = time.perf_counter()
    rows: list[ChatRow] = []
    removed: list[RemovedRow] = []
    counts: dict[str, int] = {}
    notes: list[str] = []
    for settings, source in zip(recipe.sources, sources, strict=True):
        read = ReadOptions(settings.encoding, settings.records, settings.prompt)
        shape = ShapeOptions(
            settings.format,
            ColumnNames(**settings.columns.model_dump()),
            settings.group,
            settings.system,
            settings.damaged == "keep",
            settings.limit,
        )
        before = len(rows) + len(removed)
        for outcome in read_source(source, read, shape):
            if isinstance(outcome, ChatRow):
                rows.append(outcome)
            else:
                removed.append(outcome)
        counts[source.name] = len(rows) + len(removed) - before
        notes += source.said.notes if source.said else ()
    if len({_form(row) for row in rows}) > 1:
        raise UserError(
            "the sources give rows of several forms (conversations, pairs, single thumbs), and a training reads one form. "
            "Write a recipe for each."
        )
    record = StepRecord(
        name=READ_STEP,
        rows_in=sum(counts.values()),
        rows_out=len(rows),
        removed={"damaged": len(removed)} if removed else {},
        seconds=round(time.perf_counter() - started, 3),
    )
    return StepResult(rows, removed, record, notes, {"read": counts, "lengths": histogram(characters(rows))})


def _form(row: ChatRow) -> str:
    """What a row teaches: an answer to imitate (sft), a pair (dpo), or a single thumb (kto)."""
    return "sft" if not row.is_preference else "kto" if row.chosen is None or row.rejected is None else "dpo"


def histogram(lengths: Sequence[int]) -> list[int]:
    """Rows per length class; class i holds lengths from LENGTH_EDGES[i-1] up to but not including LENGTH_EDGES[i]."""
    counts = [0] * (len(LENGTH_EDGES) + 1)
    for length in lengths:
        counts[bisect_right(LENGTH_EDGES, length)] += 1
    return counts


def _divide(rows: Sequence[ChatRow], recipe: ChatRecipe, tell: Tell) -> Division[ChatRow]:
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
    work: Stages[ChatRow, RemovedRow],
    division: Division[ChatRow],
) -> DatasetRecord:
    """``dataset.json`` without the hashes of the files; counts that do not add up are a defect and stop the build."""
    read, kept = sum(work.figures["read"].values()), sum(map(len, division.splits.values()))
    if read != kept + len(work.removed) or any(one.rows_out != two.rows_in for one, two in pairwise(work.steps)):
        raise AssertionError(f"{read} rows were read, but {kept} kept and {len(work.removed)} removed")
    return DatasetRecord.model_validate(
        {
            "kind": "chat",
            "name": name,
            "fingerprint": fingerprint,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipe": recipe.model_dump(mode="json"),
            "sources": [source_record(source, work.figures["read"][source.name]) for source in sources],
            "steps": work.steps,
            "splits": {split: len(part) for split, part in division.splits.items()},
            "rows_read": read,
            "rows_removed": len(work.removed),
            "studio_version": studio.__version__,
            "notes": [*work.notes, *(f"split: {note}" for note in division.notes)],
            "clusters": {"count": division.clusters, "tied_rows": division.tied, "largest": division.largest},
            "peak_bytes": peak_bytes(),
            "libraries": library_versions(),
        }
    )


def source_record(source: ResolvedSource, rows: int) -> SourceRecord:
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


def peak_bytes() -> int:
    """Largest resident memory of this process so far, and of its largest worker."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(own) * unit


def _write(folder: Path, record: DatasetRecord, work: Stages[ChatRow, RemovedRow], division: Division[ChatRow]) -> None:
    """Write the folder in one step; ``dataset.json`` goes last."""
    from studio.data.chat.report import render_report

    with new_folder(folder) as place:
        for split, rows in division.splits.items():
            write_table(rows_to_table(rows), place / f"{split}.parquet")
        write_table(removed_to_table(work.removed), place / REMOVED_FILE)
        kept = [row for rows in division.splits.values() for row in rows]
        page = render_report(record, work.removed, kept, work.figures["lengths"], histogram(characters(kept)), LENGTH_EDGES)
        write_text(place / REPORT_FILE, page)
        files = {file.name: sha256_file(file) for file in sorted(place.iterdir()) if not file.name.startswith(".")}
        write_json(place / "dataset.json", record.model_copy(update={"files": files}).model_dump(mode="json"))
