"""A kind of Dataset and a kind of Run from outside the studio: pairs of numbers, and the straight line through them.

Small enough to read in one sitting, and whole: it builds, plans, trains, is told, measured and listed. ``docs/kinds.md`` walks
through it; ``register`` is all that a program has to call before it calls the studio.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from studio.core.errors import DataError, GateNotMetError, UserError
from studio.core.files import new_folder, sha256_json, write_json, write_text
from studio.core.records import DatasetRecord, RunRecord
from studio.core.telling import Pairs, Table, Told
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.build import Builder, BuildOutcome
from studio.data.cache import Codec
from studio.data.entries import REMOVED, Entry
from studio.data.kinds import DATASET_KINDS, DatasetKind, Wanted, rows_of
from studio.data.memo import HashMemo
from studio.data.page import REPORT_FILE
from studio.data.parquet import (
    REMOVED_FILE,
    read_removed_table,
    read_split_table,
    read_whole_dataset,
    write_table,
)
from studio.data.readers import READERS, Raw, ReadOptions, read_file
from studio.data.showing import choose, next_page
from studio.data.sources import READ_STEP, ResolvedSource, resolve_local, resolved
from studio.data.split import Division, divide_clusters
from studio.data.stages import Stages, StepResult, Tell, judged
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.scoring import difference, score
from studio.evals.statistics import POSITIVE
from studio.evals.targets import Target
from studio.evals.task import NotComputedError, TaskContext, TaskResult
from studio.evals.tasks import SETTINGS, TASKS
from studio.schema.loading import Settings, load_yaml
from studio.schema.recipe import Size
from studio.schema.tasks import TaskSettings
from studio.train.capacity import free_disk
from studio.train.ending import close_well
from studio.train.kinds import RUN_KINDS, Planned, PlanWish, RunKind
from studio.train.opening import SCRATCH, Asked, Say, find_rows
from studio.train.record import open_run

# --- what people write ------------------------------------------------------------------------------------------------


class NumbersSource(Settings):
    """A file or folder with columns x and y."""

    type: Literal["local"]
    """Kind of source."""
    path: str
    """File or folder."""
    licence: str
    """Licence of the numbers."""
    name: str | None = None
    """Short name; None takes it from the file."""
    attribution: str | None = None
    """Who has to be named."""


class NumbersRecipe(Settings):
    """Pairs of numbers."""

    kind: Literal["numbers"]
    """What it is for."""
    name: str | None = None
    """Name of the Dataset; None takes the file's name."""
    sources: Annotated[list[NumbersSource], Field(min_length=1)]
    """Where the pairs come from."""
    test: Size = 0.2
    """Rows or share held out."""


class LinePreset(Settings):
    """A straight line by least squares."""

    kind: Literal["line"]
    """What is trained."""
    data: str | None = None
    """Default Dataset."""
    through_origin: bool = False
    """Fix the line to pass through 0."""
    seed: int = 0
    """Nothing is random here."""


class LineTask(TaskSettings):
    """How far the line is from held-out pairs."""

    type: Literal["line"]
    """Kind of task."""

    def metric_names(self) -> list[str]:
        """The one there is."""
        return ["mean_absolute_error"]


# --- Datasets ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A row."""

    id: str
    x: float
    y: float
    source: str


@dataclass(frozen=True)
class RemovedPair:
    """A row that is no pair, with the reason."""

    id: str
    source: str
    step: str
    reason: str
    value: str


def _table(rows: Sequence[Any]) -> pa.Table:
    return pa.Table.from_pylist([asdict(row) for row in rows])


CODEC: Codec[Pair, RemovedPair] = Codec(
    _table,
    lambda table: [Pair(**line) for line in table.to_pylist()],
    _table,
    lambda table: [RemovedPair(**line) for line in table.to_pylist()],
)


