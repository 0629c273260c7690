"""``studio watch``: look at a model in use, once or on and on, and tell whoever has to know."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli import output

if TYPE_CHECKING:
    from studio.core.workspace import Workspace
    from studio.loop.signals import Embed
    from studio.loop.watching import Look
    from studio.schema.loop import WatchRules
    from studio.schema.project import Project


def watch(
    project: Annotated[str, typer.Argument(help="Folder of a project, or its project.yaml.")],
    once: Annotated[bool, typer.Option("--once", help="Look once; exit code 3 where an alarm stands.")] = False,
    print_unit: Annotated[
        bool, typer.Option("--print-unit", help="Print a systemd unit that runs this as a service, and stop.")
    ] = False,
) -> None:
    """Look at a model in use: drift, hours, users, reports, trials; tell by line, exit code, webhook, Prometheus file."""
    from studio.schema.loading import load_yaml
    from studio.schema.project import Project, find_project

    file = find_project(project)
    plan = load_yaml(file, Project)
    workspace = output.open_workspace()
    if print_unit:
        output.say(unit_text(plan.name, file.resolve(), workspace.root))
        return
    from studio.loop.newest import suites_of

    suites_of(plan, file.resolve().parent)  # a name that is misspelt is told before anything is looked at
    if once:
        _once(plan, file, workspace)
        return
    _serve(plan, file, workspace)


def _once(plan: Project, file: Path, workspace: Workspace) -> None:
    """One look, told whole.

    Raises:
        GateNotMetError: an alarm stands.
    """
    from studio.core.errors import GateNotMetError
    from studio.core.telling import counted

    found, failed = _look(plan, file, workspace, _encoder(plan.watch.rules))
    for line in (*found.notes, *failed):
        output.warn(line)
    if output.json_wanted():
        output.emit_json({**vars(found), "failed": failed})
    else:
        _print(found)
    if found.alarms:
        raise GateNotMetError(f"{counted(len(found.alarms), 'alarm')}: {'; '.join(alarm.sentence for alarm in found.alarms)}.")


def _look(plan: Project, file: Path, workspace: Workspace, embed: Embed | None) -> tuple[Look, list[str]]:
    """One look; what it found, and what could not be told or remembered."""
    from studio.loop.memory import Memory
    from studio.loop.newest import measure_newest
    from studio.loop.rolling import follow_trial
    from studio.loop.watching import look, tell_others

    found = look(plan, workspace, embed=embed)
    found.notes += follow_trial(plan, workspace, found, say=output.note)
    newest = measure_newest(plan, file.resolve().parent, workspace, now=found.now, say=output.note)
    found.scores = newest.scores
    found.alarms += newest.alarms
    found.notes += newest.notes
    memory = Memory.read(workspace.root / "watch" / f"{plan.name}.json", found.now)
    found.notes += memory.notes
    return found, tell_others(found, memory, plan, file.resolve().parent)


def _serve(plan: Project, file: Path, workspace: Workspace) -> None:
    """Look again and again until a signal comes; what is the same as before is not said again."""
    from datetime import datetime

    from studio.loop.watching import keep_looking
    from studio.schema.loop import duration_seconds

    embed, stop, said = _encoder(plan.watch.rules), threading.Event(), set[str]()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def once() -> None:
        found, failed = _look(plan, file, workspace, embed)
        stamp = datetime.fromtimestamp(found.now).isoformat(sep=" ", timespec="seconds")
        lines = [f"ALARM {alarm.kind}: {alarm.sentence}" for alarm in found.alarms] + [*found.notes, *failed]
        for line in (line for line in lines if line not in said):
            output.say(f"{stamp} {line}")
        over = said - set(lines)
        for line in sorted(line for line in over if line.startswith("ALARM")):
            output.say(f"{stamp} over: {line.removeprefix('ALARM ')}")
        said.clear()
        said.update(lines)

    output.note(f"watching {plan.name} every {plan.watch.rules.interval}; Ctrl-C ends it")
    keep_looking(once, duration_seconds(plan.watch.rules.interval), stop, output.note)
    output.note("stopped")


def _encoder(rules: WatchRules) -> Embed | None:
    """The text encoder, opened once; None where it is off, or ``auto`` finds none on this machine."""
    if rules.embeddings == "off":
        return None
    from studio.core.errors import StudioError

    try:
        from studio.models.text_encoder import open_text_encoder

        encoder = open_text_encoder(rules.encoder)
    except (StudioError, ImportError, OSError) as error:
        output.note(f"the meaning of questions is not compared: {error}")
        return None
    import numpy as np

    return lambda texts: np.asarray(encoder.embed(list(texts), 256), dtype=np.float64)


def _print(found: Look) -> None:
    """The signals of a look, the newest measurement and how a trial stands; alarms are told as the error."""
    from studio.evals.numbers import interval_text

    rows = [
        [one.signal, one.before, one.now, one.n_before, one.n_now, one.measure, one.value, one.limit, one.p, one.verdict]
        for one in found.findings
    ]
    headings = ["signal", "same weekdays before", "now", "n before", "n now", "measure", "value", "limit", "p", "verdict"]
    output.table(headings, rows, right=["n before", "n now", "value", "limit", "p"], empty="Nothing to compare yet.")
    if found.scores:
        output.say("\nnewest measurement on new questions")
        scores = [
            [one.suite, one.metric, one.n, one.before, one.value, interval_text(one.low, one.high), one.p] for one in found.scores
        ]
        headings = ["suite", "metric", "n", "before", "now", "95% interval", "p"]
        output.table(headings, scores, right=["n", "before", "now", "p"])
    if found.trial is not None:
        output.say(f"\ntrial: {found.trial.state}. {found.trial.sentence}")
    if not found.alarms:
        output.say("\nno alarm")


def unit_text(name: str, file: Path, workspace: Path) -> str:
    """A systemd unit that runs this watch with these folders; nothing of it needs root but its installation."""
    from studio.core.workspace import cache_folder

    words = [sys.executable, "-m", "studio.cli.main", "watch", str(file), "--workspace", str(workspace)]
    # systemd reads % as the beginning of a specifier and $ as that of a variable.
    command = " ".join(shlex.quote(word) for word in words).replace("%", "%%").replace("$", "$$")
    return f"""[Unit]
Description=Watch of the model of {name} (finetuning-studio)
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
User={_account()}
WorkingDirectory={file.parent}
ExecStart={command}
Restart=on-failure
RestartSec=30
NoNewPrivileges=true
ProtectSystem=strict
ReadWritePaths={workspace} -{cache_folder()}

[Install]
WantedBy=multi-user.target

# sudo tee /etc/systemd/system/studio-watch-{name}.service < THIS; sudo systemctl enable --now studio-watch-{name}
# A Prometheus file outside the workspace needs its folder in ReadWritePaths too; a webhook's key goes into Environment=."""


def _account() -> str:
    """Who runs this now."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
