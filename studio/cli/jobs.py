"""``studio jobs``: commands that wait for their turn and run by themselves, here and in the browser's studio."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import output
from studio.core.errors import GateNotMetError, UserError
from studio.train.kinds import EXAMPLE_PRESET

if TYPE_CHECKING:
    from studio.jobs.records import Job

app = typer.Typer(help="Commands that wait for a free device and run by themselves.")

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job: its id, the end of it, or 'last'.")]


@app.command("list")
def list_all(
    newest: Annotated[int, typer.Option(min=1, help="So many, the newest.")] = 20,
) -> None:
    """List the newest jobs, what runs and what waits."""
    from studio.jobs.records import last_line, list_jobs

    jobs = list_jobs(output.open_workspace(), newest)
    if output.json_wanted():
        output.emit_json([_as_json(job) for job in jobs])
        return
    output.table(
        ["job", "status", "command", "last line"],
        [[job.id, job.status, job.command, last_line(job)] for job in jobs],
        empty=f"No jobs yet. Add one: studio jobs add -- train {EXAMPLE_PRESET} --data DATASET",
    )


@app.command("add", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def add(
    command: Annotated[list[str], typer.Argument(help="The command without 'studio'; put -- before it.")],
) -> None:
    """Add a command to the queue and return; it starts once a device is free, and ends by itself."""
    from studio.cli.main import COMMANDS
    from studio.core.errors import nearest
    from studio.jobs.records import add_job, read_job
    from studio.jobs.runner import start

    if command[0] not in COMMANDS or command[0] == "jobs":
        raise UserError(
            f"{command[0]!r} is no command that can run as a job.{nearest(command[0], COMMANDS)} "
            f"Example: studio jobs add -- train {EXAMPLE_PRESET} --data DATASET"
        )
    folder = add_job(output.open_workspace(), command)
    start(folder)
    if output.json_wanted():
        output.emit_json(_as_json(read_job(folder)))
    else:
        output.say(f"job {folder.name}")
        output.note(f"See what it says: studio jobs log {folder.name} --follow")


@app.command("show")
def show(job: JobArgument) -> None:
    """Show one job: its command, how it stands, what it made."""
    from studio.jobs.records import find_job

    found = find_job(output.open_workspace(), job)
    if output.json_wanted():
        output.emit_json(_as_json(found))
        return
    record = found.record
    output.say(f"{found.id}: {found.status}" + (f" ({record.said})" if record.said else ""))
    names = ("created", "started", "finished", "by", "device", "code")
    output.pairs(
        [("command", found.command), *((name, getattr(record, name)) for name in names), ("made", ", ".join(record.made))]
    )


@app.command("log")
def log(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until it is over; exit code 3 when it failed.")] = False,
) -> None:
    """Print what a job said."""
    from studio.jobs.records import LOG, find_job, read_job

    found = find_job(output.open_workspace(), job)
    with (found.folder / LOG).open(encoding="utf-8", errors="replace") as stream:
        while True:
            over = read_job(found.folder).over
            sys.stdout.write(stream.read())
            sys.stdout.flush()
            if over or not follow:
                break
            time.sleep(0.5)
    found = read_job(found.folder)
    if follow and found.status != "done":
        raise GateNotMetError(f"the job {found.id} is over: {found.status}.")


@app.command("stop")
def stop(job: JobArgument) -> None:
    """Ask a job to end: one that waits never starts, one that trains saves first; asked twice, it ends at once."""
    from studio.jobs.records import ask_to_stop, find_job

    found = find_job(output.open_workspace(), job)
    ask_to_stop(found)
    output.say(f"asked {found.id} to end")
    if output.json_wanted():
        output.emit_json(_as_json(found))


def _as_json(job: Job) -> dict[str, Any]:
    """A job as programs read it."""
    return {**job.record.model_dump(mode="json"), "status": job.status, "command": job.command, "path": str(job.folder)}
