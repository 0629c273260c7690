"""Rounds of improving a model on disk: ``rounds/PROJECT/NNN/`` with ``state.json``, which says what was done and what is next."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from studio.core.errors import UserError
from studio.core.files import disk_errors, write_json
from studio.core.records import Record, read_record
from studio.core.workspace import Workspace

STEPS = ("gather", "sft data", "sft", "preference data", "preferences", "measure", "judge", "yes", "trial", "promote")
# Clocks of two machines may differ by so much before it is told.
AHEAD = 60.0
Status = Literal["open", "waiting", "trial", "promoted", "rejected", "went back", "given up"]
FINISHED: tuple[Status, ...] = ("promoted", "rejected", "went back", "given up")


class RoundRecord(Record):
    """``state.json`` of a round.

    ``production`` holds model and run of what was in use when it began. ``steps`` holds what each finished step gave,
    ``begun`` what a step in progress has to find again. ``sentence`` says how it stands.
    """

    project: str
    number: int
    alias: str
    status: Status = "open"
    created: str
    finished: str | None = None
    until: float
    production: dict[str, str]
    steps: dict[str, dict[str, Any]] = {}
    begun: dict[str, dict[str, Any]] = {}
    sentence: str = ""

    @property
    def name(self) -> str:
        """Beginning of the names of what it makes."""
        return f"{self.project}-r{self.number:03d}"

    @property
    def next_step(self) -> str | None:
        """The first step that is not done; None where the round is over."""
        return None if self.status in FINISHED else next((step for step in STEPS if step not in self.steps), None)


class Round:
    """A round and its folder; every change is on disk before the next thing happens."""

    def __init__(self, folder: Path, record: RoundRecord) -> None:
        """``folder`` is the round's own."""
        self.folder, self.record = folder, record

    def done(self, step: str, **result: Any) -> None:
        """Note that a step is finished, and what it gave."""
        steps = {**self.record.steps, step: {"finished": now_text(), **result}}
        self._save(steps=steps, begun={key: value for key, value in self.record.begun.items() if key != step})

    def begin(self, step: str, **found: Any) -> None:
        """Note what a step in progress has made so far."""
        self._save(begun={**self.record.begun, step: {**self.record.begun.get(step, {}), **found}})

    def stands(self, status: Status, sentence: str) -> None:
        """Note how the round stands."""
        ended = {"finished": now_text()} if status in FINISHED else {}
        self._save(status=status, sentence=sentence, **ended)

    def of(self, step: str) -> dict[str, Any]:
        """What a finished step gave; empty where it is not finished."""
        return self.record.steps.get(step, {})

    def _save(self, **changes: Any) -> None:
        """Write the record."""
        self.record = self.record.model_copy(update=changes)
        write_json(self.folder / "state.json", self.record.model_dump(mode="json"))


def rounds_folder(workspace: Workspace, project: str) -> Path:
    """Folder of all rounds of a project."""
    return workspace.root / "rounds" / project


def list_rounds(workspace: Workspace, project: str) -> list[Round]:
    """Rounds of a project, oldest first.

    Raises:
        StudioError: the record of one is damaged.
    """
    files = sorted(rounds_folder(workspace, project).glob("[0-9]*/state.json"))
    return [Round(file.parent, read_record(file, RoundRecord)) for file in files]


def new_round(workspace: Workspace, project: str, alias: str, production: dict[str, str], until: float) -> Round:
    """Open the next round."""
    numbers = [int(path.name) for path in rounds_folder(workspace, project).glob("[0-9]*") if path.name.isdigit()]
    number = max(numbers, default=0) + 1
    record = RoundRecord(project=project, number=number, alias=alias, created=now_text(), until=until, production=production)
    made = Round(rounds_folder(workspace, project) / f"{number:03d}", record)
    made.stands("open", "begun")
    return made


@contextmanager
def only_one(workspace: Workspace, project: str) -> Iterator[None]:
    """Hold a project's rounds for one process; the system lets go when it ends, however it ends.

    Raises:
        UserError: another process is at work on them.
    """
    folder = rounds_folder(workspace, project)
    with disk_errors(".lock", folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            who = lock.read().strip() or "unknown"
            raise UserError(
                f"another improve of {project} is at work (process {who}). Wait for it, or end it: what it has done is kept, and "
                "the next improve goes on from there."
            ) from None
        with disk_errors(".lock", folder):
            lock.truncate(0)
            lock.write(f"{os.getpid()}, since {now_text()}")
            lock.flush()
        yield


def now_text() -> str:
    """This moment as records keep it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
