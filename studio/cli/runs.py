"""``studio runs``: what was trained, what it gave, how two runs differ, and what can be deleted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import output
from studio.cli.lineage import lineage
from studio.core.errors import UserError
from studio.train.kinds import EXAMPLE_PRESET

if TYPE_CHECKING:
    from studio.core.runs import RunSummary
    from studio.evals.trend import Trend

app = typer.Typer(help="List, show, compare, trace and prune runs.")
app.command("lineage")(lineage)

RunArgument = Annotated[str, typer.Argument(help="A run: its name (the newest), its id, its folder, or 'last'.")]


@app.command("list")
def list_runs() -> None:
    """List all runs, newest first."""
    from studio.core.runs import summarize_run

    workspace = output.open_workspace()
    runs = [summarize_run(folder) for folder in workspace.list_runs()]
    if output.json_wanted():
        output.emit_json([_as_json(run) for run in runs])
        return
    output.table(
        ["name", "id", "status", "base", "dataset", "steps", "final loss", "validation loss", "scores", "size"],
        [_row(run) for run in runs],
        right=["steps", "final loss", "validation loss", "size"],
        empty=f"No runs in {workspace.runs} yet. Train one: studio train {EXAMPLE_PRESET} --data DATASET",
    )
    for run in runs:
        if run.status == "damaged":
            output.warn(f"{run.reference}: {run.problem}")


@app.command("show")
def show(run: RunArgument) -> None:
    """Show everything that is recorded about one run."""
    from studio.core.runs import flatten, settings_of, summarize_run

    summary = summarize_run(output.open_workspace().find_run(run))
    if output.json_wanted():
        output.emit_json(_as_json(summary) | {"settings": settings_of(summary.folder)})
        return
    output.say(f"{summary.reference}: {summary.status}" + (f" ({summary.problem})" if summary.problem else ""))
    output.pairs([("folder", summary.folder), ("size", output.size_text(summary.bytes))])
    if summary.record is None:
        return
    record = summary.record
    output.pairs([(name, getattr(record, name)) for name in ("kind", "method", "seed", "created", "finished", "git_commit")])
    for section in ("base", "dataset", "template", "result", "mask_report", "plan", "machine", "versions"):
        values = flatten(getattr(record, section))
        values.pop("first_step_at", None)  # a clock reading, for benchmarks
        _section(section.replace("_", " "), values)
    _section("settings", settings_of(summary.folder))
    for suite, report in summary.reports.items():
        output.say(f"\nscores of {suite}, {report.created}")
        output.table(["metric", *report.scores], _score_rows(report), right=list(report.scores))
        for difference in report.differences:
            output.say(f"{difference.metric}: {difference.verdict}")
    if summary.checkpoints:
        output.say(f"\ncheckpoints: {', '.join(path.name for path in summary.checkpoints)}")


@app.command("compare")
def compare(
    runs: Annotated[list[str], typer.Argument(help="Two or more runs: names, ids, folders, or 'last'.")],
) -> None:
    """Compare runs: the settings that differ, losses and scores."""
    from studio.core.runs import compared_figures, differing_settings, summarize_run

    workspace = output.open_workspace()
    summaries = [summarize_run(workspace.find_run(reference)) for reference in runs]
    if len({summary.folder for summary in summaries}) < 2:
        raise UserError(f"comparing takes two different runs, {len(runs)} given ({', '.join(runs)}). See: studio runs list")
    for summary in summaries:
        if summary.record is None:
            raise UserError(f"{summary.reference} cannot be compared: {summary.problem}")
    sections: dict[str, Any] = {
        "settings that differ": differing_settings(summaries),
        "losses": compared_figures(summaries),
        "scores": _scores(summaries),
    }
    if output.json_wanted():
        names = [summary.reference for summary in summaries]
        output.emit_json({"runs": names} | sections)
        return
    for title, rows in sections.items():
        output.say(f"\n{title}")
        lines = [[name, *values] for name, values in rows.items()]
        output.table(["", *(summary.reference for summary in summaries)], lines, empty="none")


@app.command("trend")
def trend(
    run: Annotated[str, typer.Argument(help="A name (all its runs), or one run: its id, its folder, or 'last'.")],
    suite: Annotated[str | None, typer.Argument(help="Only the evaluations with this suite.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="File of the page; default: reports/trends/ of the workspace.")] = None,
) -> None:
    """Show how scores moved over the evaluations of a run or of all runs of a name, and write a page of charts."""
    from studio.core.files import write_text
    from studio.evals.trend import find_followed, read_trends
    from studio.evals.trend_page import render_trends

    workspace = output.open_workspace()
    followed = find_followed(run, workspace)
    trends, problems = read_trends(followed, suite)
    if to is not None and to.exists():
        raise UserError(f"{to} exists already and is not overwritten. Give another name: --to FILE")
    place = to or workspace.root / "reports" / "trends" / f"{followed.name.replace('/', '-')}.html"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text(place, render_trends(followed, trends, place.resolve()))
    for problem in problems:
        output.warn(problem)
    if output.json_wanted():
        suites = [_trend_json(item) for item in trends]
        output.emit_json({"name": followed.name, "family": followed.family, "page": place, "suites": suites})
        return
    for item in trends:
        _print_trend(item)
    output.say(f"\nPage: {place}")


def _trend_json(trend: Trend) -> dict[str, Any]:
    """The evaluations of a suite, and every point of every metric."""
    from studio.evals.trend_page import gate_text

    evaluations = [
        {"number": item.number, "created": item.record.created, "run": item.run, "report": item.folder, "gate": gate_text(item)}
        for item in trend.evaluations
    ]
    metrics = {series.metric: series.points for series in trend.series}
    return {"suite": trend.suite, "evaluations": evaluations, "metrics": metrics}


def _print_trend(trend: Trend) -> None:
    """The evaluations of a suite, then each metric: first, last but one, newest."""
    from studio.evals.trend import segments
    from studio.evals.trend_page import gate_text

    output.say(f"\n{trend.suite}")
    rows = [[item.number, item.record.created[:16].replace("T", " "), item.run, gate_text(item)] for item in trend.evaluations]
    output.table(["#", "made", "run", "gate"], rows)
    output.say()
    lines = []
    for series in trend.series:
        alike = segments(series.points)
        values = [_score_text(point.tuned) for part in alike for point in part]
        before = values[-2] if len(values) > 1 else None
        lines.append([series.metric, values[0] if len(values) > 2 else None, before, values[-1], len(values), len(alike[-1])])
    output.table(["metric", "first", "before", "newest", "measured", "alike"], lines, right=["measured", "alike"])
    if any(line[4] != line[5] for line in lines):
        output.say("alike: so many of the newest were measured alike (rows, settings, number type); others cannot be compared.")


@app.command("prune")
def prune(
    runs: Annotated[list[str] | None, typer.Argument(help="Only these runs; without any, all of the workspace.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete. Without it, what would go is only listed.")] = False,
    resumable: Annotated[bool, typer.Option("--resumable", help="Also unfinished runs that could be resumed.")] = False,
) -> None:
    """Delete failed and unfinished runs and the checkpoints of finished ones; a finished run's adapter always stays."""
    from studio.core.runs import find_removable, remove

    workspace = output.open_workspace()
    folders = [workspace.find_run(reference) for reference in runs] if runs else workspace.list_runs()
    items = find_removable(workspace, folders, resumable=resumable)
    total = sum(item.bytes for item in items)
    for item in items if yes else []:
        remove(item)
    if output.json_wanted():
        output.emit_json({"deleted": yes, "bytes": total, "items": items})
        return
    rows = [[_relative(item.path, workspace.runs), item.reason, output.size_text(item.bytes)] for item in items]
    output.table(["what", "why", "size"], rows, right=["size"], empty="Nothing to prune.")
    if items and yes:
        output.say(f"Deleted {len(items)}, {output.size_text(total)} ({total} bytes).")
    elif items:
        output.say(f"Would delete {len(items)}, {output.size_text(total)} ({total} bytes). Do it: add --yes")


