"""Where artefacts live: ``--workspace``, else ``STUDIO_WORKSPACE``, else ``./studio-workspace``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import UserError, nearest
from studio.core.files import disk_errors
from studio.core.records import DatasetRecord, RunRecord, read_record

# So many names are listed where one is wrong, the newest.
_LISTED = 10


def cache_folder() -> Path:
    """Folder for fetched starters and probes, shared by all workspaces: ``STUDIO_CACHE`` or ``~/.cache/finetuning-studio``."""
    chosen = os.environ.get("STUDIO_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetuning-studio"


@dataclass(frozen=True)
class Workspace:
    """The folder that holds datasets and runs; nothing is created until something is written."""

    root: Path

    @classmethod
    def open(cls, chosen: str | Path | None = None) -> Workspace:
        """Choose the workspace by option, environment or default."""
        return cls(Path(chosen or os.environ.get("STUDIO_WORKSPACE") or "studio-workspace").expanduser().resolve())

    @classmethod
    def around(cls, run_folder: Path) -> Workspace:
        """The workspace that a Run lies in (``runs/<name>/<time>-<id>/``); of a Run that was copied out, some folder above it."""
        return cls(run_folder.resolve().parent.parent.parent)

    @property
    def datasets(self) -> Path:
        """Folder of Datasets: ``datasets/<name>/<fingerprint>/``."""
        return self.root / "datasets"

    @property
    def runs(self) -> Path:
        """Folder of Runs: ``runs/<name>/<time>-<id>/``."""
        return self.root / "runs"

    def benchmark_folder(self, kind: str) -> Path | None:
        """Folder with the files of a published benchmark: below ``STUDIO_BENCHMARKS``, else below ``benchmarks`` in here."""
        shared = os.environ.get("STUDIO_BENCHMARKS")
        roots = [Path(shared).expanduser()] if shared else []
        return next((root / kind for root in [*roots, self.root / "benchmarks"] if (root / kind).is_dir()), None)

    def check_writable(self) -> None:
        """Fail at once, in one sentence, when nothing could be written here later.

        Raises:
            StudioError: the folder cannot be made or written.
        """
        with disk_errors("a test file", self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()

    def list_datasets(self) -> list[Path]:
        """Folders of whole Datasets, newest first."""
        return _newest_first(self.datasets, "dataset.json")

    def list_runs(self) -> list[Path]:
        """Folders of all Runs, whole or not, newest first."""
        return _newest_first(self.runs, "run.json")

    def built_names(self) -> str:
        """Names of the newest Datasets for a sentence, ten at most, and how many more there are; empty without any."""
        names = list(dict.fromkeys(folder.parent.name for folder in self.list_datasets()))
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        return ", ".join(sorted(names[:_LISTED])) + more

    def find_dataset(self, reference: str) -> Path:
        """Resolve a Dataset by path, by name (its newest build), or by the start of its fingerprint.

        Raises:
            UserError: nothing matches; what exists is named.
        """
        path = Path(reference).expanduser()
        if (path / "dataset.json").is_file():
            return path.resolve()
        folders = self.list_datasets()
        name = reference.removesuffix("/").rpartition("/")[2]
        for folder in folders:
            if folder.parent.name == name or f"{folder.parent.name}/{folder.name}" == reference:
                return folder
        prefixed = [folder for folder in folders if len(name) >= 4 and folder.name.startswith(name)]
        if prefixed:
            return prefixed[0]
        names = [folder.parent.name for folder in folders]
        raise UserError(
            f"there is no dataset {reference!r} in {self.datasets}.{nearest(reference, names)} "
            f"Built: {self.built_names() or 'none'}. Build one: studio data build RECIPE"
        )

    def find_run(self, reference: str) -> Path:
        """Resolve a Run by path, by name (its newest), by id, or ``last`` for the newest of all.

        Raises:
            UserError: nothing matches; what exists is named.
        """
        path = Path(reference).expanduser()
        if (path / "run.json").is_file():
            return path.resolve()
        folders = self.list_runs()
        if reference == "last" and folders:
            return folders[0]
        name = reference.removesuffix("/")
        for folder in folders:
            identity = folder.name.rpartition("-")[2]
            if name in {folder.parent.name, folder.name, identity, f"{folder.parent.name}/{folder.name}"}:
                return folder
        known = [f"{folder.parent.name}/{folder.name}" for folder in folders]
        raise UserError(
            f"there is no run {reference!r} in {self.runs}.{nearest(reference, known)} "
            f"Known: {', '.join(known[:8]) or 'none'}. Train one: studio train chat/lora --data DATASET"
        )


def run_dataset(run: RunRecord, workspace: Workspace) -> Path:
    """Folder of the Dataset a Run was trained on: where it was, or else the build of that fingerprint in the workspace.

    Raises:
        UserError: it is nowhere to be found.
    """
    recorded = Path(str(run.dataset.get("path", "")))
    if (recorded / "dataset.json").is_file():
        return recorded
    for folder in workspace.list_datasets():
        if folder.name == run.dataset.get("fingerprint"):
            return folder
    raise UserError(
        f"the dataset of the run, {run.dataset.get('name', 'unnamed')}, is no longer at {recorded} nor in {workspace.datasets}. "
        "Build it again, or give another with --data DATASET."
    )


def read_dataset(folder: Path) -> DatasetRecord:
    """Read ``dataset.json``; see :func:`studio.core.records.read_record`."""
    return read_record(folder / "dataset.json", DatasetRecord)


def read_run(folder: Path) -> RunRecord:
    """Read ``run.json``; see :func:`studio.core.records.read_record`."""
    return read_record(folder / "run.json", RunRecord)


def _newest_first(root: Path, marker: str) -> list[Path]:
    """Folders two levels down that hold the marker file; hidden (unfinished) folders are not seen."""
    found = [file.parent for file in root.glob(f"[!.]*/[!.]*/{marker}")]
    return sorted(found, key=lambda folder: ((folder / marker).stat().st_mtime, folder.name), reverse=True)


# File systems take names of 255 bytes; what is written beside a run's folder adds an ending.
_LONGEST_NAME = 200


def check_run_name(name: str) -> None:
    """Refuse what cannot be the folder of a run.

    Raises:
        UserError: as it says.
    """
    if not name or name.startswith(".") or "/" in name:
        raise UserError(f"{name!r} cannot name a run. Use letters, digits, '-', '_' and '.'.")
    if (size := len(name.encode())) > _LONGEST_NAME:
        raise UserError(f"'{name[:20]}…' cannot name a run: it has {size} bytes, and {_LONGEST_NAME} are allowed. Shorten it.")
