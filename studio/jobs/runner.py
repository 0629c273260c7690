"""``python -m studio.jobs.runner FOLDER``: the process that waits for a job's turn, runs its command and writes down its end.

It belongs to no terminal and to no page: closing either leaves it alone. It waits beside the command without working, holds no
lock while it does, and is the only one that writes ``job.json``. A system that shuts down asks it by SIGTERM, and it asks its
command.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.core.records import read_record
from studio.core.workspace import Workspace
from studio.jobs.records import FILE, LOG, STOP, JobRecord, log_text, made_by, now, read_job, set_over
from studio.jobs.turns import CPU, free_device, queue_lock

_SECONDS_BETWEEN_LOOKS = 0.5
# A command that goes on so long after it was asked to end is asked as a second Ctrl-C would.
_SECONDS_TO_SAVE = 120.0
# So long a full disk may stay full until how a job ended is forgotten, and the job counts as lost.
_SECONDS_FOR_ROOM = 3600.0
_INTERRUPTED = 130


def start(folder: Path, environment: Mapping[str, str] | None = None) -> None:
    """Begin a job that was added, and return at once.

    Args:
        environment: further variables for its command.
    """
    subprocess.Popen(
        [sys.executable, "-m", "studio.jobs.runner", str(folder)],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


class Runner:
    """One job on its way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = Workspace(folder.parent.parent)
        self.record = read_record(folder / FILE, JobRecord)
        self._asked_at: float | None = None
        self._pressed = 0

    def run(self) -> None:
        """Wait, run, and write down what came of it."""
        own = psutil.Process()
        self._write(pid=own.pid, pid_created=own.create_time())
        device = self._turn()
        if device is None:
            self._write(status="stopped", finished=now(), said="taken out of the queue before it began.")
            return
        try:
            code = self._command(device)
        except OSError as error:
            self._write(status="failed", finished=now(), said=f"the command could not be started ({error}).")
            return
        job = read_job(self.folder)
        stopped = code != 0 and (self._pressed > 0 or code == _INTERRUPTED)
        said = _last_sentence(log_text(job)) if code else None
        made = made_by(log_text(job, 200_000))
        status = "stopped" if stopped else "failed" if code else "done"
        self._write_at_last(status=status, finished=now(), code=code, said=said, made=made)

    def _turn(self) -> str | None:
        """Wait for a device and take it; None when the job was asked to end first. ``-`` for a job that needs none."""
        while not self._asked():
            if not self.record.queued:
                self._write(status="running", started=now())
                return "-"
            with queue_lock(self.workspace):
                device = free_device(self.workspace, self.folder.name)
                if device is not None:
                    self._write(status="running", started=now(), device=device)
                    return device
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return None

    def _command(self, device: str) -> int:
        """Run the command to its end; its exit code, 128 and the signal's number where one ended it."""
        chosen = {} if device in {"-", CPU} else {"CUDA_VISIBLE_DEVICES": device}
        # The command's lines appear in the file as they are printed, in the file's own encoding.
        environment = {**os.environ, **chosen, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
        environment["STUDIO_WORKSPACE"] = str(self.workspace.root)
        with (self.folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "studio.cli.main", *self.record.arguments],
                cwd=self.record.folder if Path(self.record.folder).is_dir() else self.workspace.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        told = 0.0
        while (code := process.poll()) is None:
            if self._asked():
                self._press(process)
            if time.monotonic() - told > 2:
                told = time.monotonic()
                self._tell_made()
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return code if code >= 0 else 128 - code

    def _tell_made(self) -> None:
        """Write down which artefacts the command has named so far, so that a page can lead to them while it works."""
        made = made_by(log_text(read_job(self.folder), 200_000))
        if made != self.record.made:
            # A disk that is full now is no reason to leave the command alone: it is told at the end.
            with suppress(StudioError):
                self._write(made=made)

    def _asked(self) -> bool:
        """True once somebody wants the job to end."""
        return (self.folder / STOP).exists()

    def _press(self, process: subprocess.Popen[bytes]) -> None:
        """Press Ctrl-C for the one who asked, and again when they ask again or the command goes on too long."""
        with suppress(OSError):
            urgent = (self.folder / STOP).read_text(encoding="utf-8").startswith("now")
            late = self._asked_at is not None and time.monotonic() - self._asked_at > _SECONDS_TO_SAVE
            if self._pressed == 0 or (self._pressed == 1 and (urgent or late)):
                self._asked_at = self._asked_at or time.monotonic()
                self._pressed += 1
                process.send_signal(signal.SIGINT)

    def _write_at_last(self, **changes: Any) -> None:
        """Write down how it ended; a full disk is waited for, because what is said here nobody else knows."""
        end = time.monotonic() + _SECONDS_FOR_ROOM
        while True:
            try:
                return self._write(**changes)
            except StudioError:
                if time.monotonic() > end:
                    raise
                time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _write(self, **changes: Any) -> None:
        """Change the record on disk."""
        self.record = self.record.model_copy(update=changes)
        write_json(self.folder / FILE, self.record.model_dump(mode="json"))


def _last_sentence(text: str) -> str | None:
    """The error that a command ended with, without the word before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return errors[-1].removeprefix("error: ") if errors else lines[-1] if lines else None


def main() -> None:
    """Run the job whose folder is given."""
    # The end of a terminal or of the page's server is no reason to end.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(sys.argv[1]).resolve()
    signal.signal(signal.SIGTERM, lambda *_: (folder / STOP).touch())
    with suppress(StudioError):
        Runner(folder).run()
    set_over(folder)


if __name__ == "__main__":
    main()
