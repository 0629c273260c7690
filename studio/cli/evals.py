"""``studio eval``: measure a run with a suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli.output import emit_json, json_wanted, note, open_workspace, say, table, warn

if TYPE_CHECKING:
    from studio.core.records import ReportRecord


def evaluate(
    suite: Annotated[str, typer.Argument(help="Suite: a name such as chatbot, or the path of a YAML file.")],
    model: Annotated[str, typer.Option("--model", help="Run to measure: its name, id or folder, or 'last'.")],
    baseline: Annotated[
        str,
        typer.Option("--baseline", help="What to compare with: 'base' (the run's own), another run, a base model, or 'none'."),
    ] = "base",
    data: Annotated[
        str | None, typer.Option("--data", help="Dataset to take the rows from, instead of the one the run was trained on.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Ask only this many rows.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the suite; may be repeated.")
    ] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with code 3 when a threshold of the suite is not met.")] = False,
) -> None:
    """Measure a tuned model against its base on held-out rows, and write a report."""
    from studio.core.errors import ConfigError
    from studio.evals.suites import load_suite

    plan = load_suite(suite, overrides or [])
    if gate and not plan.thresholds:
        raise ConfigError(f"--gate needs thresholds, and the suite {plan.name} has none. Add 'thresholds:' to it.")
    workspace = open_workspace()
    run_folder = workspace.find_run(model)
    data_folder = workspace.find_dataset(data) if data else None
    note(f"measuring {run_folder.parent.name}/{run_folder.name} with the suite {plan.name}")
    from studio.evals.gate import check_gate, missed_thresholds
    from studio.evals.runner import evaluate_run

    report, record = evaluate_run(run_folder, plan, baseline=baseline, limit=limit, data=data_folder, progress=True)
    for warning in record.settings["warnings"]:
        warn(warning)
    if json_wanted():
        missed = missed_thresholds(record, plan.thresholds)
        emit_json({"report": str(report), "gate": {"asked": gate, "missed": missed}, **record.model_dump(mode="json")})
    else:
        columns, rows = score_table(record)
        table(columns, rows, right=[name for name in columns if name not in {"metric", "verdict"}])
        say(f"\n{record.dataset['rows']} rows in {record.seconds:.0f} s. Report: {report / 'report.html'}")
    if gate:
        check_gate(record, plan.thresholds)
        note(f"gate met: all {len(plan.thresholds)} thresholds")


def score_table(record: ReportRecord) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table metric, base, tuned, difference with interval, verdict; without a base, the scores."""
    from studio.evals.numbers import interval_text, number

    tuned = {score.metric: score for score in record.scores["tuned"]}
    if "base" not in record.scores:
        return ["metric", "value", "95% interval"], [
            [name, number(score.value), interval_text(score.low, score.high)] for name, score in tuned.items()
        ]
    base = {score.metric: score for score in record.scores["base"]}
    rows = [
        [
            item.metric,
            number(base[item.metric].value),
            number(tuned[item.metric].value),
            number(item.value, signed=True),
            interval_text(item.low, item.high, signed=True),
            item.verdict,
        ]
        for item in record.differences
    ]
    return ["metric", "base", "tuned", "difference", "95% interval", "verdict"], rows
