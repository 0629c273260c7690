"""The family tree of what is in use: sources, Datasets, runs from runs, reports, exports, rounds and aliases, read off the disk.

Nothing keeps the tree beside the things themselves: a Dataset names its sources, a run its Dataset, base and start, an alias
its run. What is gone is named as gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from studio.core.errors import StudioError, UserError
from studio.core.records import DatasetRecord, RunRecord
from studio.core.runs import newest_reports
from studio.core.workspace import Workspace, read_dataset, read_run, run_dataset
from studio.loop.rounds import RoundRecord
from studio.models.exported import read_exports
from studio.serve.aliases import ever_behind, list_aliases, list_canaries
from studio.serve.state import StatePaths


@dataclass
class Member:
    """A run in the tree. dataset: name, fingerprint, where its rows come from. start: the run it went on from.

    aliases: words such as ``production`` or ``production, on trial``. gone: why nothing more is known.
    """

    run: str
    created: str = ""
    method: str = ""
    base: str | None = None
    start: str | None = None
    dataset: dict[str, Any] | None = None
    reports: dict[str, str] = field(default_factory=dict)
    exports: list[dict[str, Any]] = field(default_factory=list)
    round: str | None = None
    aliases: list[str] = field(default_factory=list)
    gone: str | None = None


def family(workspace: Workspace, reference: str | None) -> list[Member]:
    """A run with its ancestors and descendants, or every family in which a run stands behind an alias; parents before children.

    Raises:
        UserError: no such run; or nothing stands behind an alias and no run was named.
    """
    runs = {f"{folder.parent.name}/{folder.name}": folder for folder in workspace.list_runs()}
    starts = {name: start for name, folder in runs.items() if (start := _start_of(folder))}
    standing = _aliases(workspace)
    if reference is not None:
        folder = workspace.find_run(reference)
        wanted = {f"{folder.parent.name}/{folder.name}"}
        runs.setdefault(next(iter(wanted)), folder)
        wanted |= {name for name in runs if next(iter(wanted)) in _ancestors(name, starts)}
    else:
        wanted = {run for run, words in standing.items() if any("before" not in word for word in words)}
        if not wanted:
            raise UserError("nothing stands behind an alias yet. Name a run: studio runs lineage RUN")
    wanted |= {ancestor for name in set(wanted) for ancestor in _ancestors(name, starts)}
    rounds = _rounds(workspace)
    members = [_member(name, runs.get(name), workspace, standing, rounds) for name in wanted]
    return sorted(members, key=lambda member: (len(_ancestors(member.run, starts)), member.created, member.run))


def as_tree(members: Sequence[Member]) -> list[tuple[int, Member]]:
    """Each run with how deep it stands, followed by those that went on from it."""
    known = {member.run for member in members}
    children: dict[str, list[Member]] = {}
    for member in members:
        children.setdefault(member.start if member.start in known else "", []).append(member)
    ordered: list[tuple[int, Member]] = []
    waiting = [(0, member) for member in reversed(children.get("", []))]
    while waiting:
        depth, member = waiting.pop()
        ordered.append((depth, member))
        waiting += [(depth + 1, child) for child in reversed(children.pop(member.run, []))]
    return ordered


def _start_of(folder: Path) -> str | None:
    """The run that a run went on from."""
    try:
        return str(read_run(folder).start["run"])
    except (StudioError, KeyError):
        return None


def _ancestors(name: str, starts: dict[str, str]) -> list[str]:
    """The runs that a run goes back to, the nearest first; a circle, which only a hand could write, ends it."""
    found: list[str] = []
    while (name := starts.get(name, "")) and name not in found:
        found.append(name)
    return found


def _aliases(workspace: Workspace) -> dict[str, list[str]]:
    """Run to what it is, or was, behind aliases."""
    path = StatePaths.of(workspace).aliases
    now, tried = list_aliases(path), list_canaries(path)
    found: dict[str, list[str]] = {}
    for alias in now:
        for entry in ever_behind(path, alias):
            run = entry["run"]
            if run == now[alias]["run"]:
                word = alias
            elif alias in tried and run == tried[alias].run:
                word = f"{alias}, on trial with {tried[alias].share:.0%}"
            else:
                word = f"{alias} before"
            found.setdefault(run, [])
            if word not in found[run]:
                found[run].append(word)
    return found


def _rounds(workspace: Workspace) -> dict[str, str]:
    """Run to the round that made it, in words; a damaged round is left out, it is no reason to show nothing."""
    found: dict[str, str] = {}
    for file in sorted((workspace.root / "rounds").glob("*/[0-9]*/state.json")):
        try:
            record = RoundRecord.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for step in ("sft", "preferences"):
            if run := record.steps.get(step, {}).get("run"):
                found[run] = f"round {record.number} of {record.project}: {record.status}"
    return found


def _member(
    name: str, folder: Path | None, workspace: Workspace, standing: dict[str, list[str]], rounds: dict[str, str]
) -> Member:
    """One run of the tree."""
    found = Member(name, aliases=standing.get(name, []), round=rounds.get(name))
    if folder is None:
        found.gone = f"the folder is gone from {workspace.runs}"
        return found
    try:
        record = read_run(folder)
    except StudioError as error:
        found.gone = str(error)
        return found
    found.created, found.method, found.start = record.created, record.method, record.start.get("run")
    found.base = record.base.get("name")
    found.dataset = _dataset(record, workspace)
    found.reports = {suite: _gate(report.gate) for suite, report in newest_reports(folder).items()}
    found.exports = [{"form": one.form, "path": one.path, "there": Path(one.path).exists()} for one in read_exports(folder)]
    return found


def _dataset(run: RunRecord, workspace: Workspace) -> dict[str, Any]:
    """The Dataset of a run, with the sources of its rows."""
    known = {"name": run.dataset.get("name"), "fingerprint": run.dataset.get("fingerprint")}
    try:
        record: DatasetRecord = read_dataset(run_dataset(run, workspace))
    except StudioError as error:
        return {**known, "gone": str(error)}
    told = ("name", "kind", "location", "licence", "sha256", "rows")
    sources = [{name: getattr(one, name) for name in told} for one in record.sources]
    return {**known, "splits": record.splits, "sources": sources}


def _gate(gate: dict[str, Any]) -> str:
    """A gate in words."""
    if not gate:
        return "no thresholds"
    return f"{gate.get('met', 0)} of {gate.get('thresholds', 0)} thresholds met"


@dataclass(frozen=True)
class Found:
    """A row in a split of a Dataset, and the runs that were trained with that Dataset.

    behind: aliases that stand for one of them, or for a run that goes back to one.
    """

    dataset: str
    split: str
    id: str
    source: str
    text: str
    runs: list[str]
    behind: list[str]


def find_row(workspace: Workspace, wanted: str) -> list[Found]:
    """Where a row is, by its id or by words in it, and what learnt from it.

    Raises:
        UserError: no Dataset holds it.
    """
    runs: dict[str, list[str]] = {}
    starts: dict[str, str] = {}
    for folder in workspace.list_runs():
        name = f"{folder.parent.name}/{folder.name}"
        try:
            record = read_run(folder)
        except StudioError:
            continue
        runs.setdefault(f"{record.dataset.get('name')}/{record.dataset.get('fingerprint')}", []).append(name)
        if record.start:
            starts[name] = str(record.start["run"])
    standing = _aliases(workspace)
    found = []
    for folder in workspace.list_datasets():
        reference = f"{folder.parent.name}/{folder.name}"
        learnt = runs.get(reference, [])
        for split, identity, source, text in _rows_with(folder, wanted):
            # What is validated or tested on is measured, not learnt.
            heirs = {name for name in standing for run in learnt if run == name or run in _ancestors(name, starts)}
            behind = sorted({word for name in heirs for word in standing[name]}) if split == "train" else []
            found.append(Found(reference, split, identity, source, text, learnt, behind))
    if not found:
        raise UserError(f"no Dataset of {workspace.datasets} holds a row with the id or the words {wanted!r}.")
    return found


def _rows_with(folder: Path, wanted: str) -> Iterator[tuple[str, str, str, str]]:
    """Split, id, source and beginning of every row that has an id, or words in any column, as wanted."""
    try:
        splits: Sequence[str] = list(read_dataset(folder).splits)
    except StudioError:
        return
    for split in splits:
        path = folder / f"{split}.parquet"
        if not path.is_file():
            continue
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                values = {key: value for key, value in row.items() if key not in {"id", "source", "group", "meta"}}
                text = " ".join(_texts(values))
                if str(row.get("id")) == wanted or wanted in text:
                    yield split, str(row.get("id")), str(row.get("source", "")), " ".join(text.split())


def _texts(value: Any) -> Iterator[str]:
    """Every text in a plain value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
