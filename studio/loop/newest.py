"""The watch's own measurement: the model in use on what people asked since the last one, and how it should have answered.

Asked are corrections and liked answers that came after the run was made, whose questions resemble no row that it or the runs
before it learnt from, and that it was not measured on yet. The suites run in a process of their own (``studio eval``), which ends
when its time is over, and whose memory the watch does not keep. Their reports lie with those of the run, as every other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import InterruptedRunError, StudioError, UserError
from studio.core.files import disk_errors, write_json, write_text
from studio.core.records import ReportRecord, read_record
from studio.core.workspace import Workspace, read_dataset, read_run, run_dataset
from studio.data.feedback import FORMS, SPLIT_LINES
from studio.feedback.store import FILE_NAME
from studio.loop import gathering, measuring
from studio.loop.alerts import Alarm
from studio.loop.fates import decide, question_of
from studio.loop.trust import trusted
from studio.loop.worsening import Measured, compare_reports
from studio.schema.loop import NewQuestions, duration_seconds
from studio.schema.project import Project
from studio.schema.suite import Suite
from studio.serve.aliases import list_aliases
from studio.serve.state import StatePaths

# How a process ends that SIGINT or SIGTERM reached, as a service's whole group gets it: by itself, or by the signal.
_SIGNALS = {130, 143, -2, -15}
Say = Callable[[str], None]
Line = dict[str, Any]

# So many questions of a run are remembered as asked, by their hashes.
_REMEMBERED = 20_000


@dataclass
class Kept:
    """What is remembered between two measurements, in ``watch/NAME-questions.json``.

    run: that was measured. until: newest judgement that was looked at, and tried: when, seconds since 1970. asked: hashes of its
    questions. reports: by suite. held_against: by suite, the last report that was not worse. scores: the newest. failed: why the
    last try gave nothing.
    """

    run: str = ""
    until: float = 0.0
    tried: float = 0.0
    asked: list[str] = field(default_factory=list)
    reports: dict[str, str] = field(default_factory=dict)
    held_against: dict[str, str] = field(default_factory=dict)
    scores: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""

    @classmethod
    def read(cls, path: Path) -> Kept:
        """What was kept; nothing of a damaged file, after which everything is measured anew."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            kept = cls(**{name: value[name] for name in cls.__dataclass_fields__})
            [Measured(**score) for score in kept.scores]
        except (OSError, ValueError, KeyError, TypeError):
            return cls()
        return kept

    def is_due(self, rules: NewQuestions, now: float) -> bool:
        """Whether it is time for another; a last one in the future is that of a clock that was wrong."""
        return not self.tried <= now < self.tried + duration_seconds(rules.every)


@dataclass
class Newest:
    """What a look tells of new questions."""

    scores: list[Measured] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def suites_of(project: Project, beside: Path) -> dict[str, Suite]:
    """The suites that are asked of new questions, by the name in ``project.yaml``; empty where the watch measures nothing.

    Raises:
        UserError: there is no such suite.
    """
    rules = project.watch.rules.questions
    return {} if rules is None else {name: measuring.find_suite(name, beside) for name in rules.suites}


def measure_newest(project: Project, beside: Path, workspace: Workspace, *, now: float, say: Say) -> Newest:
    """Measure the model in use on new questions where it is time to and there are enough; tells the newest figures either way.

    Args:
        beside: folder of ``project.yaml``. now: seconds since 1970.
    """
    rules, told = project.watch.rules, Newest()
    used = list_aliases(StatePaths.of(workspace).aliases).get(rules.alias)
    if rules.questions is None or used is None or not (workspace.root / FILE_NAME).is_file():
        return told
    path = workspace.root / "watch" / f"{project.name}-questions.json"
    kept = Kept.read(path)
    if kept.is_due(rules.questions, now):
        try:
            with _alone(path):
                kept = Kept.read(path)
                told.notes += _measured(project, beside, workspace, used["run"], kept, path, now=now, say=say)
        except StudioError as error:
            kept.failed = str(error)
    told.scores = [Measured(**score) for score in kept.scores]
    told.alarms = [
        Alarm(f"new questions {one.suite} {one.metric}", "scores", f"{kept.run}, suite {one.suite}: {one.sentence}")
        for one in told.scores
        if one.worse and kept.run == used["run"]
    ]
    if kept.failed:
        told.alarms.append(Alarm("new questions", "scores", f"{used['run']} was not measured on new questions: {kept.failed}"))
    return told


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the measuring for one process; the system lets go when it ends.

    Raises:
        UserError: another watch is measuring.
    """
    with disk_errors(path.name, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.stem}.lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("another watch is measuring at this moment") from None
        yield


def _measured(
    project: Project, beside: Path, workspace: Workspace, run: str, kept: Kept, path: Path, *, now: float, say: Say
) -> list[str]:
    """Measure, and remember what came of it; gives back what to tell."""
    rules = project.watch.rules.questions
    assert rules is not None
    lines = new_lines(project, workspace, run, kept, now=now)
    if len(lines) < rules.fewest:
        return [f"new questions: {len(lines)}, and a measurement needs {rules.fewest} (watch.rules.questions.fewest)"]
    before, kept.tried, kept.failed = kept.tried, now, ""
    _keep(path, kept)
    lines = lines[: rules.rows]
    say(f"measuring {run} on {len(lines)} new questions")
    try:
        suites, reports = _reports(project, beside, workspace, run, path.parent / project.name, lines)
    except (KeyboardInterrupt, InterruptedRunError) as stopped:
        kept.tried = before
        _keep(path, kept)
        if isinstance(stopped, KeyboardInterrupt):
            raise
        return ["the measurement on new questions was interrupted; the next look begins it anew"]
    except StudioError as error:
        kept.failed = str(error)
    else:
        _compared(kept, suites, reports)
        asked = [] if kept.run != run else kept.asked
        kept.run, kept.until = run, now
        kept.asked = [*asked, *(_digest(line) for line in lines)][-_REMEMBERED:]
    _keep(path, kept)
    return []


def _reports(
    project: Project, beside: Path, workspace: Workspace, run: str, folder: Path, lines: list[Line]
) -> tuple[dict[str, Suite], dict[str, str]]:
    """The suites, and the folder of each one's report on some lines."""
    rules, suites = project.watch.rules.questions, suites_of(project, beside)
    assert rules is not None
    data = _dataset(folder, project, lines, workspace)
    asked = {name: measuring.on_new_questions(suite, "watch") for name, suite in suites.items()}
    return suites, {name: _evaluated(folder, suite, run, data, workspace, rules.minutes) for name, suite in asked.items()}


