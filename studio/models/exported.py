"""What a folder that ``studio export`` wrote says of itself, for whoever opens it: evaluation, apps, deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studio.core.errors import UserError
from studio.core.files import sha256_file, write_json
from studio.core.records import Record, read_record

FILE = "export.json"
BASES = frozenset({"merged"})
"""Forms that are opened as any base is, and not through a program of their own."""
LIST = "exports.json"
"""In the Run's folder: what was written of it."""


class ExportRecord(Record):
    """``export.json``.

    form, quant: as asked for. kind: of the Run. run: its ``name``, ``id`` and ``base``. runtime: the program that read the files
    back for the proof, with its version. proof: figures of that proof, by name. limits: what the figures had to hold to. inputs,
    outputs: name to shape, number type and meaning, where a program has to feed the file itself. versions: packages that wrote
    it. files: sha256 by path. extra: what the form's own reader needs.
    """

    form: str
    quant: str | None = None
    kind: str
    run: dict[str, Any] = {}
    runtime: str
    proof: dict[str, Any] = {}
    limits: dict[str, float] = {}
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    versions: dict[str, str] = {}
    files: dict[str, str] = {}
    extra: dict[str, Any] = {}


class ExportLine(Record):
    """One export of a Run. path: where it went. bytes: size of its files. proof: figure to words, as people read them."""

    form: str
    quant: str | None = None
    path: str
    bytes: int = 0
    runtime: str
    proof: dict[str, str] = {}


class ExportsRecord(Record):
    """``exports.json``: every export of a Run, the newest last; an export that is written again takes the old one's place."""

    exports: list[ExportLine] = []


def is_export(folder: Path) -> bool:
    """Whether a folder was written by ``studio export`` in a form that another program reads."""
    return (folder / FILE).is_file()


def read_export(folder: Path, *, whole: bool = True) -> ExportRecord:
    """The record of an export.

    Args:
        whole: compare the hash of every file, so that a half copied or changed export is told.
    Raises:
        UserError: there is none, it cannot be read, or a file is missing or another one.
    """
    if not is_export(folder):
        raise UserError(f"{folder} holds no {FILE}: it was not written by studio export.")
    record = read_record(folder / FILE, ExportRecord)
    for name, digest in record.files.items() if whole else ():
        path = folder / name
        if not path.is_file() or sha256_file(path) != digest:
            how = "is missing" if not path.is_file() else "is not the file that was proven"
            raise UserError(f"{path} {how}. Export anew: studio export {record.run.get('id', 'RUN')} --to {record.form}")
    return record


def write_export(folder: Path, record: ExportRecord) -> None:
    """Write the record with the hashes of all files that lie in the folder now."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FILE)
    files = {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}
    for path in paths:
        path.chmod(0o644)
    write_json(folder / FILE, record.model_copy(update={"files": files}).model_dump(mode="json"))


def read_exports(run_folder: Path) -> list[ExportLine]:
    """What was exported of a Run; none where nothing was noted."""
    path = run_folder / LIST
    return read_record(path, ExportsRecord).exports if path.is_file() else []


def note_export(run_folder: Path, line: ExportLine) -> None:
    """Add an export to the list of its Run."""
    others = [other for other in read_exports(run_folder) if other.path != line.path]
    write_json(run_folder / LIST, ExportsRecord(exports=[*others, line]).model_dump(mode="json"))
