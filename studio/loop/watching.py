"""One look at a model in use: its traffic, hours, users, reports, trial; and the looks one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError, UserError
from studio.core.runs import newest_reports
from studio.core.workspace import Workspace
from studio.evals.gate import gate_sentence
from studio.feedback.store import FILE_NAME, FeedbackStore
from studio.loop.alerts import Alarm, deliver, write_prometheus
from studio.loop.bursts import HOUR, Burst, find_bursts
from studio.loop.canary import Trial, judge_canary
from studio.loop.memory import Memory
from studio.loop.misuse import find_misuse
from studio.loop.rounds import AHEAD
from studio.loop.signals import Embed, Finding, Traffic, compare_traffic
from studio.loop.worsening import Measured
from studio.schema.loop import CanaryRules, WatchRules, duration_seconds
from studio.schema.project import Project
from studio.serve.aliases import ever_behind, list_aliases, list_canaries
from studio.serve.state import StatePaths

_DAY = 86_400.0
_JUDGEMENTS = ("ratings", "corrections", "votes", "annotations")


@dataclass
class Look:
    """What one look found."""

    now: float
    findings: list[Finding] = field(default_factory=list)
    bursts: list[Burst] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    trial: Trial | None = None
    scores: list[Measured] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)


def look(
    project: Project,
    workspace: Workspace,
    *,
    now: float | None = None,
    embed: Embed | None = None,
) -> Look:
    """Look once; nothing is written. Trouble with the file is an alarm, not an error: a watch outlives what it watches."""
    found = Look(time.time() if now is None else now)
    rules = project.watch.rules
    paths = StatePaths.of(workspace)
    try:
        _look_at_alias(found, rules, workspace, paths)
        if not (workspace.root / FILE_NAME).is_file():
            found.notes.append(f"nothing was asked or said yet: there is no {workspace.root / FILE_NAME}")
            return found
        store = FeedbackStore(workspace.root / FILE_NAME)
        try:
            _look_at_rows(found, project, store, paths, embed)
        finally:
            store.close()
    except StudioError as error:
        found.alarms.append(Alarm("file", "file", str(error)))
    return found


def _look_at_alias(found: Look, rules: WatchRules, workspace: Workspace, paths: StatePaths) -> None:
    """The alias, the run behind it, and its reports."""
    now = list_aliases(paths.aliases).get(rules.alias)
    if now is None:
        found.notes.append(
            f"there is no alias {rules.alias!r} yet (studio serve promote RUN --as {rules.alias}): every model is looked at"
        )
        return
    try:
        folder = workspace.find_run(now["run"])
    except UserError:
        sentence = (
            f"{rules.alias} stands for {now['run']}, which is gone from {workspace.runs}: the next start serves nothing there"
        )
        found.alarms.append(Alarm("alias", "alias", sentence))
        return
    reports = newest_reports(folder)
    for suite in rules.suites:
        report = reports.get(suite)
        if report is None:
            found.alarms.append(Alarm(f"report {suite}", "scores", f"{now['run']} was never measured with the suite {suite}"))
            continue
        if sentence := gate_sentence(report.gate):
            found.alarms.append(Alarm(f"gate {suite}", "scores", f"{now['run']}, suite {suite}: {sentence}"))
        age = found.now - datetime.fromisoformat(report.created).timestamp()
        if rules.report_age is not None and age > duration_seconds(rules.report_age):
            sentence = (
                f"the newest report of {now['run']} with {suite} is {age / _DAY:.0f} days old (allowed: {rules.report_age})"
            )
            found.alarms.append(Alarm(f"age {suite}", "scores", sentence))


def _look_at_rows(found: Look, project: Project, store: FeedbackStore, paths: StatePaths, embed: Embed | None) -> None:
    """Everything that the feedback file tells."""
    rules = project.watch.rules
    rows = {
        table: store.rows(table, since=found.now - _DAY * (rules.days + 7 * rules.weeks + 1))
        for table in ("requests", *_JUDGEMENTS)
    }
    ratings = store.current_ratings()
    late = sum(row["created"] > found.now + AHEAD for of in rows.values() for row in of)
    if late:
        found.notes.append(
            f"{late} rows are dated after this moment: a clock was wrong, or still is. They count once their time has come"
        )
    behind = ever_behind(paths.aliases, rules.alias)
    names = {name for entry in behind for name in entry.values()}

    def ours(of: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [row for row in of if row["created"] <= found.now and (not names or row["model"] in names)]

    requests, said = ours(rows["requests"]), [row for table in _JUDGEMENTS for row in ours(rows[table])]
    found.rows = {"requests": len(requests), "judgements": len(said)}
    traffic = Traffic(requests, ours(ratings), ours(rows["corrections"]))
    found.findings = compare_traffic(traffic, now=found.now, days=rules.days, weeks=rules.weeks, embed=embed)
    for one in found.findings:
        if one.alarm:
            measured = f"{one.measure} {one.value:.3g}, p {one.p:.2g}"
            sentence = f"{one.signal}: {one.before} on the same weekdays before, {one.now} now ({measured})"
            found.alarms.append(Alarm(f"drift {one.signal}", "drift", sentence))
    _look_at_hours(found, requests, said, rules.weeks)
    for abuse in find_misuse(rules.misuse, requests, said, now=found.now):
        sentence = f"{abuse.sentence}. Refuse them: studio serve block {abuse.user}"
        found.alarms.append(Alarm(f"misuse {abuse.rule} {abuse.user}", "misuse", sentence))
    _look_at_trial(found, rules.alias, project.improve.canary or CanaryRules(), store, paths)


def _look_at_hours(found: Look, requests: Sequence[Mapping[str, Any]], said: Sequence[Mapping[str, Any]], weeks: int) -> None:
    """The last 24 whole hours beside the same hours before."""
    times = {
        "requests": [row["created"] for row in requests],
        "failed answers": [row["created"] for row in requests if row["status"] == "error"],
        "refusals": [row["created"] for row in requests if row["refusal"]],
        "thumbs, corrections and votes": [row["created"] for row in said],
        "thumbs down and corrections": [row["created"] for row in said if _is_against(row)],
    }
    begun = min((row["created"] for row in (*requests, *said)), default=found.now)
    # Whole hours of the clock: looks a quarter of an hour apart see the same ones, and tell them once.
    end = found.now // HOUR * HOUR
    found.bursts = find_bursts(times, now=end, weeks=weeks, begun=begun, quiet="requests")
    for burst in found.bursts:
        when = datetime.fromtimestamp(burst.start, UTC).strftime("%Y-%m-%d %H:%M UTC")
        sentence = f"{burst.seen} {burst.what} in the hour from {when}, expected {burst.expected:.3g} (p {burst.p:.2g})"
        found.alarms.append(Alarm(f"hour {burst.what} {burst.start:.0f}", "hour", sentence))


def _is_against(row: Mapping[str, Any]) -> bool:
    """True for a thumb down and for a correction."""
    return bool(row.get("value", 0) < 0 or row.get("correction"))


def _look_at_trial(found: Look, alias: str, rules: CanaryRules, store: FeedbackStore, paths: StatePaths) -> None:
    """What is on trial behind the alias."""
    canary = list_canaries(paths.aliases).get(alias)
    if canary is None:
        return
    used = list_aliases(paths.aliases)[alias]
    found.trial = judge_canary(store, canary, used, rules, now=found.now)
    if found.trial.state in {"worse", "not shown"}:
        found.alarms.append(Alarm(f"canary {canary.run}", "canary", found.trial.sentence))


def tell_others(found: Look, memory: Memory, project: Project, beside: Path) -> list[str]:
    """Note what began and ended, call the webhook, write the figures; gives back what failed on the way.

    Args:
        beside: folder of ``project.yaml``.
    """
    settings = project.watch.rules.alerts
    changes = memory.take(found.alarms, found.now)
    failed: list[str] = []
    if settings.webhook is not None:
        waiting = [*memory.undelivered, *(change.document(project.name) for change in changes)]
        reason = deliver(settings, waiting)
        memory.undelivered = waiting if reason else []
        failed += [reason] if reason else []
    if settings.prometheus is not None:
        place = Path(settings.prometheus).expanduser()
        reason = write_prometheus(place if place.is_absolute() else beside / place, project.name, figures(found))
        failed += [reason] if reason else []
    reason = memory.keep()
    return [*failed, reason] if reason else failed


def figures(found: Look) -> list[tuple[str, str, dict[str, str], float]]:
    """A look as figures for Prometheus."""
    told: list[tuple[str, str, dict[str, str], float]] = [
        ("studio_watch_last_look_timestamp_seconds", "When the last look was.", {}, found.now)
    ]
    kinds = ("drift", "hour", "misuse", "scores", "canary", "alias", "file")
    told += [
        ("studio_watch_alarms", "Alarms that stand.", {"kind": kind}, float(sum(a.kind == kind for a in found.alarms)))
        for kind in kinds
    ]
    told += [("studio_watch_rows", "Rows looked at.", {"of": of}, float(count)) for of, count in found.rows.items()]
    for name, about, attribute in (
        ("studio_watch_signal_distance", "How far the newest days are from the same weekdays before.", "value"),
        ("studio_watch_signal_p", "Chance of that where nothing changed, before correction.", "p"),
    ):
        values = [(one.signal, getattr(one, attribute)) for one in found.findings]
        told += [(name, about, {"signal": signal}, float(value)) for signal, value in values if value is not None]
    told += [
        (
            "studio_watch_score",
            "Figures of the newest measurement on new questions.",
            {"suite": one.suite, "metric": one.metric},
            one.value,
        )
        for one in found.scores
    ]
    return told


class Clock:
    """Waits by a clock that nobody can set, and notices when the other one jumps."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        """``wall`` may jump, ``steady`` may not."""
        self._wall, self._steady = wall, steady
        self._last = (wall(), steady())

    def jumped(self) -> float:
        """Seconds by which the wall clock jumped since the last call; 0 for less than a minute, which is a clock being kept."""
        wall, steady = self._wall(), self._steady()
        by = (wall - self._last[0]) - (steady - self._last[1])
        self._last = (wall, steady)
        return by if abs(by) >= AHEAD else 0.0


def keep_looking(once: Callable[[], None], seconds: float, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Look again and again until the event is set; a jump of the clock is told and neither skips nor repeats a look."""
    clock = Clock()
    while not stop.is_set():
        once()
        if stop.wait(seconds):
            return
        if by := clock.jumped():
            say(f"the clock jumped {'ahead' if by > 0 else 'back'} by {abs(by):.0f} s; looks go on by a clock that cannot be set")
