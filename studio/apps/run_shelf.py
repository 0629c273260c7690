"""Runs of a workspace that an app can use: which there are, the one it begins with, and the few that stay loaded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from studio.core.errors import StudioError, UserError
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run
from studio.train.kinds import RUN_KINDS

Loaded = TypeVar("Loaded")


def shows(record: RunRecord, app: str) -> bool:
    """True when runs of this kind are shown in the app of that name, whether this one has weights already or not."""
    return record.kind in RUN_KINDS and bool(RUN_KINDS.get(record.kind).app == app)


def reference_of(folder: Path) -> str:
    """``name/time-id`` of a run folder."""
    return f"{folder.parent.name}/{folder.name}"


@dataclass(frozen=True)
class Words:
    """How sentences about an app's runs go on.

    wanted: after "there is no run". remedy: how to come by one. unfit: what is wrong with a run of another kind, or without
    weights yet. choices: what one chooses from.
    """

    wanted: str
    remedy: str
    unfit: str
    choices: str


class RunShelf(Generic[Loaded]):
    """The runs of a workspace that one app can use, newest first after the one it begins with.

    lock: to be held while a run is loaded or works. Switching an adapter off reaches everyone who uses it.
    """

    def __init__(
        self,
        workspace: Workspace,
        reference: str | None,
        *,
        usable: Callable[[RunRecord, Path], bool],
        load: Callable[[Path], Loaded],
        words: Words,
        keep: int = 1,
    ) -> None:
        """Find the run to begin with.

        Args:
            reference: that run; None takes the newest usable one.
            usable: whether the app can use a run, from its record and its folder.
            load: opens the run of a folder.
            keep: how many runs stay loaded; every one takes the memory of a whole base.
        Raises:
            UserError: no such run, or none that is usable yet.
        """
        self._workspace, self._usable, self._load, self._words, self._keep = workspace, usable, load, words, keep
        self._loaded: OrderedDict[Path, Loaded] = OrderedDict()
        self.lock = threading.Lock()
        self._asked = self._asked_for(reference) if reference is not None else None
        known = [self._asked] if self._asked else self._usable_runs()
        if not known:
            raise UserError(f"there is no run {words.wanted} in {workspace.runs} yet. {words.remedy}")
        self._first = known[0]

    def choices(self) -> list[str]:
        """``name/time-id`` of the run to begin with, then of the other usable runs."""
        usable = self._usable_runs()
        # Where nobody asked for one, a run that was finished meanwhile comes first.
        first = self._asked or (usable[0] if usable else self._first)
        return [reference_of(folder) for folder in (first, *(folder for folder in usable if folder != first))]

    def unknown(self, name: str) -> UserError:
        """The error for a name that is not among the choices."""
        return UserError(f"{name!r} is not among the {self._words.choices} here. Choose another from the list.")

    def loaded(self, folder: Path) -> Loaded:
        """A run, loaded once; the one not used for longest goes when there are too many. Call with the lock held."""
        if folder not in self._loaded:
            while len(self._loaded) >= self._keep:
                self._loaded.popitem(last=False)
            self._loaded[folder] = self._load(folder)
        self._loaded.move_to_end(folder)
        return self._loaded[folder]

    def is_loaded(self, folder: Path) -> bool:
        """True when a run lies in memory."""
        return folder in self._loaded

    def _asked_for(self, reference: str) -> Path:
        """The folder of the run that a person named."""
        folder = self._workspace.find_run(reference)
        if not self._can_use(folder):
            record = read_run(folder)
            raise UserError(
                f"the run {reference_of(folder)} is of kind {record.kind!r} and {record.status}: it {self._words.unfit}. Choose "
                "another (studio runs list)."
            )
        return folder

    def _usable_runs(self) -> list[Path]:
        """Folders of the runs that can be used, newest first."""
        return [folder for folder in self._workspace.list_runs() if self._can_use(folder)]

    def _can_use(self, folder: Path) -> bool:
        """False for a damaged run too."""
        try:
            record = read_run(folder)
        except StudioError:
            return False
        return self._usable(record, folder)
