"""Edits of rows that wait to become a new Dataset: ``edits/NAME/FINGERPRINT/edits.jsonl`` of a workspace.

A line is one row as ``studio annotate import`` reads it (``studio_id``, ``annotation``, ``annotation_text``, ``annotator``,
``annotated_at``), so that the command makes of the file what the page makes. What is built is a copy that never changes again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError, UserError
from studio.core.files import disk_errors, write_json, write_text
from studio.core.workspace import Workspace
from studio.data.annotations.base import Item
from studio.data.annotations.spreadsheet import LABEL, PERSON, ROW, TEXT, TIME
from studio.jobs.records import Job, jobs_folder, now, read_job

_FILE, _BUILT = "edits.jsonl", "built.json"
LONGEST_TEXT = 20_000
UNNAMED = "local"
"""Who edits on a page without accounts."""

Line = dict[str, str]


@dataclass(frozen=True)
class Edits:
    """The edits of one Dataset."""

    workspace: Workspace
    reference: str
    """``NAME/FINGERPRINT``."""

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.workspace.root / "edits" / self.reference

    def pending(self) -> dict[str, Line]:
        """Row to what is to become of it; what a finished build took is gone."""
        self._settle()
        return self._read(self.folder / _FILE)

    def keep(self, item: Item, *, label: str, text: str | None, by: str) -> bool:
        """Keep what a row should be; False where that is what it is, so that nothing of it waits any more.

        Args:
            text: None for rows without one.
        Raises:
            UserError: an answer, caption or label was emptied, or is too long. StudioError: it cannot be written.
        """
        line = {ROW: item.id, **_changes(item, label, text)}
        changed = len(line) > 1
        with self._alone():
            lines = self._read(self.folder / _FILE)
            lines.pop(item.id, None)
            if changed:
                lines[item.id] = line | {PERSON: by or UNNAMED, TIME: now()}
            self._write(lines)
        return changed

    def drop(self, row: str | None = None) -> None:
        """Forget the edit of a row, or all of them."""
        with self._alone():
            lines = self._read(self.folder / _FILE)
            self._write({name: line for name, line in lines.items() if row is not None and name != row})

    def snapshot(self) -> Path:
        """The edits as they are now in a file of their own, which never changes.

        Raises:
            UserError: there are none.
        """
        with self._alone():
            lines = self._read(self.folder / _FILE)
            if not lines:
                raise UserError(f"no row of {self.reference} is edited. Edit one first.")
            text = _as_text(lines)
            path = self.folder / f"edits-{hashlib.sha256(text.encode()).hexdigest()[:8]}.jsonl"
            if not path.is_file():
                write_text(path, text)
        return path

    def building(self, job: Job, file: Path) -> None:
        """Write down which job makes a Dataset of which copy."""
        write_json(self.folder / _BUILT, {"job": job.id, "file": file.name})

    def job(self) -> Job | None:
        """The job that was asked last to make a Dataset of them; None without one."""
        return self._asked()[0]

    def _asked(self) -> tuple[Job | None, Path | None]:
        """The last job and the copy that it reads."""
        try:
            said: dict[str, Any] = json.loads((self.folder / _BUILT).read_text(encoding="utf-8"))
            job = read_job(jobs_folder(self.workspace) / Path(said["job"]).name)
            return job, self.folder / Path(said["file"]).name
        except (OSError, ValueError, KeyError, TypeError, StudioError):
            return None, None

    def _settle(self) -> None:
        """Take away what a finished build took; what was edited anew meanwhile stays."""
        job, file = self._asked()
        if job is None or file is None or job.status != "done" or not (self.folder / _FILE).is_file():
            return
        taken = self._read(file)
        with self._alone():
            lines = self._read(self.folder / _FILE)
            left = {row: line for row, line in lines.items() if taken.get(row) != line}
            if len(left) < len(lines):
                self._write(left)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the edits of this Dataset, so that two people's are both kept."""
        with disk_errors("edits", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            stream = (self.folder / ".lock").open("w")
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _write(self, lines: dict[str, Line]) -> None:
        """Write them; without any there is no file."""
        if lines:
            write_text(self.folder / _FILE, _as_text(lines))
        else:
            (self.folder / _FILE).unlink(missing_ok=True)

    @staticmethod
    def _read(path: Path) -> dict[str, Line]:
        """Lines of a file by row; none where it is not there.

        Raises:
            StudioError: a line is damaged.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError:
            return {}
        try:
            lines = [json.loads(line) for line in text.split("\n") if line]
            return {str(line[ROW]): line for line in lines}
        except (ValueError, KeyError, TypeError) as error:
            raise StudioError(f"{path} is damaged ({error}). Mend the line, or move the file away.") from error


def _as_text(lines: dict[str, Line]) -> str:
    """Lines as they lie on disk."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines.values())


def _changes(item: Item, label: str, text: str | None) -> Line:
    """What differs from the row.

    Raises:
        UserError: something was emptied, or is too long.
    """
    found: Line = {}
    label, text = label.strip(), None if text is None else text.strip()
    if len(label) > 200 or len(text or "") > LONGEST_TEXT:
        raise UserError(f"a label has 200 characters at most and a text {LONGEST_TEXT:,}. Shorten it.")
    if item.label and not label:
        raise UserError("a label cannot be taken away, only changed. Write what it should be.")
    if label and label != (item.label or ""):
        found[LABEL] = label
    if item.text is not None and text is not None and text != item.text.strip():
        if not text:
            raise UserError("the text cannot be empty. Write what it should have been.")
        found[TEXT] = text
    return found
