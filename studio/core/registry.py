"""Names for things that YAML may ask for. Entries are ``module:attribute`` strings, imported when first used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from studio.core.errors import UserError, nearest


class Registry:
    """A table from registry key to a lazily imported object.

    A YAML file can only name a key, never a Python path, so reading a stranger's file runs no code.
    """

    def __init__(self, kind: str, entries: dict[str, str] | None = None) -> None:
        """``kind`` is the noun used in messages, for example ``"cleaning step"``."""
        self.kind = kind
        self._targets: dict[str, str] = {}
        for name, target in (entries or {}).items():
            self.add(name, target)

    def add(self, name: str, target: str) -> None:
        """Register ``module:attribute`` under a name; a name taken twice is a programming error."""
        if name in self._targets:
            raise ValueError(f"{self.kind} {name!r} is registered twice: {self._targets[name]} and {target}")
        self._targets[name] = target

    def get(self, name: str) -> Any:
        """Import and return the object behind a name.

        Raises:
            UserError: no such name; the nearest one is offered.
        """
        if name not in self._targets:
            raise UserError(
                f"unknown {self.kind} {name!r}.{nearest(name, self._targets)} Allowed: {', '.join(sorted(self._targets))}"
            )
        module, _, attribute = self._targets[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def target(self, name: str) -> str:
        """The ``module:attribute`` string behind a registered name; imports nothing."""
        return self._targets[name]

    def in_order(self) -> list[str]:
        """Names in the order they were registered; imports nothing."""
        return list(self._targets)

    def __contains__(self, name: object) -> bool:
        """True when the name is registered; imports nothing."""
        return name in self._targets

    def __iter__(self) -> Iterator[str]:
        """Names in alphabetical order; imports nothing."""
        return iter(sorted(self._targets))