def new_lines(project: Project, workspace: Workspace, run: str, kept: Kept, *, now: float) -> list[Line]:
    """Questions with wanted answers that a run has neither learnt from nor been measured on, the newest first.

    Raises:
        UserError: the run, or what it learnt from, is gone, or it gives no answers that people correct.
    """
    folder = workspace.find_run(run)
    since = datetime.fromisoformat(read_run(folder).created).timestamp()
    if kept.run == run:
        since = max(since, min(kept.until, now))
    trust = trusted(project.improve, workspace, now)

    def refuse(user: str, created: float) -> str:
        return "said before" if created <= since else "said later" if created > now else trust.refuse(user, created)

    found, _ = FORMS.get("sft")(workspace, "sft", per_user=project.improve.per_user, refuse=refuse)
    known = set(kept.asked) if kept.run == run else set()
    lines = [line for line in gathering.newest_first(found) if _digest(line) not in known]
    trained = _trained_questions(folder, workspace)
    asked = [question_of(line["messages"]) for line in lines]
    # With a share of 1 every question is kept that resembles none of those that were learnt from.
    fates = decide(dict.fromkeys(trained, False), asked, share=1.0, near=project.improve.near)
    return [line for line, question in zip(lines, asked, strict=True) if fates[question]]


def _trained_questions(folder: Path, workspace: Workspace) -> list[str]:
    """Questions of every row that a run, or one that it started from, learnt from.

    Raises:
        UserError: a run or Dataset on the way is gone, or holds no conversations.
    """
    questions: dict[str, None] = {}
    record = read_run(folder)
    while True:
        data = run_dataset(record, workspace)
        kind = read_dataset(data).kind
        if kind not in SPLIT_LINES:
            raise UserError(
                f"{record.name} learnt from a Dataset of kind {kind!r}, and new questions come from what people said of answers. "
                f"Kinds that can: {', '.join(SPLIT_LINES)}. Take 'questions' out of watch.rules."
            )
        questions |= dict.fromkeys(question_of(line["messages"]) for line in SPLIT_LINES.get(kind)(data, "train"))
        if not record.start:
            return list(questions)
        record = read_run(workspace.find_run(str(record.start["run"])))


def _digest(line: Line) -> str:
    """A question as it is remembered: what somebody asked is not kept, only that it was asked."""
    return hashlib.sha256(question_of(line["messages"]).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _dataset(folder: Path, project: Project, lines: list[Line], workspace: Workspace) -> str:
    """The Dataset of new questions."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_text(folder / "new-questions.jsonl", text)
    recipe = gathering.questions_recipe(folder, project.improve)
    return gathering.build(folder, f"{project.name}-watch", recipe, workspace, lambda _line: None)


def _evaluated(folder: Path, suite: Suite, run: str, data: str, workspace: Workspace, minutes: float) -> str:
    """Measure in a process of its own; gives back the report's folder.

    Raises:
        StudioError: it failed, or its time was over.
        InterruptedRunError: a signal ended it.
    """
    file = folder / f"{suite.name}.yaml"
    write_text(file, yaml.safe_dump(suite.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True))
    command = [sys.executable, "-m", "studio.cli.main", "eval", str(file), "--model", run, "--baseline", "none", "--data", data]
    command += ["--workspace", str(workspace.root), "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        raise StudioError(
            f"{suite.name} was not finished within {minutes:g} minutes (watch.rules.questions.minutes); what was answered is "
            "kept for the next try"
        ) from None
    if done.returncode in _SIGNALS:
        raise InterruptedRunError("the measurement was interrupted")
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise StudioError(said[-1].removeprefix("error: ").rstrip("."))
    return str(json.loads(done.stdout)["report"])


def _compared(kept: Kept, suites: Mapping[str, Suite], reports: Mapping[str, str]) -> None:
    """Hold new reports against the last ones that were not worse, and remember both."""
    pairs = {name: (_report(folder), _report(kept.held_against.get(name))) for name, folder in reports.items()}
    named = {name: [threshold.metric for threshold in suites[name].thresholds] for name in reports}
    scores = compare_reports({name: (new, old) for name, (new, old) in pairs.items() if new is not None}, named)
    worse = {score.suite for score in scores if score.worse}
    kept.scores, kept.reports = [asdict(score) for score in scores], dict(reports)
    kept.held_against |= {name: folder for name, folder in reports.items() if name not in worse}


def _report(folder: str | None) -> ReportRecord | None:
    """A report that is there and can be read."""
    try:
        return None if folder is None else read_record(Path(folder) / "scores.json", ReportRecord)
    except (StudioError, OSError):
        return None


def _keep(path: Path, kept: Kept) -> None:
    """Write down what is remembered."""
    write_json(path, {"format": 1, **asdict(kept)})
