"""Evaluating a model: open it and what it is compared with, run the suite's tasks, correct, judge the gate, write the Report."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from studio import __version__
from studio.core.allocator import keep_freed_memory
from studio.core.errors import UserError
from studio.core.records import Difference, GroupScores, ReportRecord, Score, TaskRecord
from studio.core.workspace import Workspace
from studio.evals.benches import Benches, benches_for
from studio.evals.evidence import scored_text
from studio.evals.gate import judge
from studio.evals.precision import rounding_limit, type_warnings, with_types
from studio.evals.report import write_report
from studio.evals.scoring import corrected
from studio.evals.targets import OWN_BASE, Target, find_baseline, run_record
from studio.evals.task import Card, CardGroup, NotComputedError, Part, TaskContext, TaskResult
from studio.evals.tasks import ASKED, TASKS
from studio.schema.suite import Suite, Task


def evaluate_run(
    run_folder: Path,
    suite: Suite,
    *,
    baseline: str | None = OWN_BASE,
    limit: int | None = None,
    data: Path | None = None,
    progress: bool = False,
    cached: bool = True,
) -> tuple[Path, ReportRecord]:
    """Measure a run with a suite, beside a baseline, and write the Report into the run's folder; see :func:`evaluate_model`.

    Args:
        baseline: ``base`` is the run's own base (adapter off, nothing loaded twice), ``none`` measures the run alone; anything
            else is another run or a base model's name, folder or Hub id. None means ``base``.
    """
    run_folder = run_folder.resolve()
    workspace = Workspace(run_folder.parents[2]) if run_folder.parents[1].name == "runs" else Workspace.open()
    target = Target(f"{run_folder.parent.name}/{run_folder.name}", run=run_folder)
    other = find_baseline(baseline or OWN_BASE, target, workspace)
    return evaluate_model(
        target, suite, workspace=workspace, baseline=other, limit=limit, data=data, progress=progress, cached=cached
    )


def evaluate_model(
    target: Target,
    suite: Suite,
    *,
    workspace: Workspace,
    baseline: Target | None = None,
    limit: int | None = None,
    data: Path | None = None,
    progress: bool = False,
    cached: bool = True,
) -> tuple[Path, ReportRecord]:
    """Measure a model with a suite, beside a baseline, and write the Report.

    Args:
        target: from ``find_model``. baseline: from ``find_baseline``; None measures the model alone.
        limit: ask only this many rows per task; wins over the suite's own.
        data: folder of a Dataset; wins over the suite's and the run's.
        progress: show progress bars on stderr.
        cached: take answers that are known from the workspace's cache, and keep new ones there.
    Returns:
        The report's folder and its record. The folder lies in the run's; of other models in ``reports/`` of the workspace.
    Raises:
        UserError: a dataset or split does not exist, or the rows were trained on.
        EndpointError: the server is gone; what was answered is kept.
    """
    started = time.monotonic()
    keep_freed_memory()
    if limit is not None:
        suite = suite.model_copy(
            update={"limit": limit, "tasks": [task.model_copy(update={"limit": limit}) for task in suite.tasks]}
        )
    targets = {"tuned": target} | ({"base": baseline} if baseline is not None else {})
    with benches_for(targets, workspace, cached=cached, dtype=suite.dtype) as benches:
        results = [_run_task(task, benches, suite, data, progress) for task in suite.all_tasks()]
    record = assemble(suite, results, benches.about, targets)
    record = record.model_copy(update={"seconds": round(time.monotonic() - started, 2)})
    record = record.model_copy(update={"gate": judge(record, suite.thresholds)})
    folder = write_report(report_root(target, workspace), record, {task.name: result for task, result in results}, suite)
    if target.run is not None and target.export is None:
        from studio.adapters.card import write_model_card

        write_model_card(target.run)
    return folder, record


def report_root(target: Target, workspace: Workspace) -> Path:
    """Folder under which a model's reports lie: ``evals/`` of its run or export, else ``reports/<name>/`` of the workspace."""
    if (folder := target.export or target.run) is not None:
        return folder / "evals"
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", target.name.partition("://")[2] or target.name).strip("-.")
    return workspace.root / "reports" / (name[-80:] or "model")


