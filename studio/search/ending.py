"""What becomes of a search's trials: the best one, what luck alone would have given, what mattered, and whether the best one is
better than the preset's own settings on rows that the search never saw.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.errors import StudioError, UserError
from studio.core.files import new_folder
from studio.core.records import ReportRecord
from studio.core.workspace import Workspace, read_dataset, read_run
from studio.search.journal import Trial
from studio.search.luck import Luck, luck_of
from studio.search.paired import paired, scored
from studio.search.record import SearchRecord
from studio.search.suggest import study_of
from studio.search.training import rows_file
from studio.train.kinds import run_kind
from studio.train.measuring import Measured
from studio.train.opening import Say

NO_SUITE = "none"
_FEWEST_FOR_IMPORTANCE = 10


def best_of(trials: Iterable[Trial], metric: str, better: str) -> Trial | None:
    """The best finished trial; of equals the earliest."""
    finished = [trial for trial in trials if trial.state == "finished" and metric in trial.measures]
    sign = -1 if better == "higher" else 1
    return min(finished, key=lambda trial: (sign * trial.measures[metric], trial.number), default=None)


def close_search(place: Path, record: SearchRecord, trials: Sequence[Trial], say: Say) -> SearchRecord:
    """The record with what came of the trials; the best one's Run is copied among the workspace's runs.

    Raises:
        StudioError: the copy or the report cannot be written.
    """
    from studio.search.page import write_page

    assert record.metric is not None and record.better is not None
    best = best_of(trials, record.metric, record.better)
    assert best is not None and best.run is not None  # the preset's own settings have finished
    workspace = Workspace(place.parents[2])
    luck = _luck(place, record, trials)
    run = _copied(place / best.run, workspace)
    result: dict[str, Any] = {
        "counts": counts_of(trials),
        "run": str(run),
        "luck": asdict(luck) if luck is not None else None,
        "importance": importance_of(record, trials),
        "confirmation": _confirmed(place, record, trials[0], best, run, workspace, say),
    }
    closed = record.model_copy(update={"best": best.number, "result": result})
    write_page(place, closed, trials)
    return closed


def counts_of(trials: Sequence[Trial]) -> dict[str, int]:
    """How many trials ended how, the preset's own settings not counted."""
    return {state: sum(trial.state == state for trial in trials[1:]) for state in ("finished", "pruned", "failed", "unfit")}


def _luck(place: Path, record: SearchRecord, trials: Sequence[Trial]) -> Luck | None:
    """See :func:`studio.search.luck.luck_of`; None where trials have no values of single rows."""
    import pandas as pd

    assert record.metric is not None
    finished = [trial for trial in trials[1:] if trial.state == "finished" and record.metric in trial.errors]
    if not finished or record.metric not in trials[0].errors:
        return None
    own = pd.read_parquet(rows_file(place, 0))
    sign = 1.0 if record.better == "higher" else -1.0
    gains = [sign * (pd.read_parquet(rows_file(place, trial.number))[record.metric] - own[record.metric]) for trial in finished]
    return luck_of(np.stack([gain.to_numpy() for gain in gains], axis=1), own["group"].tolist(), record.seed)


def importance_of(record: SearchRecord, trials: Sequence[Trial]) -> dict[str, float]:
    """Share of the metric's spread over the space that each setting explains by itself, the largest first.

    Empty with one setting, or with fewer than ten finished trials.
    Source: Hutter et al. 2014, fANOVA, https://proceedings.mlr.press/v32/hutter14.html, as Optuna has it.
    """
    import optuna

    assert record.metric is not None and record.better is not None
    space = record.whole_space
    finished = [trial for trial in trials if trial.state == "finished" and space.holds(trial.settings)]
    if len(space.dimensions) < 2 or len(finished) < _FEWEST_FOR_IMPORTANCE:
        return {}
    if len({trial.measures[record.metric] for trial in finished}) < 2:
        return {}
    study = study_of(space, finished, record.metric, record.better)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=record.seed)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: round(float(value), 4) for key, value in found.items()}


def _copied(run: Path, workspace: Workspace) -> Path:
    """The best trial's Run among the workspace's own, where every command finds it."""
    final = workspace.runs / run.parent.name / run.name
    if not (final / "run.json").is_file():
        with new_folder(final) as place:
            shutil.copytree(run, place, dirs_exist_ok=True)
    return final


def _confirmed(
    place: Path, record: SearchRecord, own: Trial, best: Trial, run: Path, workspace: Workspace, say: Say
) -> dict[str, Any]:
    """The best trial against the preset's own settings on the test split, which no trial was judged by.

    Returns:
        ``rows``, ``difference`` and ``scores`` of the metric where Runs tell it row by row; ``report`` of the suite; ``reason``
        where something could not be done.
    """
    if best.number == 0:
        return {"reason": "no trial was better than the preset's own settings on the validation rows"}
    if not read_dataset(Path(record.data)).splits.get("test"):
        return {"reason": f"{record.dataset['name']} has no test rows; build it with split.test to have the choice confirmed"}
    assert own.run is not None
    default = place / own.run
    found: dict[str, Any] = {}
    try:
        tuned, base = _measured(run), _measured(default)
    except UserError as error:
        found["reason"] = str(error)
    else:
        ours, theirs = (next(item for item in side.measures if item.name == record.metric) for side in (tuned, base))
        found["rows"] = len(tuned.ids)
        found["scores"] = {
            label: scored(item, side.groups, record.seed).model_dump(mode="json")
            for label, item, side in (("tuned", ours, tuned), ("base", theirs, base))
        }
        found["difference"] = paired(ours, theirs, tuned.groups, record.seed).model_dump(mode="json")
    if record.suite is not None and record.suite != NO_SUITE:
        found |= _with_suite(record.suite, run, default, Path(record.data), workspace, say)
    return found


def _measured(run: Path) -> Measured:
    """A Run on the test split."""
    found = read_run(run)
    return run_kind(found).measure(run, found, "test")


def _with_suite(name: str, run: Path, default: Path, data: Path, workspace: Workspace, say: Say) -> dict[str, Any]:
    """The Report of the best trial with the preset's own settings as its base: where it lies, and its differences."""
    from studio.evals.runner import evaluate_model
    from studio.evals.suites import load_suite
    from studio.evals.targets import Target

    say(f"measuring the best trial against the preset's own settings with the suite {name}")
    target = Target(f"{run.parent.name}/{run.name}", run=run)
    base = Target("the preset's own settings", run=default)
    try:
        report, scores = evaluate_model(target, load_suite(name), workspace=workspace, baseline=base, data=data)
    except StudioError as error:
        return {"suite": name, "suite_reason": str(error)}
    return {"suite": name, "report": str(report), "differences": _differences(scores)}


def _differences(report: ReportRecord) -> list[dict[str, Any]]:
    """Differences of a Report, as plain values."""
    return [item.model_dump(mode="json") for item in report.differences]
