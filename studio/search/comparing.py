"""A comparison after its opening, top to bottom: train each preset on each fold, measure the rows held out, compare."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from studio.core.errors import InterruptedRunError, StudioError, UserError, nearest
from studio.search.comparison import ROWS_FILE, ComparisonRecord, read, run_name, save
from studio.search.crew import Alone, Crew, Several
from studio.search.journal import Journal, Trial
from studio.search.paired import paired, scored
from studio.search.ranks import ranked
from studio.search.record import now
from studio.search.training import Job, check_left_alone, rows_file
from studio.train.measuring import Measure
from studio.train.opening import Say

Show = Callable[[ComparisonRecord, Trial], None]


def run_comparison(place: Path, *, processes: int, say: Say, show: Show) -> ComparisonRecord:
    """Do what is left of a comparison.

    Args:
        show: told of every training that ends.
    Raises:
        InterruptedRunError: a signal came; it can be resumed. UserError, StudioError: fewer than two could be trained.
    """
    begun, record = time.monotonic(), read(place)
    before, journal = record.seconds, Journal(place)
    check_left_alone(place, journal.trials)
    record = save(place, record.model_copy(update={"status": "running", "error": None}))

    def seconds() -> float:
        return round(before + time.monotonic() - begun, 1)

    try:
        with Several(place, processes) if processes > 1 else Alone(say) as crew:
            _train_all(place, record, journal, crew, show)
        record = _held_together(place, record.model_copy(update={"seconds": seconds()}), journal.trials)
    except (KeyboardInterrupt, InterruptedRunError) as error:
        save(place, read(place).model_copy(update={"status": "interrupted", "seconds": seconds()}))
        name = f"{place.parent.name}/{place.name}"
        raise InterruptedRunError(f"stopped; what was trained is kept. Go on with: studio compare --resume {name}") from error
    except StudioError as error:
        save(place, read(place).model_copy(update={"status": "failed", "seconds": seconds(), "error": str(error)}))
        raise
    return save(place, record.model_copy(update={"status": "finished", "finished": now()}))


def _train_all(place: Path, record: ComparisonRecord, journal: Journal, crew: Crew, show: Show) -> None:
    """Every candidate on every fold, as many at once as the crew can; the first alone, so that a slip is told at once.

    Raises:
        UserError: the first training shows that what a person gave cannot be.
    """
    count = len(record.candidates) * len(record.folds)
    left = [number for number in range(count) if not _has_ended(journal, number)]
    first = 0 in left
    while left or crew.busy:
        while left and crew.free and not (first and crew.busy):
            job = _job(place, record, journal, left.pop(0))
            journal.write(job.begun())
            crew.take(job)
        trial = crew.next(journal.write)
        journal.write(trial)
        show(record, trial)
        if first and trial.state == "failed" and trial.refused:
            raise UserError(f"{record.candidates[0].label} cannot be trained on the first fold: {trial.reason}")
        if first and trial.state == "finished":
            _metric(record, trial)
        first = False


def _has_ended(journal: Journal, number: int) -> bool:
    """True for a training that an earlier sitting brought to its end."""
    trial = journal.get(number)
    return trial is not None and trial.ended


def _job(place: Path, record: ComparisonRecord, journal: Journal, number: int) -> Job:
    """A candidate on a fold."""
    candidate, fold = divmod(number, len(record.folds))
    item, earlier = record.candidates[candidate], journal.get(number)
    return Job(
        number=number,
        place=str(place),
        name=run_name(item.label, fold),
        preset=item.preset,
        called=item.called,
        data=str(place / record.folds[fold]),
        model=record.model,
        settings=tuple(item.settings),
        split=record.split,
        resume=earlier.run if earlier is not None else None,
    )


def _held_together(place: Path, record: ComparisonRecord, trials: Sequence[Trial]) -> ComparisonRecord:
    """The record with scores, differences and ranks.

    Raises:
        UserError, StudioError: fewer than two candidates were trained on every fold, or have no such metric.
    """
    from studio.search.comparison_page import write_page

    folds = len(record.folds)
    by_candidate = [trials[start : start + folds] for start in range(0, len(trials), folds)]
    whole = [number for number, own in enumerate(by_candidate) if all(trial.state == "finished" for trial in own)]
    if len(whole) < 2:
        reason = next(trial.reason for trial in trials if trial.state != "finished")
        raise StudioError(f"fewer than two were trained on every fold, so there is nothing to compare: {reason}")
    metric, better = _metric(record, by_candidate[whole[0]][0])
    tables = {number: _rows(place, by_candidate[number]) for number in whole}
    groups = _clusters(place, record, tables)
    measures = {number: _measures(tables[number], by_candidate[number][0]) for number in whole}
    blocks = _blocks(record, [tables[number][metric] for number in whole], [by_candidate[number] for number in whole], groups)
    result: dict[str, Any] = {
        "candidates": [
            _outcome(own, measures.get(number, []), metric, groups, record.seed) for number, own in enumerate(by_candidate)
        ],
        "differences": _differences(measures, metric, groups, record.seed),
        "ranks": asdict(ranked(blocks, better)) | {"of": whole} if len(blocks) > 1 else None,
    }
    rested = {"rows": len(tables[whole[0]]), "clusters": len(set(groups))}
    closed = record.model_copy(update={"metric": metric, "better": better, "result": result, **rested})
    write_page(place, closed)
    return closed


def _metric(record: ComparisonRecord, trial: Trial) -> tuple[str, Any]:
    """The figure that candidates are compared by, and its direction.

    Raises:
        UserError: there is none of that name.
    """
    metric = record.metric or next(iter(trial.measures))
    if metric not in trial.measures:
        guess = nearest(metric, trial.measures)
        raise UserError(f"--metric {metric}: there is no such figure.{guess} Allowed: {', '.join(trial.measures)}.")
    return metric, trial.better[metric]


def _outcome(
    trials: Sequence[Trial], measures: Sequence[Measure], metric: str, groups: Sequence[str | None], seed: int
) -> dict[str, Any]:
    """What is told of one candidate: its scores, each fold, time and size; or why it is left out."""
    bad = next((trial for trial in trials if trial.state != "finished"), None)
    return {
        "left_out": bad.reason if bad is not None else None,
        "scores": {item.name: scored(item, groups, seed).model_dump(mode="json") for item in measures},
        "by_fold": [trial.measures.get(metric) for trial in trials],
        "seconds": _median([trial.training_seconds for trial in trials]),
        "bytes": _median([trial.bytes for trial in trials]),
    }


def _differences(
    measures: dict[int, list[Measure]], metric: str, groups: Sequence[str | None], seed: int
) -> list[dict[str, Any]]:
    """Every pair on the same rows, corrected for all of them being looked at."""
    from studio.evals.scoring import corrected

    of_metric = {number: next(item for item in found if item.name == metric) for number, found in measures.items()}
    pairs = list(itertools.combinations(of_metric, 2))
    found = corrected([paired(of_metric[one], of_metric[other], groups, seed) for one, other in pairs])
    return [
        {"first": one, "second": other, **item.model_dump(mode="json")} for (one, other), item in zip(pairs, found, strict=True)
    ]


def _rows(place: Path, trials: Sequence[Trial]) -> pd.DataFrame:
    """Figures of each row that was held out, over all folds, in an order that is the same for every candidate."""
    parts = [pd.read_parquet(rows_file(place, trial.number)) for trial in trials]
    return pd.concat(parts, ignore_index=True).sort_values("id", kind="stable", ignore_index=True)


def _measures(rows: pd.DataFrame, trial: Trial) -> list[Measure]:
    """All figures over the rows of all folds."""
    found = []
    for name in trial.measures:
        values = tuple(float(value) for value in rows[name])
        mean = sum(values) / len(values)
        right = set(values) <= {0.0, 1.0}
        found.append(Measure(name, trial.titles[name], trial.units[name], trial.better[name], mean, values, right))
    return found


def _clusters(place: Path, record: ComparisonRecord, tables: dict[int, pd.DataFrame]) -> list[str | None]:
    """What each row belongs to or resembles: rows of one cluster are not independent.

    Raises:
        StudioError: candidates rehearsed on other rows, so that they cannot be held together.
    """
    first, *others = tables.values()
    if any(other["id"].tolist() != first["id"].tolist() for other in others):
        raise StudioError(
            "the presets rehearsed on different parts of the rows, and only the same can be compared. Give all of them the same "
            "horizon and windows with --set."
        )
    if record.split == "validation":
        return [None if group is None or group != group else str(group) for group in first["group"]]
    cluster_of = dict(zip(*(pd.read_parquet(place / ROWS_FILE)[name].tolist() for name in ("id", "cluster")), strict=True))
    return [str(cluster_of[identity]) for identity in first["id"]]


def _blocks(
    record: ComparisonRecord, values: Sequence[pd.Series], trials: Sequence[Sequence[Trial]], groups: Sequence[str | None]
) -> NDArray[np.float64]:
    """Means over what ranks are taken in, [blocks, candidates]: folds; or groups of rows where a training rehearses (series)."""
    metric = str(record.metric or next(iter(trials[0][0].measures)))
    if record.split == "test":
        return np.array([[trial.measures[metric] for trial in own] for own in trials]).T
    names = pd.Series([str(group) for group in groups])
    means = [column.groupby(names).mean() for column in values]
    return np.stack([mean.to_numpy(np.float64) for mean in means], axis=1)


def _median(values: Sequence[float | None]) -> float | None:
    """Median of what is known: the first training in a process also loads the libraries."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