class NumbersBuilder(Builder[NumbersRecipe, Pair, RemovedPair]):
    """Pairs from any file the studio reads; equal x never straddle two splits."""

    kind = "numbers"
    codec = CODEC
    libraries = ("numpy",)

    def resolve(self, memo: HashMemo) -> list[ResolvedSource]:
        found = []
        for index, source in enumerate(self.recipe.sources):
            location, identity, files = resolve_local(source.path, "**/*", self.beside, memo, READERS)
            found.append(resolved(source, index, Path(location).stem, location, identity, files=files))
        return found

    def keys(self, sources: Sequence[ResolvedSource], memo: HashMemo) -> list[str]:
        return [sha256_json(["numbers", [source.identity for source in sources]])[:32]]

    def identity(self, sources: Sequence[ResolvedSource], keys: Sequence[str]) -> list[object]:
        return [*keys, self.recipe.test]

    @contextmanager
    def staffed(self) -> Iterator[None]:
        yield

    def read(self, sources: Sequence[ResolvedSource]) -> StepResult[Pair, RemovedPair]:
        started = perf_counter()
        rows: list[Pair] = []
        removed: list[RemovedPair] = []
        counts: dict[str, int] = {}
        for source in sources:
            for number, found in enumerate(
                (one for file in source.files for one in read_file(file.path, ReadOptions())), start=1
            ):
                identity = f"{source.name}/{number}"
                try:
                    value = found.value if isinstance(found, Raw) else {}
                    rows.append(Pair(identity, float(value["x"]), float(value["y"]), source.name))
                except (KeyError, TypeError, ValueError):
                    seen = str(found.value) if isinstance(found, Raw) else found.reason
                    removed.append(RemovedPair(identity, source.name, READ_STEP, "no pair of numbers", seen))
                counts[source.name] = number
        return judged(READ_STEP, {}, sum(counts.values()), rows, removed, started=started, figures={"read": counts})

    def judge(self, number: int, rows: list[Pair]) -> StepResult[Pair, RemovedPair]:
        raise NotImplementedError("this kind has no cleaning steps")

    def divide(self, rows: Sequence[Pair]) -> Division[Pair]:
        clusters: dict[float, list[int]] = {}
        for index, row in enumerate(rows):
            clusters.setdefault(row.x, []).append(index)
        return divide_clusters(rows, list(clusters.values()), 0, self.recipe.test, 0, "Add pairs with other x.")

    def write(
        self, place: Path, record: DatasetRecord, work: Stages[Pair, RemovedPair], division: Division[Pair]
    ) -> DatasetRecord:
        for split, rows in division.splits.items():
            write_table(_table(rows), place / f"{split}.parquet")
        write_table(_table(work.removed), place / REMOVED_FILE)
        write_text(place / REPORT_FILE, f"<h1>{record.rows_read} pairs read, {record.rows_removed} removed</h1>\n")
        return record


def read_pairs(folder: Path, split: str) -> list[Pair]:
    """Rows of a split."""
    record = read_whole_dataset(folder)
    if record.kind != "numbers":
        raise DataError(f"the dataset {record.name} holds {rows_of(record)}, not pairs of numbers.")
    return CODEC.table_to_rows(read_split_table(folder, record, split))


class NumbersKind(DatasetKind):
    """Pairs of numbers."""

    name = "numbers"
    rows = "pairs of numbers"
    title = "Recipe of pairs"
    about = "Pairs of numbers."
    schema = NumbersRecipe

    def build(self, recipe: NumbersRecipe, workspace: Workspace, *, name: str, beside: Path, tell: Tell) -> BuildOutcome:
        return NumbersBuilder.build(recipe, workspace, name=name, beside=beside, tell=tell)

    def entries(self, folder: Path, part: str) -> Iterable[Entry]:
        if part == REMOVED:
            return [Entry(gone.id, [], {"found": gone.value}, gone.reason) for gone in self._removed(folder)]
        return [Entry(row.id, [], {"x": str(row.x), "y": str(row.y)}) for row in read_pairs(folder, part)]

    def show(self, folder: Path, wanted: Wanted, **options: Any) -> Told:
        rows: Sequence[Any] = self._removed(folder) if wanted.removed else read_pairs(folder, wanted.split)
        chosen, first = choose(rows, wanted, page=20, id_of=lambda row: str(row.id))
        lines = [asdict(row) for row in chosen]
        columns = list(lines[0]) if lines else ["id"]
        table = Table(columns, [list(line.values()) for line in lines], right=["x", "y"])
        return Told((table, *next_page(wanted, first, len(chosen), len(rows))), lines)

    @staticmethod
    def _removed(folder: Path) -> list[RemovedPair]:
        return CODEC.table_to_removed(read_removed_table(folder))


# --- Runs -------------------------------------------------------------------------------------------------------------