def _row(run: RunSummary) -> list[object]:
    """One line of the list."""
    from studio.core.runs import FIGURES

    name, identity = run.folder.parent.name, run.folder.name
    if run.record is None:
        return [name, identity, run.status, None, None, None, None, None, None, output.size_text(run.bytes)]
    record = run.record
    figures = [record.result.get(name) for name in FIGURES.values()]
    base, dataset = record.base.get("name"), record.dataset.get("name")
    return [name, identity, run.status, base, dataset, *figures, _verdicts(run), output.size_text(run.bytes)]


def _verdicts(run: RunSummary) -> str | None:
    """``chatbot: 5 better, 1 worse`` for each suite."""
    parts = []
    for suite, report in run.reports.items():
        better = sum(difference.verdict == "better" for difference in report.differences)
        worse = sum(difference.verdict == "worse" for difference in report.differences)
        counted = f"{better} better, {worse} worse" if report.differences else f"{sum(map(len, report.scores.values()))} scores"
        parts.append(f"{suite}: {counted}")
    return "; ".join(parts) or None


def _as_json(run: RunSummary) -> dict[str, Any]:
    """A run as one JSON object: where it is, how it stands, its record and newest reports."""
    return {
        "reference": run.reference,
        "folder": run.folder,
        "status": run.status,
        "bytes": run.bytes,
        "problem": run.problem,
        "record": run.record,
        "reports": run.reports,
        "checkpoints": [path.name for path in run.checkpoints],
    }


def _section(title: str, values: dict[str, Any]) -> None:
    """A titled block of ``name value`` lines; nothing when empty."""
    if values:
        output.say(f"\n{title}")
        output.pairs([(f"  {name}", value) for name, value in values.items()])


def _score_rows(report: Any) -> list[list[object]]:
    """Metric by metric, the value of every measured model with its interval."""
    by_label = {label: {score.metric: score for score in scores} for label, scores in report.scores.items()}
    metrics = dict.fromkeys(metric for scores in by_label.values() for metric in scores)
    return [[metric, *(_score_text(by_label[label].get(metric)) for label in by_label)] for metric in metrics]


def _score_text(score: Any) -> str | None:
    """``17.0 [16.2, 17.9]``, or the value alone when it has no interval."""
    if score is None or score.value is None:
        return None
    value = output.cell_text(float(score.value))
    if score.low is None or score.high is None:
        return value
    return f"{value} [{output.cell_text(float(score.low))}, {output.cell_text(float(score.high))}]"


def _scores(summaries: list[RunSummary]) -> dict[str, list[Any]]:
    """``suite metric`` of the tuned model in every run that was measured."""
    columns: list[dict[str, Any]] = []
    for summary in summaries:
        column: dict[str, Any] = {}
        for suite, report in summary.reports.items():
            tuned = report.scores.get("tuned") or next(iter(report.scores.values()), [])
            column |= {f"{suite} {score.metric}": _score_text(score) for score in tuned}
        columns.append(column)
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name) for column in columns] for name in names}


def _relative(path: Path, root: Path) -> str:
    """A path below the runs folder, shortened."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
