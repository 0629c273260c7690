"""Where a benchmark's rows come from: a local folder with the published files, or a Hub dataset at a revision."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import DataError, StudioError, UserError
from studio.core.workspace import Workspace
from studio.data.hub import HubTable, resolve_revision
from studio.evals.task import NotComputedError
from studio.schema.bias import BenchmarkTask


@dataclass(frozen=True)
class Origin:
    """Where the published files can be had, for the message and for the report."""

    title: str
    where: str
    licence: str
    files: str


@dataclass
class Found:
    """What was found: a local folder, or rows of the Hub. ``record`` goes into the report."""

    folder: Path | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)


def find_benchmark(task: BenchmarkTask, origin: Origin, workspace: Workspace) -> Found:
    """The task's own folder, else ``STUDIO_BENCHMARKS/<type>``, else ``<workspace>/benchmarks/<type>``, else the Hub.

    Raises:
        UserError: the folder that was named does not exist.
        NotComputedError: there is no local folder and the Hub cannot be had; says where the files can be put.
    """
    kind = str(getattr(task, "type", ""))
    about = {"name": origin.title, "licence": origin.licence}
    if task.folder is not None:
        folder = Path(task.folder).expanduser()
        if not folder.exists():
            raise UserError(f"the folder {task.folder} of the task {task.key} does not exist. It should hold {origin.files}.")
        return Found(folder, record={**about, "path": str(folder)})
    known = workspace.benchmark_folder(kind)
    if known is not None:
        return Found(known, record={**about, "path": str(known)})
    remedy = (
        f"Get {origin.files} from {origin.where} ({origin.licence}) and put them into {workspace.root / 'benchmarks' / kind}, or "
        "name their folder in the task ('folder:') or one for all benchmarks with STUDIO_BENCHMARKS."
    )
    if task.hub is None:
        raise NotComputedError(f"{origin.title} is not on this machine, and no Hub dataset is named for it. {remedy}")
    try:
        revision = resolve_revision(task.hub, task.revision)
        rows = list(HubTable(task.hub, revision, task.subset, task.split).rows())
    except StudioError as error:
        reason = str(error).partition(". ")[0].rstrip(".")
        raise NotComputedError(f"{origin.title} is not on this machine: {reason}. {remedy}") from error
    return Found(None, rows, {**about, "hub": task.hub, "revision": revision, "subset": task.subset, "split": task.split})


def published_files(folder: Path, patterns: Sequence[str], what: str) -> list[Path]:
    """Files below a folder that match the first pattern with any match, in order of their names.

    Raises:
        DataError: there is none; says what was looked for.
    """
    if folder.is_file():
        return [folder]
    for pattern in patterns:
        found = sorted(path for path in folder.rglob(pattern) if path.is_file())
        if found:
            return found
    raise DataError(f"{folder}: holds no {what} (looked for {', '.join(patterns)} in it and below).")


def read_table(path: Path, columns: Sequence[str], *, delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and row of a CSV or TSV file whose header has the columns.

    Raises:
        DataError: not UTF-8, a column is missing, or a row is cut off.
    """
    with _opened(path) as stream:
        reader = csv.DictReader(stream, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE)
        header = list(reader.fieldnames or [])
        for column in columns:
            if column not in header:
                raise DataError(
                    f"{path}:1: the column '{column}' is missing. Found: {', '.join(map(str, header)) or 'nothing'}. "
                    f"Needed: {', '.join(columns)}."
                )
        for row in reader:
            if any(row[column] is None for column in columns):
                raise DataError(f"{path}:{reader.line_num}: the row has fewer columns than the header. Fetch the file again.")
            yield reader.line_num, row


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of a JSON lines file; empty lines are passed over.

    Raises:
        DataError: not UTF-8, or a line is not a JSON object.
    """
    with _opened(path) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not JSON ({error.msg}). The file may be cut off; fetch it again.") from error
            if not isinstance(value, dict):
                raise DataError(f"{path}:{number}: expected an object with named fields, found {type(value).__name__}.")
            yield number, value


def text_field(value: Any, name: str, place: str) -> str:
    """A field that must be a text with something in it.

    Raises:
        DataError: it is missing, no text, or empty.
    """
    if not isinstance(value, str) or not value.strip():
        found = (
            "is missing" if value is None else "is empty" if isinstance(value, str) else f"is {type(value).__name__}, not text"
        )
        raise DataError(f"{place}: '{name}' {found}.")
    return value


def _opened(path: Path) -> Any:
    """The file's text as a stream, with bad bytes and missing files as one sentence."""
    import io

    try:
        return io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}). Fetch the file again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
