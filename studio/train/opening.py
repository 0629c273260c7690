"""What opening a Run of any kind begins with: the preset behind a name, the Dataset, the run's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.content import find_content
from studio.core.errors import UserError
from studio.core.records import DatasetRecord
from studio.core.workspace import Workspace, read_dataset
from studio.data.kinds import rows_of

Say = Callable[[str], None]

SCRATCH: dict[str, Any] = {
    "name": "scratch",
    "path": None,
    "revision": None,
    "sha256": None,
    "licence": None,
    "source": "scratch",
}
"""What stands under ``base`` in the record of a run that had none."""


@dataclass(frozen=True)
class Asked:
    """A preset with what a person changes of it.

    preset: its file; the ``config.yaml`` of a run is one too. called: how the person named it. data, model: Dataset and base,
    None for the preset's own. settings: ``key=value`` lines. name: of the run, None for Dataset and preset. processes: on this
    machine, one per GPU.
    """

    preset: Path
    called: str
    data: str | None = None
    model: str | None = None
    settings: Sequence[str] = ()
    name: str | None = None
    processes: int = 1

    @property
    def overrides(self) -> list[str]:
        """All of it as settings; quoted, because a fingerprint or a folder may look like a number."""
        given = {"data": self.data, "model": self.model}
        return [*self.settings, *(f"{key}={json.dumps(value)}" for key, value in given.items() if value)]

    def run_name(self, dataset: DatasetRecord) -> str:
        """Name of the run: as given, else that of the run whose preset it is, else Dataset and preset."""
        again = self.preset.name == "config.yaml"
        stem = self.preset.parent.parent.name if again else self.preset.stem
        return self.name or (stem if again else f"{dataset.name}-{stem}")


def find_preset(name: str, workspace: Workspace) -> Path:
    """The YAML file behind a preset's name, a path, or a run (by name, id or folder), whose resolved preset it is.

    Raises:
        UserError: neither a preset nor a run has that name.
    """
    try:
        return find_content("adapters", name)
    except UserError as unknown:
        try:
            return workspace.find_run(name) / "config.yaml"
        except UserError:
            raise unknown from None


def named_dataset(reference: str | None, workspace: Workspace) -> str:
    """The reference itself.

    Raises:
        UserError: none was given; what is built is named.
    """
    if reference is None:
        built = workspace.built_names() or "none; build one with studio data build RECIPE"
        raise UserError(f"which Dataset? Add --data NAME. Built: {built}")
    return reference


def find_rows(reference: str | None, workspace: Workspace, *, kind: str, rows: str, example: str) -> tuple[Path, DatasetRecord]:
    """The Dataset to train on and its record.

    Args:
        kind: of Dataset that is needed; rows: what its rows are called; example: a recipe that makes one.
    Raises:
        UserError: none is named, there is no such Dataset, or it holds other rows.
    """
    folder = workspace.find_dataset(named_dataset(reference, workspace))
    record = read_dataset(folder)
    if record.kind != kind:
        raise UserError(
            f"the dataset {record.name} holds {rows_of(record)}, and this preset trains on {rows}. "
            f"Build one: studio data build {example}"
        )
    return folder, record
