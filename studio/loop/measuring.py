"""A round's model beside the one in use: on old questions, on new ones, and on what may have been forgotten; and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.core.errors import UserError
from studio.core.records import Difference, ReportRecord, read_record
from studio.core.workspace import Workspace
from studio.evals.gate import gate_sentence, means
from studio.evals.runner import evaluate_model
from studio.evals.suites import load_suite
from studio.evals.targets import find_model
from studio.schema.loop import Improve
from studio.schema.project import Project
from studio.schema.suite import Suite

Say = Callable[[str], None]
Reports = Mapping[str, ReportRecord]

OLD, NEW, GENERAL = "old questions", "new questions", "general"


def suite_of(project: Project, beside: Path) -> Suite:
    """The suite whose thresholds a round has to meet.

    Raises:
        UserError: there is no such suite, or it has no thresholds.
    """
    rules, own = project.improve, beside / "evals" / f"{project.name}.yaml"
    chosen = rules.suite or (str(own) if own.is_file() else "chatbot")
    suite = find_suite(chosen, beside, rules.suite_settings)
    if not suite.thresholds:
        raise UserError(f"the suite {suite.name} has no thresholds, so nothing could be refused by it. Add 'thresholds:' to it.")
    return suite


def find_suite(chosen: str, beside: Path, settings: Sequence[str] = ()) -> Suite:
    """A suite by its name or path; a project's own are found from any folder.

    Raises:
        UserError: there is none.
    """
    own = [place for place in (beside / chosen, beside / "evals" / f"{chosen}.yaml") if place.is_file()]
    return load_suite(own[0] if own else chosen, settings)


def on_new_questions(suite: Suite, name: str) -> Suite:
    """A suite as it is asked of a Dataset of new questions; it has one split, because nothing of it is trained on.

    Under a name of its own, so that the newest report of the suite stays that on the test rows. Few new questions show no
    threshold; what they have to show is that no named metric is worse.
    """
    data = suite.data.model_copy(update={"split": "train"})
    return suite.model_copy(update={"name": f"{suite.name}-{name}", "data": data, "tasks": _on_train(suite), "thresholds": []})


def plans(project: Project, beside: Path, questions: str | None) -> dict[str, tuple[Suite, str | None]]:
    """What is measured, with which suite, on which Dataset (None: what the suite names).

    Args:
        questions: the Dataset of held-out new questions; None where there are too few.
    """
    rules = project.improve
    suite = suite_of(project, beside)
    found: dict[str, tuple[Suite, str | None]] = {OLD: (suite, "field")}
    if questions is not None:
        found[NEW] = (on_new_questions(suite, "new"), questions)
    if rules.general is not None:
        found[GENERAL] = (load_suite(rules.general, rules.general_settings), None)
    return found


def _on_train(suite: Suite) -> list[Any]:
    """Tasks that read the only split."""
    found: list[Any] = []
    for task in suite.tasks:
        data: Any = getattr(task, "data", None)
        reads = data is not None and "split" in type(data).model_fields
        found.append(task.model_copy(update={"data": data.model_copy(update={"split": "train"})}) if reads else task)
    return found


def measure(suite: Suite, candidate: str, used: str, workspace: Workspace, *, data: Path | None) -> Path:
    """Measure a run beside another; gives back the report's folder."""
    folder, _ = evaluate_model(
        find_model(candidate, workspace), suite, workspace=workspace, baseline=find_model(used, workspace), data=data
    )
    return folder


def read_reports(folders: Mapping[str, str]) -> dict[str, ReportRecord]:
    """The records of reports by what was measured."""
    return {what: read_record(Path(folder) / "scores.json", ReportRecord) for what, folder in folders.items()}


def verdict(reports: Reports, rules: Improve, suite: Suite) -> tuple[bool, list[str]]:
    """Whether the round's model is better than the one in use, and why or why not, in sentences.

    It is where the thresholds hold on old questions and in general, one of the named metrics is shown better on old or new
    questions (corrected for all of a suite's comparisons), and none of them is shown worse.
    """
    against: list[str] = []
    for what in (OLD, GENERAL):
        if what in reports and (sentence := gate_sentence(reports[what].gate)):
            against.append(f"{what}: {sentence}")
    named = rules.better or [threshold.metric for threshold in suite.thresholds]
    better = [(what, item) for what, item in _differences(reports, named) if item.verdict == "better"]
    worse = [(what, item) for what, item in _differences(reports, named) if item.verdict == "worse"]
    against += [f"{what}: {item.metric} is worse by {_change(item)}" for what, item in worse]
    if not better:
        measured = ", ".join(what for what in (OLD, NEW) if what in reports)
        against.append(f"none of {', '.join(dict.fromkeys(named))} is shown better on {measured}")
    gained = [f"{what}: {item.metric} is better by {_change(item)}" for what, item in better]
    return not against, against or gained


def _differences(reports: Reports, named: Sequence[str]) -> list[tuple[str, Difference]]:
    """The comparisons of the named metrics on old and new questions.

    Raises:
        UserError: a metric that the rules name was not measured.
    """
    found = [
        (what, item)
        for what in (OLD, NEW)
        if what in reports
        for item in reports[what].differences
        if any(means(item, name) for name in named)
    ]
    known = [item.metric for what in (OLD, NEW) if what in reports for item in reports[what].differences]
    for name in named:
        if not any(means(item, name) for _, item in found):
            raise UserError(
                f"'improve.better' names {name!r}, which was not measured. Measured: {', '.join(dict.fromkeys(known))}."
            )
    return found


def _change(item: Difference) -> str:
    """A difference with its interval."""
    assert item.value is not None
    if item.low is None or item.high is None:
        return f"{abs(item.value):.4g}"
    return f"{abs(item.value):.4g} (95% interval of the difference {item.low:.4g} to {item.high:.4g})"
