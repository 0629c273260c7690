"""An option of a command that only some kinds understand, said by the kind itself; the command line makes a real one of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option.

    name: of the argument it becomes. type: ``bool``, ``str``, ``int``, or one of them or None. default: its value when it is not
    given. flag: ``--name``. help: one line. least: smallest number allowed.
    """

    name: str
    type: Any
    default: Any
    flag: str
    help: str
    least: int | None = None
