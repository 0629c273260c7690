"""Evaluating a run: read the rows, ask the tuned model and its baseline the same, compare, write the Report."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio import __version__
from studio.adapters.card import write_model_card
from studio.core.errors import UserError
from studio.core.progress import Progress
from studio.core.records import Difference, ReportRecord, RunRecord
from studio.core.workspace import Workspace, read_dataset, read_run
from studio.data.rows import ChatRow, read_split
from studio.evals.evidence import Evidence, Question, question_from
from studio.evals.generation import Decoding
from studio.evals.leaks import Leak, find_leak, run_dataset
from studio.evals.metrics.base import Metric, Statistic
from studio.evals.opening import OWN_BASE, find_baseline, open_baseline, open_tuned
from studio.evals.report import write_report
from studio.evals.scoring import difference, example_table, score
from studio.evals.subjects import Subject
from studio.evals.suites import metric as metric_named
from studio.schema.suite import Suite


def evaluate_run(
    run_folder: Path,
    suite: Suite,
    *,
    baseline: str | None = OWN_BASE,
    limit: int | None = None,
    data: Path | None = None,
    progress: bool = False,
) -> tuple[Path, ReportRecord]:
    """Measure a run with a suite, beside a baseline, and write the Report into the run's folder.

    Args:
        baseline: ``base`` is the run's own base (adapter off, nothing loaded twice), ``none`` measures the run alone; anything
            else is another run or a base model's name, folder or Hub id. None means ``base``.
        limit: ask only this many rows; wins over the suite's own.
        data: folder of a Dataset; wins over the suite's and the run's.
        progress: show progress bars on stderr.
    Returns:
        The report's folder and its record.
    Raises:
        UserError: the run, dataset, split or baseline does not exist, or the rows were trained on.
    """
    started = time.monotonic()
    run_folder = run_folder.resolve()
    run = read_run(run_folder)
    workspace = Workspace(run_folder.parents[2]) if run_folder.parents[1].name == "runs" else Workspace.open()
    folder = data or (workspace.find_dataset(suite.data.dataset) if suite.data.dataset else run_dataset(run, workspace))
    rows, leak, warnings = choose_rows(folder, suite, run, workspace, limit)
    questions = [question_from(row.id, row.messages) for row in rows]
    metrics = [metric_named(name) for name in suite.metrics]
    evidence, about, same_tokens = _ask_both(
        run_folder, run, workspace, baseline or OWN_BASE, questions, suite, metrics, progress
    )
    warnings += _remarks(evidence, len(rows))
    measured = {label: {metric.key: metric.measure(items) for metric in metrics} for label, items in evidence.items()}
    dataset = read_dataset(folder)
    record = ReportRecord(
        suite=suite.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset={
            "path": str(folder),
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "split": suite.data.split,
            "rows": len(rows),
            "rows_in_split": dataset.splits[suite.data.split],
            "trained_on": len(leak.rows),
            "questions_trained_on": leak.questions,
        },
        models=about,
        scores={
            label: [score(metric, values[metric.key], resamples=suite.resamples, seed=suite.seed) for metric in metrics]
            for label, values in measured.items()
        },
        differences=_differences(metrics, measured, suite, same_tokens),
        settings={**suite.model_dump(mode="json"), "warnings": warnings},
        seconds=round(time.monotonic() - started, 2),
        studio_version=__version__,
    )
    report = write_report(run_folder, record, example_table(evidence, measured), metrics, suite)
    write_model_card(run_folder)
    return report, record


def choose_rows(
    folder: Path, suite: Suite, run: RunRecord, workspace: Workspace, limit: int | None
) -> tuple[list[ChatRow], Leak, list[str]]:
    """The rows to ask, what of them was trained on, and what the reader must be warned of.

    Raises:
        UserError: there are no rows, or rows were trained on and the suite does not allow it.
    """
    rows = read_split(folder, suite.data.split)
    if not rows:
        raise UserError(
            f"the split '{suite.data.split}' of the dataset {folder.parent.name} has no rows. "
            "Choose another with --set data.split=validation, or build the dataset with a larger share for it."
        )
    leak = find_leak(rows, folder, run, workspace)
    warnings: list[str] = []
    if leak.checked is not None:
        warnings.append(f"Whether these rows were trained on could not be checked: {leak.checked}")
    if leak.rows and suite.data.training_rows == "refuse":
        raise UserError(
            f"{len(leak.rows)} of {len(rows)} rows of the split '{suite.data.split}' were in this run's training data (the "
            f"first: {rows[leak.rows[0]].id}), so the scores would say nothing about new questions. Choose another split or "
            "dataset, or --set data.training_rows=drop (leave them out) or keep (measure them anyway)."
        )
    if leak.rows and suite.data.training_rows == "drop":
        warnings.append(f"{len(leak.rows)} of {len(rows)} rows were left out because they were in the training data.")
        rows = [row for index, row in enumerate(rows) if index not in set(leak.rows)]
        if not rows:
            raise UserError(f"every row of the split '{suite.data.split}' was in the training data; none is left to ask.")
    elif leak.rows:
        warnings.append(
            f"{len(leak.rows)} of {len(rows)} rows WERE TRAINED ON. These scores show what was memorised, not how the model does "
            "on new questions."
        )
    if leak.questions:
        warnings.append(f"{leak.questions} rows ask a question that was also trained on, with another answer.")
    if suite.data.split == "validation":
        warnings.append("The validation split chose the best checkpoint of training, so its scores are a little flattering.")
    wanted = limit or suite.limit
    if wanted is not None and wanted < len(rows):
        chosen = sorted(random.Random(suite.seed).sample(range(len(rows)), wanted))
        rows = [rows[index] for index in chosen]
    return rows, leak, warnings


def gather(
    subject: Subject, questions: Sequence[Question], suite: Suite, metrics: Sequence[Metric], progress: bool
) -> tuple[list[Evidence], dict[str, float]]:
    """Ask a model everything the metrics need, and the seconds it took."""
    needs = {metric.needs for metric in metrics}
    seconds: dict[str, float] = {}
    likelihoods: Sequence[Any] = [None] * len(questions)
    answers: Sequence[Any] = [None] * len(questions)
    if "likelihood" in needs:
        with _timed(seconds, "likelihood"), _bar(f"{subject.label}: likelihood", len(questions), progress) as advance:
            likelihoods = subject.likelihoods(
                [question.messages for question in questions],
                batch_size=suite.likelihood.batch_size,
                max_length=suite.likelihood.max_length,
                advance=advance,
            )
    if "answers" in needs:
        settings = suite.generation
        decoding = Decoding(settings.max_new_tokens, settings.temperature, settings.top_p, settings.top_k, suite.seed)
        with _timed(seconds, "answers"), _bar(f"{subject.label}: answers", len(questions), progress) as advance:
            answers = subject.answers(
                [question.prompt for question in questions], decoding, batch_size=settings.batch_size, advance=advance
            )
    references = [subject.count_tokens(item.reference) if item.reference is not None else None for item in questions]
    evidence = [Evidence(*parts) for parts in zip(questions, answers, likelihoods, references, strict=True)]
    return evidence, seconds


def _ask_both(
    run_folder: Path,
    run: RunRecord,
    workspace: Workspace,
    baseline: str,
    questions: Sequence[Question],
    suite: Suite,
    metrics: Sequence[Metric],
    progress: bool,
) -> tuple[dict[str, list[Evidence]], dict[str, dict[str, Any]], bool]:
    """Evidence and description of each model, and whether both cut text into the same tokens."""
    # The baseline is found before anything is asked: a misspelt name should not cost minutes.
    other = find_baseline(baseline, run, workspace)
    loaded, tuned = open_tuned(run_folder)
    evidence, about = {}, {}
    evidence["tuned"], seconds = gather(tuned, questions, suite, metrics, progress)
    about["tuned"] = {**tuned.about, "seconds": seconds}
    if other is None:
        return evidence, about, True
    with open_baseline(other, loaded, tuned) as base:
        evidence["base"], seconds = gather(base, questions, suite, metrics, progress)
        about["base"] = {**base.about, "seconds": seconds}
        return evidence, about, base.tokens_like == tuned.tokens_like


def _differences(
    metrics: Sequence[Metric], measured: dict[str, dict[str, Statistic]], suite: Suite, same_tokens: bool
) -> list[Difference]:
    """Paired differences of all metrics; none without a baseline."""
    if "base" not in measured:
        return []
    return [
        difference(
            metric,
            measured["tuned"][metric.key],
            measured["base"][metric.key],
            resamples=suite.resamples,
            seed=suite.seed,
            same_tokens=same_tokens,
        )
        for metric in metrics
    ]


def _remarks(evidence: dict[str, list[Evidence]], asked: int) -> list[str]:
    """What the reader should know about the evidence itself."""
    remarks = []
    for label, items in evidence.items():
        cut = sum(bool(item.likelihood and item.likelihood.cut) for item in items)
        if cut:
            remarks.append(f"{label}: {cut} of {asked} rows were longer than the limit and scored up to it.")
        if any(item.answer for item in items):
            unanswered = sum(item.answer is None for item in items)
            if unanswered:
                remarks.append(
                    f"{label}: {unanswered} of {asked} rows could not be asked (no question, or no room in the context)."
                )
    if asked < 30:
        remarks.append(
            f"Only {asked} rows were asked: intervals from so few are too narrow, and small differences cannot be seen."
        )
    return remarks


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Write down how long a block took."""
    started = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - started, 2)


@contextmanager
def _bar(what: str, total: int, wanted: bool) -> Iterator[Callable[[int], None] | None]:
    """A progress bar's ``advance``, or None when none is wanted."""
    if not wanted:
        yield None
        return
    with Progress(what, total) as bar:
        yield bar.advance
