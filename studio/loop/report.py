"""The report of a round: what was learnt from, what was trained, how it measures beside the model in use, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.core.files import write_text
from studio.core.records import ReportRecord
from studio.evals.numbers import interval_text, number
from studio.loop.rounds import Round

FILE = "report.md"


def write_report(round_: Round, reports: Mapping[str, ReportRecord], *, better: bool, reasons: Sequence[str]) -> Path:
    """Write ``report.md`` into the round's folder; gives back where it is."""
    record = round_.record
    gathered = round_.of("gather")
    candidate = round_.of("preferences")["candidate"]
    lines = [
        f"# Round {record.number} of {record.project}",
        "",
        f"Begun {record.created}. In use: {record.production['run']} (alias {record.alias}). This round's model: {candidate}.",
        "",
        f"**{'Better' if better else 'Not better'}.** {'. '.join(reason.rstrip('.') for reason in reasons)}.",
        "",
        "## What was said",
        "",
        f"{gathered['judgements']} new judgements of {gathered['people']} people. Left out: {gathered['at_odds']} people at odds "
        f"with everybody, {gathered['flooded_hours']} flooded hours.",
        "",
        *_rows(gathered),
        "## What was trained",
        "",
        *_trained(round_),
        *(line for what, report in reports.items() for line in _measured(what, report, round_.of("measure")["reports"][what])),
    ]
    path = round_.folder / FILE
    write_text(path, "\n".join(lines).rstrip() + "\n")
    return path


def _rows(gathered: Mapping[str, Any]) -> list[str]:
    """Rows by what they are for, and what was left out."""
    lines = ["| rows | |", "|---|---:|", *(f"| {name} | {count} |" for name, count in gathered["rows"].items()), ""]
    for form, reasons in gathered["left_out"].items():
        if reasons:
            lines.append(f"Left out of {form}: {', '.join(f'{count} {reason}' for reason, count in sorted(reasons.items()))}.")
    return [*lines, ""] if lines[-1] else lines


def _trained(round_: Round) -> list[str]:
    """The trainings, or why there was none."""
    found = []
    for data, step in (("sft data", "sft"), ("preference data", "preferences")):
        made = round_.of(data)
        run, form = round_.of(step)["run"], made.get("form", "sft")
        found.append(f"- {form}: {run} on {made['dataset']}" if run else f"- {form}: none ({made['why']})")
    return [*found, ""]


def _measured(what: str, report: ReportRecord, folder: str) -> list[str]:
    """The table of one report."""
    used = {score.metric: score for score in report.scores.get("base", [])}
    differences = {item.metric: item for item in report.differences}
    lines = [
        f"## {what.capitalize()}",
        "",
        "| metric | in use | this round | difference | 95% interval | verdict |",
        "|---|---:|---:|---:|---|---|",
    ]
    for score in report.scores["tuned"]:
        item = differences.get(score.metric)
        before = used[score.metric].value if score.metric in used else None
        change = number(item.value if item else None, signed=True)
        interval = interval_text(item.low, item.high, signed=True) if item else "–"
        verdict = item.verdict if item else ""
        lines.append(f"| {score.metric} | {number(before)} | {number(score.value)} | {change} | {interval} | {verdict} |")
    return [*lines, "", f"{report.dataset.get('rows', '')} rows. Report: {folder}/report.html", ""]
