"""Writing an export: aside, with its record and a page for people, and renamed into place only once it is proven."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from studio.adapters.card import write_model_card
from studio.core.errors import StudioError
from studio.core.files import disk_errors, new_folder, write_text
from studio.core.markdown import markdown_table
from studio.core.records import shared_name
from studio.core.telling import Pairs, Told, size_text
from studio.core.workspace import read_run
from studio.models.exported import ExportLine, ExportRecord, note_export, write_export

PAGE = "README.md"
# Seconds within which another export may have made its folder and not locked it yet.
_JUST_MADE = 10


@contextmanager
def new_export(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` that becomes it when the block ends well; nothing is left of it otherwise.

    What an export that was killed has left there is removed first: several gigabytes under a hidden name.

    Raises:
        StudioError: the disk is full or read-only, or the target has come to be meanwhile.
    """
    target = target.expanduser()
    with disk_errors(target.name, target.parent):
        _clear_killed(target)
    with new_folder(target) as partial:
        held = os.open(partial, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)  # gone with this process, however it ends
            yield partial
        finally:
            os.close(held)


@contextmanager
def new_export_file(target: Path) -> Iterator[Path]:
    """The same for an export of one file: a path in a hidden folder beside ``target``, from where it is renamed.

    Raises:
        StudioError: the disk is full or read-only, or the target has come to be meanwhile.
    """
    target = target.expanduser()
    with disk_errors(target.name, target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_killed(target)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
            held = os.open(place, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX)  # gone with this process, however it ends
                partial = Path(place) / target.name
                yield partial
                if target.exists():
                    raise StudioError(f"{target} exists already and is not overwritten. Move it away or choose another name.")
                partial.rename(target)
            finally:
                os.close(held)


def _clear_killed(target: Path) -> None:
    """Remove the unfinished folders of a target that no process holds any more."""
    for folder in target.parent.glob(f".{glob.escape(target.name)}.????????"):
        try:
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - folder.stat().st_mtime > _JUST_MADE:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another export is at work in it
            continue
        finally:
            os.close(held)


def described(run_folder: Path) -> dict[str, Any]:
    """What an export says of the Run that it comes from; no folder of this machine."""
    record = read_run(run_folder)
    base = {"name": shared_name(record.base)} | {name: record.base.get(name) for name in ("revision", "sha256", "licence")}
    return {"name": record.name, "id": record.id, "method": record.method, "base": base}


def versions_of(*packages: str) -> dict[str, str]:
    """Versions of the packages of this environment that wrote an export; those that are not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hold(name: str, figure: float, limit: float, *, form: str, least: bool = False) -> None:
    """Refuse a figure of the proof beyond its limit; not-a-number is beyond every limit.

    Args:
        least: the limit is the least that is allowed, not the most.
    Raises:
        StudioError: says both, and that nothing was written.
    """
    if not (figure >= limit if least else figure <= limit):
        bound = "at least" if least else "at most"
        raise StudioError(
            f"the {form} export is not the model that was trained: {name} is {figure:.3g} ({bound} {limit:.3g} is allowed), so "
            "nothing was written. Keep the run, and report this with its config.yaml."
        )


def finish_export(folder: Path, record: ExportRecord, proven: Sequence[tuple[str, str]], use: str) -> None:
    """Write the page and the record into the folder of :func:`new_export`; the last thing that is done in it.

    Args:
        proven: name and words of each figure of the proof, for people. use: Markdown that says how the files are used.
    """
    run = record.run
    title = f"# {run['name']}, as {record.form}{f' ({record.quant})' if record.quant else ''}"
    about = f"Written from run {run['id']} ({run['method']}, base {run['base'].get('name') or 'none'}) by Finetuning Studio."
    proof = [f"Read back by {record.runtime} before it was put here, and held against the run:", ""]
    proof += markdown_table(["what", "measured"], proven)
    written = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    lines = [title, "", about, "", "## Proof", "", *proof, "", "## Use", "", use.strip("\n"), "", f"Versions: {written}."]
    write_text(folder / PAGE, "\n".join(lines) + "\n")
    write_export(folder, record)


def told(run_folder: Path, target: Path, record: ExportRecord, proven: Sequence[tuple[str, str]], size: int, use: str) -> Told:
    """What is said once an export stands where it belongs; it is noted in the Run, whose card names it from then on.

    Args:
        size: bytes of the files. use: one line that uses them.
    """
    line = ExportLine(
        form=record.form, quant=record.quant, path=str(target), bytes=size, runtime=record.runtime, proof=dict(proven)
    )
    note_export(run_folder, line)
    write_model_card(run_folder)
    quant = f", {record.quant}" if record.quant else ""
    written = f"{record.form} written to {target} ({size_text(size)}{quant})."
    document = {"path": str(target), "bytes": size, **record.model_dump(mode="json")}
    return Told((written, Pairs([("read back by", record.runtime), *proven]), f"\nUse it: {use}"), document)
