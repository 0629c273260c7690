"""Errors that reach a person. Each is one sentence: the value, the place, what is allowed, the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StudioError(Exception):
    """Something failed that is not the user's doing, or could not have been known before (exit code 1)."""

    exit_code = 1


class UserError(StudioError):
    """Input that can be put right by the person who gave it (exit code 2)."""

    exit_code = 2


class ConfigError(UserError):
    """A user's YAML file or ``--set`` value is wrong; the message starts with ``file:line:``.

    ``location`` is the path to the setting that is meant (``("lora", "rank")``), empty where it is the whole.
    """

    location: tuple[str | int, ...] = ()

    def __init__(self, message: str, location: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.location = location


class DataError(UserError):
    """A data file or row cannot be used; the message names the file, the row and the reason."""


class MissingExtraError(UserError):
    """An optional package is needed for what was asked; the message has the pip line."""


class GateNotMetError(StudioError):
    """A check, a plan or a threshold was not met (exit code 3)."""

    exit_code = 3


class InterruptedRunError(StudioError):
    """The person or the system asked to stop, and everything needed to go on was saved (exit code 130)."""

    exit_code = 130


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest allowed name, or the shortest one with these initials; or nothing."""
    known = list(allowed)
    initials = [other for other in known if "_" in other and "".join(part[:1] for part in other.split("_")) == name]
    match = sorted(initials, key=len) or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" Did you mean {match[0]!r}?" if match else ""