class LineKind(RunKind):
    """A straight line."""

    name = "line"
    title = "Line preset"
    about = "A straight line by least squares."
    suite = "line"
    app = None
    schema = LinePreset

    def open(self, asked: Asked, workspace: Workspace) -> Path:
        preset = load_yaml(asked.preset, LinePreset, asked.overrides)
        folder, dataset = find_rows(preset.data, workspace, kind="numbers", rows="pairs of numbers", example="RECIPE")
        return open_run(
            preset.model_copy(update={"data": f"{dataset.name}/{dataset.fingerprint}"}),
            workspace,
            name=asked.run_name(dataset),
            dataset_folder=folder,
            dataset=dataset,
            base=SCRATCH,
            processes=1,
            method="least squares",
        )

    def plan(self, asked: Asked, wish: PlanWish, workspace: Workspace, say: Say) -> Planned:
        preset = load_yaml(asked.preset, LinePreset, asked.overrides)
        if wish.probe or wish.sweep:
            raise UserError("--probe measures steps and --sweep batches; a line has neither. Leave them out.")
        if preset.data is not None:
            find_rows(preset.data, workspace, kind="numbers", rows="pairs of numbers", example="RECIPE")
        numbers = 1 if preset.through_origin else 2
        told = Told((Pairs([("numbers that train", numbers), ("memory", "next to nothing")]),), {"numbers": numbers})
        return Planned(told, partial(_check_room, free_disk(workspace)))

    def train(self, folder: Path, *, resume: bool, processes: int, accelerate_config: Path | None, say: Say) -> RunRecord:
        started = perf_counter()
        preset = load_yaml(folder / "config.yaml", LinePreset)
        rows = read_pairs(run_dataset(read_run(folder), Workspace.around(folder)), "train")
        x, y = np.array([row.x for row in rows]), np.array([row.y for row in rows])
        columns = [x] if preset.through_origin else [x, np.ones_like(x)]
        fitted = np.linalg.lstsq(np.stack(columns, axis=1), y, rcond=None)[0]
        slope, intercept = float(fitted[0]), float(fitted[1]) if len(fitted) > 1 else 0.0
        with new_folder(folder / "model") as place:
            write_json(place / "line.json", {"slope": slope, "intercept": intercept, "mean": float(y.mean())})
        say(f"a line through {len(rows)} pairs")
        result = {"training_seconds": round(perf_counter() - started, 1), "slope": slope, "intercept": intercept}
        close_well(folder, result, "model", "config.yaml")
        return read_run(folder)

    def loss_unit(self, record: RunRecord) -> str:
        return ""

    def figures(self, folder: Path, record: RunRecord) -> Iterable[tuple[str, object]]:
        return [("line", f"y = {record.result['slope']:.3f} x + {record.result['intercept']:.3f}")]


def _check_room(free: int | None) -> None:
    if free is not None and free < 10_000:
        raise GateNotMetError(f"a line needs 10 kB of disk and {free} bytes are free. Make room.")


# --- measuring --------------------------------------------------------------------------------------------------------


def _line_of(target: Target) -> dict[str, float]:
    """The line of a run; whatever else can be named on the command line has none."""
    file = target.run / "model" / "line.json" if target.run is not None else None
    if target.run is None or read_run(target.run).kind != LineKind.name or file is None or not file.is_file():
        raise NotComputedError(f"{target.name} is no finished run of kind {LineKind.name!r}. Give one: --model RUN")
    line: dict[str, float] = json.loads(file.read_text(encoding="utf-8"))
    return line


ERROR = Metric(
    key="mean_absolute_error",
    title="Mean absolute error",
    unit="of y",
    better="lower",
    needs="answers",
    explains="Mean distance of y from what the line says.",
    measure=lambda evidence: mean_statistic([None for _ in evidence]),
    made_with=lambda: "numpy",
    scale=POSITIVE,
)


def measure_line(context: TaskContext[LineTask]) -> TaskResult:
    """Mean absolute error on the test split: of the line, and of always saying the mean, which is the line's own base."""
    lines = {label: _line_of(target) for label, target in context.targets.items() if not target.own_base}
    rows = read_pairs(context.dataset_folder(), "test")
    x, y = np.array([row.x for row in rows]), np.array([row.y for row in rows])
    said = {label: line["slope"] * x + line["intercept"] for label, line in lines.items()}
    said = {"base": np.full_like(y, lines["tuned"]["mean"])} | said
    errors = {label: mean_statistic(np.abs(said[label] - y).tolist()) for label in context.labels}
    draws = {"resamples": context.resamples, "seed": context.seed}
    scores = {label: [score(ERROR, values, **draws)] for label, values in errors.items()}
    differences = [difference(ERROR, errors["tuned"], errors["base"], **draws)] if context.has_base else []
    return TaskResult(scores=scores, differences=differences, rows=len(rows), title="Distance from the line")


NUMBERS, LINE = NumbersKind(), LineKind()


def register() -> None:
    """Make the studio know these kinds: one line in each table."""
    DATASET_KINDS.add("numbers", f"{__name__}:NUMBERS")
    RUN_KINDS.add("line", f"{__name__}:LINE")
    TASKS.add("line", f"{__name__}:measure_line")
    SETTINGS.add("line", f"{__name__}:LineTask")
