"""A search after its opening, top to bottom: the preset's own settings, then others, then the choice and its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.core.errors import GateNotMetError, InterruptedRunError, StudioError, UserError, nearest
from studio.core.runs import flatten
from studio.schema.loading import load_yaml
from studio.search import record as records
from studio.search.crew import Alone, Crew, Several
from studio.search.journal import Journal, Trial
from studio.search.record import SearchRecord
from studio.search.space import assignments
from studio.search.suggest import settings_of
from studio.search.training import Job, check_left_alone
from studio.train.kinds import preset_kind
from studio.train.opening import Say

Show = Callable[[SearchRecord, list[Trial], Trial], None]
"""Told of all trials, and of the one that has just ended."""


def run_search(place: Path, *, processes: int, say: Say, show: Show) -> SearchRecord:
    """Do what is left of a search: trials, choice, confirmation, report.

    Args:
        processes: trainings at once, at most as many as when it was opened. show: told of every trial that ends.
    Raises:
        InterruptedRunError: a signal came; it can be resumed.
        UserError, StudioError: the preset's own settings cannot be trained.
    """
    from studio.search.ending import close_search

    begun, record = time.monotonic(), records.read(place)
    before, journal = record.seconds, Journal(place)
    check_left_alone(place, journal.trials)
    record = records.save(place, record.model_copy(update={"status": "running", "error": None}))

    def seconds() -> float:
        return round(before + time.monotonic() - begun, 1)

    try:
        with _crew(place, record, min(processes, record.lag), say) as crew:
            record = _try_all(place, record, journal, crew, seconds, show)
        record = close_search(place, record.model_copy(update={"seconds": seconds()}), journal.trials, say)
    except (KeyboardInterrupt, InterruptedRunError) as error:
        records.save(place, records.read(place).model_copy(update={"status": "interrupted", "seconds": seconds()}))
        name = f"{place.parent.name}/{place.name}"
        raise InterruptedRunError(f"stopped; what was tried is kept. Go on with: studio search --resume {name}") from error
    except StudioError as error:
        changes = {"status": "failed", "seconds": seconds(), "error": str(error)}
        records.save(place, records.read(place).model_copy(update=changes))
        raise
    return records.save(place, record.model_copy(update={"status": "finished", "finished": records.now()}))


def _crew(place: Path, record: SearchRecord, processes: int, say: Say) -> Crew:
    """This process, several of their own, or the machines of a cluster."""
    if record.engine == "ray":
        from studio.search.ray_crew import OnRay

        return OnRay(processes)
    return Several(place, processes) if processes > 1 else Alone(say)


def _try_all(
    place: Path,
    record: SearchRecord,
    journal: Journal,
    crew: Crew,
    seconds: Callable[[], float],
    show: Show,
) -> SearchRecord:
    """Trial after trial, until the budget or the space is used up; as many at once as the crew can."""
    own = journal.get(0)
    under_way: set[int] = set()
    if own is None or not own.ended:
        crew.take(_job(place, record, journal, 0, _own_values(record)))
        own = _wait(crew, journal, under_way)
        record = _judged_by(place, record, own)
        show(record, journal.trials, own)
    record = _judged_by(place, record, own)
    while True:
        while crew.free:
            job = _next_job(place, record, journal, under_way, seconds())
            if job is None:
                break
            under_way.add(job.number)
            journal.write(job.begun())
            crew.take(job)
        if not crew.busy:
            return record
        trial = _wait(crew, journal, under_way)
        records.save(place, record.model_copy(update={"seconds": seconds()}))
        show(record, journal.trials, trial)


def _wait(crew: Crew, journal: Journal, under_way: set[int]) -> Trial:
    """The next trial that ends, written down."""
    trial = crew.next(journal.write)
    journal.write(trial)
    under_way.discard(trial.number)
    return trial


def _own_values(record: SearchRecord) -> dict[str, Any]:
    """What the preset itself says of the settings that vary."""
    path = Path(record.preset)
    model = [f"model={record.model}"] if record.model else []
    preset = load_yaml(path, preset_kind(path).schema, [*record.fixed, *model])
    return record.whole_space.of(_plain(preset.model_dump(mode="json"), record.space))


def _plain(settings: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Values by dotted key, groups included, since a group of settings may be what varies."""
    found = flatten(settings)
    for key in keys:
        value: Any = settings
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        found[key] = value
    return found


def _judged_by(place: Path, record: SearchRecord, own: Trial) -> SearchRecord:
    """The record with the metric that trials are judged by, once it is known what there is.

    Raises:
        UserError, StudioError: the preset's own settings cannot be trained, or have no such metric.
    """
    if own.state == "failed":
        kind = UserError if own.refused else StudioError
        raise kind(f"the preset's own settings cannot be trained, so there is nothing to search from: {own.reason}")
    if own.state == "unfit":
        raise GateNotMetError(f"the preset's own settings do not fit, and nothing can be held against them: {own.reason}")
    metric = record.metric or next(iter(own.measures))
    if metric not in own.measures:
        raise UserError(
            f"--metric {metric}: runs of {record.called} have no such figure on validation rows.{nearest(metric, own.measures)} "
            f"Allowed: {', '.join(own.measures)}."
        )
    return records.save(place, record.model_copy(update={"metric": metric, "better": own.better[metric]}))


def _next_job(place: Path, record: SearchRecord, journal: Journal, under_way: set[int], seconds: float) -> Job | None:
    """The next trial that may start now; None when none may, or none is left.

    A trial looks back on those ``lag`` before it and earlier, whoever was quicker, so that its settings do not depend on speed.
    """
    assert record.metric is not None and record.better is not None
    number = next(n for n in range(1, len(journal.trials) + 1) if _open(journal, n) and n not in under_way)
    if record.trials is not None and number > record.trials:
        return None
    half_done = journal.get(number)
    if half_done is None and record.minutes is not None and seconds >= record.minutes * 60:
        return None
    earlier = [journal.get(n) for n in range(number)]
    past = [trial for trial in earlier[: max(1, number - record.lag + 1)] if trial is not None]
    if any(not trial.ended for trial in past):
        return None
    values = half_done.settings if half_done is not None else None
    if values is None:
        tried = [trial.settings for trial in earlier if trial is not None]
        values = settings_of(
            number, record.whole_space, record.by, record.seed, past=past, tried=tried, metric=record.metric, better=record.better
        )
    if values is None:
        return None
    job = _job(place, record, journal, number, values)
    return job if not record.prune else _with_past(job, past)


def _open(journal: Journal, number: int) -> bool:
    """True for a trial that has not ended."""
    trial = journal.get(number)
    return trial is None or not trial.ended


def _with_past(job: Job, past: list[Trial]) -> Job:
    """The job with the trials that its training is held against."""
    return replace(job, past=tuple(trial.number for trial in past))


def _job(place: Path, record: SearchRecord, journal: Journal, number: int, values: dict[str, Any]) -> Job:
    """What a trial is to do; the preset's own settings are left as they are."""
    earlier = journal.get(number)
    return Job(
        number=number,
        place=str(place),
        name=record.name,
        preset=record.preset,
        called=record.called,
        data=record.data,
        model=record.model,
        settings=(*record.fixed, *(assignments(values) if number else [])),
        values=values,
        memory=record.memory,
        resume=earlier.run if earlier is not None else None,
    )
