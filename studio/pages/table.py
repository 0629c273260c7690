"""The pages of the studio, in the order of the road. A page is a module of ``rooms`` and a line here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.core.translation import later

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


@dataclass(frozen=True)
class Room:
    """One page of the navigation.

    path: where it begins. title: its name, translated where it is shown. module: of ``studio.pages.rooms``; its ``ROUTES`` are
    what it answers. mark: path of its picture, in a square of 24.
    """

    path: str
    title: str
    module: str
    mark: str


ROOMS = (
    Room("/", later("Home"), "home", "M3 11.5 12 4l9 7.5M6 9.5V20h12V9.5"),
    Room("/data", later("Data"), "data", "M4 6c0-4 16-4 16 0v12c0 4-16 4-16 0zM4 6c0 4 16 4 16 0M4 12c0 4 16 4 16 0"),
    Room("/train", later("Train"), "train", "M4 19h16M6 19V9m6 10V4m6 15v-7"),
    Room("/runs", later("Runs"), "runs", "M4 6h16M4 12h16M4 18h10"),
    Room("/evaluate", later("Evaluate"), "evaluate", "M4 20V10M10 20V4M16 20v-7M21 20H3"),
    Room("/try", later("Try"), "trying", "M4 5h16v11H10l-4 4v-4H4z"),
    Room("/serve", later("Serve"), "serve", "M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01"),
    Room("/watch", later("Watch"), "watch", "M2 12s4-6 10-6 10 6 10 6-4 6-10 6-10-6-10-6zM12 10v4M10 12h4"),
)  # fmt: skip


def all_routes() -> list[BaseRoute]:
    """What all pages answer."""
    found: list[BaseRoute] = []
    for name in dict.fromkeys([*(room.module for room in ROOMS), "projects", "jobs", "reports"]):
        found += importlib.import_module(f"studio.pages.rooms.{name}").ROUTES
    return found


def warm() -> None:
    """Import what pages need and the first one that is looked at must not wait for."""
    for room in ROOMS:
        module = importlib.import_module(f"studio.pages.rooms.{room.module}")
        getattr(module, "warm", lambda: None)()
