"""Reports of a workspace as pages show them: where they lie, how each ended, what was answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.records import ReportRecord, Score, read_record
from studio.core.workspace import Workspace

_SCORES = "scores.json"


@dataclass(frozen=True)
class Place:
    """Where a report lies. run: ``name/id`` of its Run, None for a model that is none. name: of the Run or of the model."""

    folder: Path
    name: str
    run: str | None

    @property
    def suite(self) -> str:
        """Name of the suite."""
        return self.folder.parent.name

    @property
    def time(self) -> str:
        """Name of the report's folder, which begins with its time."""
        return self.folder.name

    @property
    def address(self) -> str:
        """Its page."""
        return f"/evaluate/{self.run or f'models/of/{self.name}'}/{self.suite}/{self.time}"

    @property
    def framed(self) -> str:
        """The report as it was written, shut in."""
        return f"/reports/{f'runs/{self.run}' if self.run else f'models/{self.name}'}/{self.suite}/{self.time}"

    def record(self) -> ReportRecord:
        """What it says.

        Raises:
            StudioError: it is damaged.
        """
        return read_record(self.folder / _SCORES, ReportRecord)


def reports_of(workspace: Workspace, name: str | None = None) -> list[Place]:
    """Whole reports, newest first.

    Args:
        name: only of Runs, or of the model, of that name.
    """
    found = [
        Place(file.parent, file.parents[4].name, f"{file.parents[4].name}/{file.parents[3].name}")
        for file in workspace.runs.glob(f"[!.]*/[!.]*/evals/[!.]*/[!.]*/{_SCORES}")
    ]
    found += [
        Place(file.parent, file.parents[2].name, None)
        for file in (workspace.root / "reports").glob(f"[!.]*/[!.]*/[!.]*/{_SCORES}")
    ]
    return sorted((place for place in found if name in {None, place.name}), key=lambda place: place.time, reverse=True)


def counted_verdicts(record: ReportRecord) -> tuple[int, int, int]:
    """How many metrics are better, worse, and not shown to differ."""
    verdicts = [item.verdict for item in record.differences]
    better, worse = verdicts.count("better"), verdicts.count("worse")
    return better, worse, len(verdicts) - better - worse - verdicts.count("not computed")


def gate_state(record: ReportRecord) -> str:
    """``met``, ``missed``, ``not shown``; empty without thresholds."""
    gate = record.gate
    if not gate.get("thresholds"):
        return ""
    return "missed" if gate.get("missed") else "not shown" if gate.get("not_shown") else "met"


# How columns of a table of examples call what a model said, by the task that wrote it.
_SAID = ("answer", "label", "said", "value", "prediction", "number")
_ASKED, _TRUE = ("prompt", "question", "text", "group"), ("reference", "truth", "answer")


@dataclass(frozen=True)
class Example:
    """One example. asked, wanted: texts, None where there is none. said: label of the model to what it said.

    scores: label to the value of the metric by which they are ordered.
    """

    id: str
    asked: str | None
    wanted: str | None
    said: dict[str, str | None]
    scores: dict[str, float | None]


@dataclass(frozen=True)
class Examples:
    """Examples of one task. metrics: those by which they can be ordered. by: the one that was taken. rows: of how many in all."""

    task: str
    metrics: list[str]
    by: str | None
    rows: int
    shown: list[Example]


def example_files(folder: Path) -> dict[str, Path]:
    """Task to its table of examples; a suite in short form has one, without a name."""
    single = folder / "examples.parquet"
    many = sorted((folder / "examples").glob("*.parquet"))
    return {"": single} if single.is_file() else {path.stem: path for path in many}


def read_examples(file: Path, task: str, record: ReportRecord, *, by: str | None, worst: bool, at: int, count: int) -> Examples:
    """One page of examples, those first that moved most.

    Args:
        by: metric that orders them; None takes the first that can. worst: the most worsened first, else the most improved.
        at: number of the page, of ``count`` examples each.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    names = table.column_names
    known = {score.metric.removeprefix(f"{task}."): score for score in record.scores.get("tuned", []) if (score.task or task)}
    metrics = [
        name
        for name, score in known.items()
        if score.better != "neither" and all(_numbers(table, f"{label}_{name}") for label in ("tuned", "base"))
    ]
    chosen = by if by in metrics else record.settings.get("compare_by") or next(iter(metrics), None)
    chosen = chosen if chosen in metrics else next(iter(metrics), None)
    order = _order(table, known[chosen], chosen, worst) if chosen else list(range(table.num_rows))
    rows = table.take(pa.array(order[at * count : (at + 1) * count], pa.int64())).to_pylist()
    said = {label: f"{label}_{word}" for label in ("tuned", "base") for word in reversed(_SAID) if f"{label}_{word}" in names}
    asked = next((name for name in _ASKED if name in names), None)
    true = next((name for name in _TRUE if name in names), None)
    shown = [
        Example(
            str(row.get("id", "")), _text(row.get(asked)) if asked else None, _text(row.get(true)) if true else None,
            {label: _text(row[name]) for label, name in said.items()},
            {label: row.get(f"{label}_{chosen}") for label in said} if chosen else {},
        )
        for row in rows
    ]  # fmt: skip
    return Examples(task, metrics, chosen, table.num_rows, shown)


def _numbers(table: Any, name: str) -> bool:
    """True for a column of numbers that has any."""
    import pyarrow as pa

    if name not in table.column_names:
        return False
    kind = table.schema.field(name).type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind)) and bool(table.column(name).null_count < table.num_rows)


def _order(table: Any, score: Score, metric: str, worst: bool) -> list[int]:
    """Places of rows, those first that moved most; those without a value last."""
    tuned, base = (table.column(f"{label}_{metric}").to_pylist() for label in ("tuned", "base"))
    sign = (1 if score.better == "higher" else -1) * (1 if worst else -1)
    moved = [None if one is None or two is None else sign * (one - two) for one, two in zip(tuned, base, strict=True)]
    return sorted(range(len(moved)), key=lambda place: (moved[place] is None, moved[place] or 0.0))


def _text(value: Any) -> str | None:
    """A value as text: a conversation turn by turn, everything else as it is."""
    if value is None:
        return None
    if isinstance(value, list):
        return "\n\n".join(_turns(value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _turns(turns: Sequence[Any]) -> Iterator[str]:
    """Turns with their role before each, where there are several; one alone is what was asked."""
    for turn in turns:
        if isinstance(turn, dict) and "content" in turn:
            yield str(turn["content"]) if len(turns) == 1 else f"{turn.get('role', '')}: {turn['content']}"
        else:
            yield str(turn)


def places_in(text: str, workspace: Workspace) -> list[Place]:
    """Reports that the output of a command names, each once."""
    found = {}
    for line in text.splitlines():
        _before, told, path = line.partition("Report: ")
        if not told:
            continue
        folder = Path(path.strip()).parent
        with suppress(StudioError, ValueError, IndexError):
            parts = folder.relative_to(workspace.root).parts
            if parts[0] == "runs" and parts[3] == "evals" and len(parts) == 6:
                found[folder] = Place(folder, parts[1], f"{parts[1]}/{parts[2]}")
            elif parts[0] == "reports" and len(parts) == 4:
                found[folder] = Place(folder, parts[1], None)
    return list(found.values())
