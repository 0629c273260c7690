"""``studio eval``: measure models with a suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli.output import emit_json, json_wanted, note, open_workspace, say, table, warn

if TYPE_CHECKING:
    from studio.core.records import ReportRecord


def evaluate(
    suite: Annotated[str, typer.Argument(help="Suite: a name such as chatbot, or the path of a YAML file.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="A run (name, id, folder, 'last'), an export's folder, a base or merged folder, or http://host:port/v1#name; "
            "may be repeated. Not needed where all predictions come from files.",
        ),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option("--baseline", help="What to compare with: 'base' (the run's own), another model, or 'none'."),
    ] = "base",
    data: Annotated[
        str | None, typer.Option("--data", help="Dataset to take the rows from, instead of the one the run was trained on.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Ask only this many rows per task.")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="For an endpoint: the run, base or folder whose tokenizer and template it uses."),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Use answers that are known from an earlier or killed evaluation.")
    ] = True,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the suite; may be repeated.")
    ] = None,
    inception_weights: Annotated[
        str | None,
        typer.Option("--inception-weights", help="For pictures: file of the reference Inception weights. Nothing is downloaded."),
    ] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with code 3 when a threshold of the suite is not met.")] = False,
) -> None:
    """Measure models against their base, and write a report for each."""
    from studio.core.errors import UserError
    from studio.evals.suites import check_has_thresholds, load_suite, with_setting

    plan = load_suite(suite, overrides or [])
    if inception_weights is not None:
        option = "--inception-weights"
        plan = with_setting(plan, "inception_weights", inception_weights, option=option, meant_for="pictures")
    if gate:
        check_has_thresholds(plan)
    workspace = open_workspace()
    data_folder = workspace.find_dataset(data) if data else None
    from studio.evals.runner import evaluate_model
    from studio.evals.targets import find_baseline, find_model, predictions_target

    # All names are looked up before anything is asked: a misspelt one should not cost minutes.
    targets = [find_model(reference, workspace, tokenizer=tokenizer) for reference in model or []]
    if not targets:
        if not all(getattr(task, "predictions", None) for task in plan.all_tasks()):
            raise UserError("no model is named. Give one with --model RUN (studio runs list shows them).")
        targets = [predictions_target(plan.all_tasks())]
    bases = [find_baseline(baseline, target, workspace, tokenizer=tokenizer) for target in targets]
    reports: list[tuple[str, Path, ReportRecord]] = []
    for target, base in zip(targets, bases, strict=True):
        note(f"measuring {target.name} with the suite {plan.name}")
        report, record = evaluate_model(
            target, plan, workspace=workspace, baseline=base, limit=limit, data=data_folder, progress=True, cached=cache
        )
        reports.append((target.name, report, record))
        below = () if json_wanted() else tuple(f"{task.name}: not computed:" for task in record.tasks if task.reason)
        for warning in record.settings["warnings"]:
            if not warning.startswith(below):  # the table says these itself
                warn(warning)
        if not json_wanted():
            _print_report(report, record)
    if json_wanted():
        _print_json(reports, gate)
    elif len(reports) > 1:
        say("\nside by side")
        columns, rows = side_by_side([(name, record) for name, _, record in reports])
        table(columns, rows, right=columns[1:])
    if gate:
        _hold_to_gate([(name, record) for name, _, record in reports], len(plan.thresholds))
    _refuse_nothing([(name, record) for name, _, record in reports])


def _refuse_nothing(reports: list[tuple[str, ReportRecord]]) -> None:
    """A report without a single score is no measurement, and a script has to notice.

    Raises:
        UserError: no task of a suite could be computed; names the first reason.
    """
    from studio.core.errors import UserError

    for name, record in reports:
        reasons = [task.reason for task in record.tasks]
        if reasons and all(reasons):
            raise UserError(f"nothing of the suite {record.suite} was measured of {name}: {reasons[0]}")


def _hold_to_gate(reports: list[tuple[str, ReportRecord]], thresholds: int) -> None:
    """Say that the gate is met.

    Raises:
        GateNotMetError: for some model it is not; names every threshold that is missed or not shown, by model where there are
            several.
    """
    from studio.core.errors import GateNotMetError
    from studio.core.telling import counted
    from studio.evals.gate import gate_sentence

    found = [(name, gate_sentence(record.gate)) for name, record in reports]
    parts = [f"{name + ': ' if len(reports) > 1 else ''}{sentence}" for name, sentence in found if sentence]
    if parts:
        raise GateNotMetError(" | ".join(parts))
    note(f"gate met: {counted(thresholds, 'threshold', every=True)}")


def _print_report(report: Path, record: ReportRecord) -> None:
    """The table of one report and where its page lies."""
    from studio.evals.score_table import correction_note, score_table

    columns, rows = score_table(record)
    table(columns, rows, right=[name for name in columns if name not in {"metric", "verdict"}])
    if (note_below := correction_note(record)) is not None:
        say(f"\n{note_below}")
    for task in record.tasks:
        if task.reason:
            say(f"not computed: {task.name}: {task.reason}")
    asked = sum(task.rows for task in record.tasks) or record.dataset["rows"]
    types = sorted({str(model["dtype"]) for model in record.models.values() if model.get("dtype")})
    computed = f", computed in {' and '.join(types)}" if types else ""
    say(f"\n{asked} rows in {record.seconds:.0f} s{computed}. Report: {report / 'report.html'}")


def _print_json(reports: list[tuple[str, Path, ReportRecord]], gate: bool) -> None:
    """One document: the report of one model as it is, several under ``reports``."""
    documents = [
        {
            "report": str(report),
            **record.model_dump(mode="json"),
            "gate": {"asked": gate, "missed": [], "not_shown": [], **record.gate},
        }
        for _, report, record in reports
    ]
    emit_json(documents[0] if len(documents) == 1 else {"reports": documents})


def side_by_side(reports: list[tuple[str, ReportRecord]]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of several models' values, one column each; a mark where a model is better or worse than its base."""
    from studio.evals.numbers import number

    marks = {"better": " ▲", "worse": " ▼"}
    metrics = dict.fromkeys(score.metric for _, record in reports for score in record.scores["tuned"])
    rows = []
    for metric in metrics:
        row = [metric]
        for _, record in reports:
            value = next((score.value for score in record.scores["tuned"] if score.metric == metric), None)
            verdict = next((item.verdict for item in record.differences if item.metric == metric), "")
            row.append(number(value) + marks.get(verdict, ""))
        rows.append(row)
    return ["metric", *(name for name, _ in reports)], rows