def assemble(
    suite: Suite,
    results: Sequence[tuple[TaskRecord, TaskResult]],
    about: dict[str, dict[str, Any]],
    targets: dict[str, Target],
) -> ReportRecord:
    """One record from the results of all tasks: metrics named ``task.metric`` (bare in the short form), Holm over all
    differences.
    """
    # Predictions made elsewhere may bring a baseline of their own.
    found = {label for _, result in results for label in result.scores}
    labels = [label for label in ("tuned", "base") if label in targets or label in found]
    scores: dict[str, list[Score]] = {label: [] for label in labels}
    differences: list[Difference] = []
    groups: list[GroupScores] = []
    for task, result in results:
        prefix = "" if suite.short else f"{task.name}."
        told = with_types(task, result.scores, about)
        for label in labels:
            for score in told.get(label, []):
                scores[label].append(score.model_copy(update={"metric": prefix + score.metric, "task": task.name}))
        differences += [
            item.model_copy(update={"metric": prefix + item.metric, "task": task.name}) for item in result.differences
        ]
        groups += [
            item.model_copy(update={"task": task.name, "scores": with_types(task, item.scores, about)}) for item in result.groups
        ]
    read = next((result.data for _, result in results if result.data.get("split")), {})
    for label in labels:
        name = targets[label].name if label in targets else "predictions of the baseline"
        about.setdefault(label, {"kind": "not asked", "name": name, "base_sha256": None})
    warnings = _warnings(suite, results) + type_warnings({label: about[label] for label in labels}, suite.dtype)
    return ReportRecord(
        suite=suite.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset={"name": None, "rows": sum(result.rows for _, result in results)} | (read if len(results) == 1 or read else {}),
        models={label: about[label] for label in labels},
        scores=scores,
        differences=corrected(differences),
        groups=groups,
        tasks=[task for task, _ in results],
        settings={**suite.model_dump(mode="json"), "warnings": warnings},
        studio_version=__version__,
    )


def _warnings(suite: Suite, results: Sequence[tuple[TaskRecord, TaskResult]]) -> list[str]:
    """Notes of all tasks, with the task's name before them where there are several; what was not computed comes first."""
    missing = [f"{task.name}: not computed: {task.reason}" for task, _ in results if task.reason]
    return missing + [f"{'' if suite.short else task.name + ': '}{note}" for task, result in results for note in result.notes]


def _run_task(task: Task, benches: Benches, suite: Suite, data: Path | None, progress: bool) -> tuple[TaskRecord, TaskResult]:
    """One task, with its place in the record; a task whose data or tool cannot be had leaves a reason instead of scores."""
    started = time.monotonic()
    target = benches.targets["tuned"]
    context: TaskContext[Any] = TaskContext(
        labels=list(benches.targets),
        task=task,
        seed=suite.seed,
        resamples=suite.resamples,
        workspace=benches.workspace,
        open_subject=partial(benches.subject, task.type),
        open_beside=partial(benches.beside, task.type),
        run_folder=target.run,
        run=run_record(target),
        dataset=data,
        progress=progress,
        targets=benches.targets,
    )
    reason = None
    try:
        result: TaskResult = TASKS.get(task.type)(context)
        _tell_silence(context, result, benches.about)
        _tell_thoughts(context, result)
        if task.type in ASKED:
            result.limits = result.limits + rounding_limit([benches.about.get(label, {}) for label in result.scores])
        for label, about in result.about.items():
            benches.about.setdefault(label, about)
    except NotComputedError as error:
        if suite.short:
            raise UserError(str(error)) from error
        reason = str(error)
        result = TaskResult(scores={label: _without_values(task, reason) for label in benches.targets})
    record = TaskRecord(
        name=task.key,
        type=task.type,
        title=result.title or task.key.replace("_", " "),
        reason=reason,
        rows=result.rows,
        seconds=round(time.monotonic() - started, 2),
        data=result.data,
        settings=task.model_dump(mode="json"),
        notes=result.notes,
        limits=result.limits,
        marks=result.marks,
        lead=result.lead,
    )
    return record, result


def _tell_silence(context: TaskContext[Any], result: TaskResult, about: dict[str, dict[str, Any]]) -> None:
    """Say in the result how many answers say nothing, and which are from another model than was asked."""
    for label, silence in context.silence.items():
        model = about.get(label, {})
        result.notes = result.notes + silence.remarks(label, model.get("name"))
        others = sorted(set(model.get("answered_as", ())) - set(silence.models))
        if others and not silence.models:
            result.notes = [*result.notes, f"{label}: the server says that {', '.join(others)} answers, not {model.get('name')}."]


def _tell_thoughts(context: TaskContext[Any], result: TaskResult) -> None:
    """Say in the result how many answers had thoughts, and show some, whatever the task scores."""
    for label, thinking in context.thinking.items():
        result.notes = result.notes + thinking.remarks(label, context.decoding.max_new_tokens)
        cards = [
            Card(
                label,
                [Part(prompt[-1]["role"], prompt[-1]["content"])],
                [Part(label, scored_text(answer), thought=answer.thought)],
            )
            for prompt, answer in thinking.examples[: context.task.examples_shown]
        ]
        result.cards = result.cards + ([CardGroup(f"Thoughts of {label}", cards)] if cards else [])


def _without_values(task: Task, reason: str) -> list[Score]:
    """The metrics of a task that was not computed, so that nothing is missing silently."""
    return [
        Score(
            metric=name,
            value=None,
            unit="",
            better="neither",
            n=0,
            coverage=0.0,
            made_with="not computed",
            reason=reason,
            title=name,
        )
        for name in task.metric_names() or []
    ]
