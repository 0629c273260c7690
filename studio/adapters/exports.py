"""The forms that a run can be written in besides its own, found through one table; the command line names none of them.

Nothing here, nor the modules that the table names, imports a heavy library before something is written: help texts are made of
what a form says of itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

from studio.core.errors import UserError
from studio.core.registry import Registry
from studio.core.telling import Told

NumberType = Literal["float32", "bfloat16"]

EXPORTS = Registry(
    "export",
    {
        "merged": "studio.adapters.chat.export:Merged",
        "lora": "studio.adapters.chat.export:PlainLora",
        "kohya": "studio.adapters.images.export:Kohya",
    },
)
"""Name of a form to the class that writes it."""
DEFAULT = "merged"


class Export(ABC):
    """One form: what the help says of it, where it goes, and writing it."""

    models: str
    """Which models it is for, in a word."""
    what: str
    """What is written, with its article, as the help of ``studio export`` goes on."""
    takes_rank: bool = False
    """True where a rank can be asked for, which :meth:`write` then takes as ``rank``."""
    place: str
    """Where it goes unless told otherwise, inside the run: a folder with a slash behind it, or a file; NAME is the run's."""

    @abstractmethod
    def write(self, run_folder: Path, target: Path, *, dtype: NumberType) -> Told:
        """Write the run as ``target`` and check it before it appears there.

        Raises:
            UserError: the run is not of the kind that this form is for, or has nothing to write.
            StudioError: what was written is not the same model; nothing is left behind.
        """

    def target(self, run_folder: Path, out: Path | None) -> Path:
        """Where it goes: ``out``, or the usual place. A file may be given by the folder it goes into.

        Raises:
            UserError: something is there already.
        """
        usual = run_folder / self.place.replace("NAME", run_folder.parent.name)
        target, thing = out or usual, "folder"
        if not self.place.endswith("/"):
            thing = "file"
            target = out if out is not None and out.suffix == usual.suffix else (out or usual.parent) / usual.name
        if target.exists():
            raise UserError(f"{target} exists already and is not overwritten. Move it away or give another {thing} with --out.")
        return target


def forms() -> dict[str, Export]:
    """Every form by name, the default first."""
    return {name: EXPORTS.get(name)() for name in sorted(EXPORTS, key=lambda name: (name != DEFAULT, name))}
