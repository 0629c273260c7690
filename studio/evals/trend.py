"""How scores move over the evaluations of a run, or of all runs of one name: points in the order of time, each with its interval.

Two points are joined only where they were measured alike: on the same rows, with the same settings, number type and judge.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError, UserError, nearest
from studio.core.files import sha256_json
from studio.core.records import ReportRecord, Score, TaskRecord, read_record
from studio.core.workspace import Workspace

# Of what was asked: where a file lay and what came of asking say nothing about how it was measured.
_NOT_MEASURE = frozenset(("path", "requests", "trained_on", "questions_trained_on", "rows_in_split"))
_VERSION = re.compile(r"\d+(?:\.\d+)+\S*")


@dataclass(frozen=True)
class Evaluation:
    """One report. number: its place in time, from 1. run: folder name of the run, or the model's name where it is none."""

    number: int
    run: str
    folder: Path
    record: ReportRecord


@dataclass(frozen=True)
class Point:
    """One metric in one evaluation. alike: the same for points that were measured alike. tuned, base: None where not measured."""

    number: int
    tuned: Score | None
    base: Score | None
    alike: str


@dataclass(frozen=True)
class Series:
    """One metric over the evaluations of a suite, one point each."""

    metric: str
    title: str
    unit: str
    better: str
    ideal: float | None
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Trend:
    """The evaluations of one suite, oldest first, and what they measured."""

    suite: str
    evaluations: tuple[Evaluation, ...]
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Followed:
    """What a name stands for. runs: folders whose reports count, with their names; family: all runs of a name."""

    name: str
    runs: tuple[tuple[str, Path], ...]
    family: bool


def find_followed(reference: str, workspace: Workspace) -> Followed:
    """The runs of a name, one run by id, folder or ``last``, or a measured model that is no run by its folder under ``reports/``.

    Raises:
        UserError: there is nothing of that name.
    """
    family = [folder for folder in workspace.list_runs() if folder.parent.name == reference.removesuffix("/")]
    if family:
        found = tuple((folder.name, folder / "evals") for folder in sorted(family, key=lambda folder: folder.name))
        return Followed(reference.removesuffix("/"), found, family=True)
    other = workspace.root / "reports" / reference
    if re.fullmatch(r"[\w.-]+", reference) and any(other.glob("[!.]*/[!.]*/scores.json")):
        return Followed(reference, ((reference, other),), family=False)
    run = workspace.find_run(reference)
    return Followed(f"{run.parent.name}/{run.name}", ((run.name, run / "evals"),), family=False)


def read_trends(followed: Followed, suite: str | None = None) -> tuple[list[Trend], list[str]]:
    """The trend of every suite, or of one, and a sentence for each report that cannot be read.

    Raises:
        UserError: nothing was evaluated, or not with that suite.
    """
    reports, problems = [], []
    for run, root in followed.runs:
        for file in sorted(root.glob("[!.]*/[!.]*/scores.json")):
            try:
                reports.append((run, file.parent, read_record(file, ReportRecord)))
            except StudioError as error:
                problems.append(f"left out: {error}")
    suites = list(dict.fromkeys(record.suite for _, _, record in reports))
    if not suites:
        raise UserError(f"{followed.name} was not evaluated yet. Do it: studio eval chatbot --model {followed.name}")
    if suite is not None and suite not in suites:
        raise UserError(
            f"{followed.name} was not evaluated with the suite {suite!r}.{nearest(suite, suites)} It was with: "
            f"{', '.join(suites)}."
        )
    chosen = [name for name in suites if suite in {None, name}]
    return [_trend(name, [item for item in reports if item[2].suite == name]) for name in chosen], problems


def _trend(suite: str, reports: Sequence[tuple[str, Path, ReportRecord]]) -> Trend:
    """The reports of one suite in the order of time, and a series for each metric that any of them has."""
    ordered = sorted(reports, key=lambda item: (item[2].created, item[1].name))
    evaluations = tuple(Evaluation(number, *item) for number, item in enumerate(ordered, 1))
    newest: dict[str, Score] = {}
    for evaluation in evaluations:
        newest |= {score.metric: score for score in evaluation.record.scores.get("tuned", [])}
    series = [_series(score, evaluations) for score in newest.values()]
    return Trend(suite, evaluations, tuple(item for item in series if any(_value(point.tuned) for point in item.points)))


def _value(score: Score | None) -> bool:
    """True when there is a value."""
    return score is not None and score.value is not None


def _series(like: Score, evaluations: Sequence[Evaluation]) -> Series:
    """One metric over all evaluations; its words are those of the newest."""
    points = []
    for evaluation in evaluations:
        found = {
            label: next((score for score in scores if score.metric == like.metric), None)
            for label, scores in evaluation.record.scores.items()
        }
        tuned = found.get("tuned")
        points.append(Point(evaluation.number, tuned, found.get("base"), _alike(evaluation.record, tuned) if tuned else ""))
    return Series(like.metric, like.title or like.metric, like.unit, like.better, like.ideal, tuple(points))


def _alike(record: ReportRecord, score: Score) -> str:
    """Hash of how a score was measured: rows, settings, number type; versions of libraries do not count."""
    task = next((item for item in record.tasks if item.name == score.task), TaskRecord(name="", type=""))
    data = {name: value for name, value in (task.data or record.dataset).items() if name not in _NOT_MEASURE}
    settings = {name: value for name, value in task.settings.items() if name != "examples_shown"}
    made: dict[str, Any] = {"data": data, "settings": settings, "seed": record.settings.get("seed"), "unit": score.unit}
    return sha256_json({**made, "rows": task.rows, "made_with": _VERSION.sub("", score.made_with)})


def segments(points: Sequence[Point]) -> list[list[Point]]:
    """Runs of neighbouring points that have a value and were measured alike."""
    found: list[list[Point]] = []
    for point in points:
        if not _value(point.tuned):
            continue
        if found and found[-1][-1].alike == point.alike:
            found[-1].append(point)
        else:
            found.append([point])
    return found
