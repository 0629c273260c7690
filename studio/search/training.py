"""One trial: does it fit, open the Run, train it under watch, measure it. Everything goes through the kind of the Run."""

from __future__ import annotations

import gc
import os
import shutil
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from studio.core.errors import GateNotMetError, InterruptedRunError, StudioError, UserError
from studio.core.files import folder_size
from studio.core.records import RunRecord
from studio.core.runs import summarize_run
from studio.core.workspace import Workspace, read_run
from studio.search.journal import Trial
from studio.search.pruning import Watch, watched
from studio.search.record import ROWS
from studio.train.kinds import PlanWish, RunKind, preset_kind
from studio.train.measuring import Measured
from studio.train.opening import Asked, Say

Started = Callable[[Trial], None]
Worse = Callable[[list[float]], bool]


@dataclass(frozen=True)
class Job:
    """What a trial is to do.

    place: folder of the search, which is the workspace of its Runs. name: of the Run. preset: file; called: as a person named it.
    data: folder of the Dataset; split: on which rows it is measured. settings: ``key=value`` lines. values: what varies of them.
    memory: bytes it may take. past: which ended trials the median rule looks back on, None where no training is stopped. resume:
    Run to go on with, as the journal names it.
    """

    number: int
    place: str
    name: str
    preset: str
    called: str
    data: str
    model: str | None = None
    settings: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    split: str = "validation"
    memory: int | None = None
    past: tuple[int, ...] | None = None
    resume: str | None = None

    def begun(self) -> Trial:
        """The trial as it stands before anything is known."""
        return Trial(self.number, "running", self.name, dict(self.values), run=self.resume)

    def record(self) -> dict[str, Any]:
        """As plain values, for another process."""
        return asdict(self) | {"settings": list(self.settings), "past": list(self.past) if self.past is not None else None}

    @staticmethod
    def of(value: dict[str, Any]) -> Job:
        """From :meth:`record`."""
        past = value["past"]
        return Job(**value | {"settings": tuple(value["settings"]), "past": None if past is None else tuple(past)})


def run_trial(job: Job, *, started: Started, worse: Worse | None, say: Say) -> Trial:
    """Do a job to its end, whatever that is.

    Args:
        started: told as soon as the Run is open, before it trains. worse: says whether to stop, given the losses so far.
    Returns:
        the trial, ended: finished, pruned, failed, or unfit where the plan says that it cannot be.
    Raises:
        InterruptedRunError, KeyboardInterrupt: a signal came; the Run can be resumed.
    """
    begun, trial = perf_counter(), job.begun()

    def ended(**changes: Any) -> Trial:
        return trial.changed(seconds=round(perf_counter() - begun, 2), **changes)

    def opened(folder: Path) -> None:
        nonlocal trial
        trial = trial.changed(run=folder.relative_to(Path(job.place)).as_posix())
        started(trial)

    try:
        return ended(**_outcome(job, opened, worse, say))
    except GateNotMetError as error:
        return ended(state="unfit", reason=str(error))
    except InterruptedRunError:
        raise
    except StudioError as error:
        return ended(state="failed", reason=str(error), refused=isinstance(error, UserError))
    except Exception as error:  # one bad trial must not end the search; what it was is kept
        return ended(state="failed", reason="".join(traceback.format_exception_only(error)).strip())
    finally:
        gc.collect()


def _outcome(job: Job, opened: Callable[[Path], None], worse: Worse | None, say: Say) -> dict[str, Any]:
    """What became of a trial, as changes of it."""
    workspace, kind = Workspace(Path(job.place)), preset_kind(Path(job.preset))
    asked = Asked(Path(job.preset), job.called, job.data, job.model, job.settings, job.name)
    folder = _half_done(job, workspace)
    resume = folder is not None
    if folder is None:
        _check_fit(kind, asked, job.memory, workspace, say)
        folder = kind.open(asked, workspace)
    opened(folder)
    record = read_run(folder)
    watch: Watch | None = None
    if record.status != "finished":
        with watched(folder / "metrics.jsonl", worse) as watch:
            record = _trained(kind, folder, resume, watch, say)
    if watch is not None and (watch.stopped is not None or watch.look()):
        assert watch.stopped is not None
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        reason = f"validation loss number {watch.stopped} was worse than the median of the others'"
        return {"state": "pruned", "curve": watch.losses()[: watch.stopped], "reason": reason}
    measured = kind.measure(folder, record, job.split)
    _write_rows(job, measured)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return {"state": "finished", **_figures(folder, record, measured), "curve": Watch(folder / "metrics.jsonl", _never).losses()}


