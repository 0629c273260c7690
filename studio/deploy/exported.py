"""What a place takes of a run: its whole model, or a file that ``studio export`` wrote of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import UserError
from studio.deploy.places import Asked
from studio.models.exported import ExportLine, ExportRecord, is_export, read_export, read_exports

GGUF = ("gguf",)


@dataclass(frozen=True)
class Exported:
    """An export. folder: where it lies. file: the model's own file in it."""

    folder: Path
    file: Path
    line: ExportLine
    record: ExportRecord | None

    @property
    def bytes(self) -> int:
        """Of the model's file."""
        return self.file.stat().st_size


def find_export(asked: Asked, forms: Sequence[str], suffixes: Sequence[str], *, place: str) -> Exported:
    """The newest export of a run in one of the forms.

    Args:
        suffixes: of the model's own file. place: for messages.
    Raises:
        UserError: there is none, or it is not where it was written; the remedy is one command.
    """
    remedy = f"Write it: studio export {asked.run} --to {forms[0]}"
    gone: list[str] = []
    for line in reversed(read_exports(asked.run_folder)):
        if line.form not in forms:
            continue
        path = Path(line.path)
        folder = path if path.is_dir() else path.parent
        files = [path] if path.is_file() else sorted(one for one in folder.glob("*") if one.suffix in suffixes)
        if files:
            record = read_export(folder, whole=False) if is_export(folder) else None
            return Exported(folder, max(files, key=lambda one: one.stat().st_size), line, record)
        gone.append(line.path)
    if gone:
        raise UserError(f"{place} takes the {forms[0]} export of {asked.run}, which is not at {gone[0]} any more. {remedy}")
    raise UserError(f"{place} takes {asked.run} as {' or '.join(forms)}, and it was not exported so yet. {remedy}")


def merged_model(asked: Asked) -> Path:
    """The folder of the whole model inside a run.

    Raises:
        UserError: there is only an adapter; the remedy is one command.
    """
    full = asked.record.method == "full"
    model = asked.run_folder / ("model" if full else "merged")
    if not model.is_dir():
        remedy = f"Finish it: studio train --resume {asked.run}" if full else f"Write it: studio export {asked.run} --to merged"
        raise UserError(f"a deployment takes the whole model, and {asked.run} has no {model.name}/ yet. {remedy}")
    return model
