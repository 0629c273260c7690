"""Alias names (``production``): one file says which model each stands for, so a switch is one rename. Standard library only."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.core.errors import UserError, nearest
from studio.serve.books import Watched, changing, read_book

EMPTY: dict[str, Any] = {"format": 1, "aliases": {}}
_KEPT = 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(name: str, what: str) -> str:
    """A name that a client may write in ``model``; returns it.

    Raises:
        UserError: it could be taken for a path, or does not fit a metric's label.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise UserError(
            f"{name!r} cannot be {what}: give letters, digits and . _ -, at most 64, beginning with a letter or digit, "
            "for example faq-v2."
        )
    return name


def promote(path: Path, alias: str, model: str, run: str) -> str | None:
    """Let an alias stand for a model from now on; returns what it stood for before.

    Args:
        model: name it is served under.
        run: ``name/time-id`` of the run, so that a later start serves it again.
    Raises:
        UserError: the alias already stands for it.
    """
    check_name(alias, "an alias")
    with changing(path, {"format": 1, "aliases": {}}) as book:
        entry = book["aliases"].setdefault(alias, {"now": None, "before": []})
        before = entry["now"]
        if before is not None:
            if before["model"] == model and before["run"] == run:
                raise UserError(f"{alias} is {model} already ({run}).")
            entry["before"] = [*entry["before"], before][-_KEPT:]
        entry["now"] = {"model": model, "run": run, "since": datetime.now(UTC).isoformat(timespec="seconds")}
    return str(before["model"]) if before else None


def previous(path: Path, alias: str) -> dict[str, str]:
    """What a rollback would return to: ``model``, ``run`` and ``since``.

    Raises:
        UserError: there is no such alias, or nothing stood there before.
    """
    aliases = read_book(path, EMPTY)["aliases"]
    if alias not in aliases:
        raise UserError(f"there is no alias {alias!r}.{nearest(alias, aliases)} Make it: studio serve promote RUN --as {alias}")
    if not aliases[alias]["before"]:
        raise UserError(f"{alias} has only ever been {aliases[alias]['now']['model']}; there is nothing to go back to.")
    found: dict[str, str] = aliases[alias]["before"][-1]
    return found


def rollback(path: Path, alias: str) -> tuple[str, str]:
    """Let an alias stand for what it stood for before; returns the model it left and the one it has now.

    Raises:
        UserError: as :func:`previous`.
    """
    previous(path, alias)
    with changing(path, {"format": 1, "aliases": {}}) as book:
        entry = book["aliases"][alias]
        left, entry["now"] = entry["now"], entry["before"].pop()
    return str(left["model"]), str(entry["now"]["model"])


def list_aliases(path: Path) -> dict[str, dict[str, str]]:
    """Alias to ``model``, ``run`` and ``since``."""
    return {name: entry["now"] for name, entry in read_book(path, EMPTY)["aliases"].items() if entry["now"]}


def alias_reader(path: Path) -> Watched[dict[str, str]]:
    """Alias to model name, for the guard."""
    return Watched(
        path, lambda book: {name: entry["now"]["model"] for name, entry in book["aliases"].items() if entry["now"]}, EMPTY
    )


def model_entries(cards: dict[str, dict[str, Any]], aliases: dict[str, str]) -> list[dict[str, Any]]:
    """What clients see of vLLM's models and of the aliases: no folders, and the context length also for adapters."""
    length = next((card["max_model_len"] for card in cards.values() if card.get("max_model_len")), None)
    shared = {"object": "model", "owned_by": "finetuning-studio", "max_model_len": length}
    shown = [{"id": name, "created": card["created"], "parent": card.get("parent"), **shared} for name, card in cards.items()]
    for alias, name in sorted(aliases.items()):
        if alias not in cards and name in cards:
            shown.append({"id": alias, "created": cards[name]["created"], "parent": name, **shared})
    return shown
