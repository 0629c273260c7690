"""What an app that talks was started with: a run's name, or an address. Several pages of a process can share what they load."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from studio.apps.chat_model import Shelf
from studio.core.workspace import Workspace

Made = TypeVar("Made")

# Whoever loads models for many pages keeps so many of them; what a page still uses lives on with it.
_KEPT = 8
_kept: OrderedDict[Hashable, Any] | None = None
_lock = threading.Lock()


def share() -> None:
    """From now on, pages of this process that are opened with the same thing share it, and the memory its models take."""
    global _kept
    _kept = OrderedDict()


def shared(key: Hashable, make: Callable[[], Made]) -> Made:
    """What was made for a key, where pages share; else made anew.

    Args:
        key: what it is made from.
    """
    if _kept is None:
        return make()
    with _lock:
        if key not in _kept:
            _kept[key] = make()
            while len(_kept) > _KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        found: Made = _kept[key]
        return found


def open_shelf(workspace: Workspace, reference: str | None, key: str | None = None) -> Shelf:
    """The models behind a run's name or an ``http(s)://`` address; None takes the newest run that can speak.

    Args:
        key: for the address; None takes that of the environment.
    Raises:
        UserError: no such run, or none that can speak yet.
    """
    if reference is not None and reference.startswith(("http://", "https://")):
        from studio.apps.endpoint import EndpointShelf

        return EndpointShelf(reference, workspace, key)
    from studio.apps.local_models import LocalShelf

    return shared(("models", workspace.root, reference), lambda: LocalShelf(workspace, reference, every_base=_kept is not None))