def _check_fit(kind: RunKind, asked: Asked, memory: int | None, workspace: Workspace, say: Say) -> None:
    """Hold the plan of a trial against what there is. Some kinds have no plan; what a person gave wrongly is told on opening.

    Raises:
        GateNotMetError: it cannot fit.
    """
    try:
        planned = kind.plan(asked, PlanWish(memory=memory), workspace, say)
    except UserError:
        return
    planned.check()


def _never(_losses: list[float]) -> bool:
    return False


def _trained(kind: RunKind, folder: Path, resume: bool, watch: Watch | None, say: Say) -> RunRecord:
    """Train; a stop that the watch asked for is no interruption."""
    try:
        return kind.train(folder, resume=resume, processes=1, accelerate_config=None, say=say)
    except (InterruptedRunError, KeyboardInterrupt):
        if watch is None or watch.stopped is None:
            raise
        return read_run(folder)


def _half_done(job: Job, workspace: Workspace) -> Path | None:
    """The Run that an earlier sitting began, where it is finished or can be gone on with; None to begin anew."""
    from studio.train.checkpoints import newest_whole

    if job.resume is None:
        return None
    folder = workspace.root / job.resume
    if not (folder / "run.json").is_file():
        return None
    if read_run(folder).status == "finished" or newest_whole(folder / "checkpoints")[0] is not None:
        return folder
    shutil.rmtree(folder, ignore_errors=True)  # nothing of it is worth keeping: it had saved no state
    return None


def check_left_alone(place: Path, trials: Sequence[Trial]) -> None:
    """See that no other process works on the trials that are to be gone on with.

    Raises:
        UserError: one still trains.
    """
    for trial in trials:
        if trial.ended or trial.run is None or not (place / trial.run / "run.json").is_file():
            continue
        found = summarize_run(place / trial.run)
        pid = found.record.machine.get("pid") if found.record is not None else None
        if found.status == "running" and pid != os.getpid():
            raise UserError(
                f"trial {trial.number} still trains in process {pid}. Wait for its end, or stop it, and resume the search then."
            )


def _figures(folder: Path, record: RunRecord, measured: Measured) -> dict[str, Any]:
    """Values and standard errors of all measures, time and size."""
    from studio.search.luck import standard_error

    errors = {
        item.name: error
        for item in measured.measures
        if item.values is not None and (error := standard_error(item.values, measured.groups)) is not None
    }
    made = [folder / name for name in ("model", "adapter") if (folder / name).is_dir()]
    return {
        "measures": {item.name: item.value for item in measured.measures},
        "errors": errors,
        "better": {item.name: item.better for item in measured.measures},
        "titles": {item.name: item.title for item in measured.measures},
        "units": {item.name: item.unit for item in measured.measures},
        "training_seconds": record.result.get("training_seconds"),
        "bytes": sum(folder_size(place) for place in made),
    }


def _write_rows(job: Job, measured: Measured) -> None:
    """``rows/<number>.parquet``: id, group, and every measure of each row; nothing where there are only means."""
    if not measured.ids:
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"id": list(measured.ids)}
    columns["group"] = list(measured.groups) if measured.groups is not None else [None] * len(measured.ids)
    columns |= {item.name: list(item.values) for item in measured.measures if item.values is not None}
    folder = Path(job.place) / ROWS
    folder.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):
        rows_file(Path(job.place), job.number).unlink()
    pq.write_table(pa.table(columns), rows_file(Path(job.place), job.number))


def rows_file(place: Path, number: int) -> Path:
    """Where the figures of each row of a trial lie."""
    return place / ROWS / f"{number:04d}.parquet"
