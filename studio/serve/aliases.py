"""Alias names (``production``): one file says which model each stands for, so a switch is one rename. Standard library only.

An alias may have a canary: a second model that answers a share of those who ask. Who is on which side is decided by a hash of the
person or of the conversation: nobody changes sides from one request to the next, and a larger share keeps those who were in.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from studio.core.errors import UserError, nearest
from studio.serve.books import Watched, changing, read_book

EMPTY: dict[str, Any] = {"format": 1, "aliases": {}}
_KEPT = 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

By = Literal["user", "conversation"]
BY: tuple[By, ...] = ("user", "conversation")
"""What keeps its side: whoever the key (and the field ``user`` of the request) names, or a conversation, by how it began."""


@dataclass(frozen=True)
class Canary:
    """A model on trial behind an alias.

    share: of people (or conversations) that it answers, 0 to 1. salt: makes another trial choose other people. since: ISO time.
    """

    model: str
    run: str
    share: float
    by: By
    salt: str
    since: str

    def takes(self, whom: str) -> bool:
        """Whether someone is on the canary's side; the same answer every time, and still true when the share grows."""
        digest = hashlib.sha256(f"{self.salt}\0{whom}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") < self.share * 2**64


@dataclass(frozen=True)
class Way:
    """Where an alias leads."""

    model: str
    canary: Canary | None = None

    def lead(self, user: str, request: Mapping[str, Any], served: Callable[[str], bool]) -> str:
        """The model for a request: the canary's for those on its side, as long as it is served."""
        if self.canary is None or not served(self.canary.model):
            return self.model
        return self.canary.model if self.canary.takes(_whom(self.canary.by, user, request)) else self.model


def _whom(by: By, user: str, request: Mapping[str, Any]) -> str:
    """Who or what keeps its side. A talk is known by its turns up to the first of the user, which every later request repeats."""
    if by == "user":
        return f"{user}\0{request.get('user') or ''}"
    turns = request.get("messages")
    if not isinstance(turns, list):
        return json.dumps([user, request.get("input", request.get("prompt"))], sort_keys=True, default=str)
    first = next((place for place, turn in enumerate(turns) if isinstance(turn, dict) and turn.get("role") == "user"), len(turns))
    return json.dumps([user, turns[: first + 1]], sort_keys=True, default=str)


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
        entry["now"] = {"model": model, "run": run, "since": _now()}
        entry.pop("canary", None)
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
        entry.pop("canary", None)
    return str(left["model"]), str(entry["now"]["model"])


def list_aliases(path: Path) -> dict[str, dict[str, str]]:
    """Alias to ``model``, ``run`` and ``since``."""
    return {name: entry["now"] for name, entry in read_book(path, EMPTY)["aliases"].items() if entry["now"]}


def check_canary(path: Path, alias: str, share: float, by: str) -> None:
    """What can be said of a trial before anything is loaded.

    Raises:
        UserError: there is no such alias, or the share or what keeps its side is none.
    """
    if not 0 < share < 1:
        raise UserError(f"a share of {share:g} is none: give a number between 0 and 1, for example 0.1.")
    if by not in BY:
        raise UserError(f"sides are kept by {' or '.join(BY)}, not by {by!r}.{nearest(by, BY)}")
    _entry(read_book(path, EMPTY)["aliases"], alias)


def start_canary(path: Path, alias: str, model: str, run: str, *, share: float, by: str = "user") -> Canary:
    """Let a model answer a share of those who ask for an alias; the same run again changes the share and keeps who was in.

    Raises:
        UserError: there is no such alias, the share is none, or the model stands there already.
    """
    check_canary(path, alias, share, by)
    with changing(path, {"format": 1, "aliases": {}}) as book:
        entry = _entry(book["aliases"], alias)
        if entry["now"]["run"] == run:
            raise UserError(f"{alias} is {model} already ({run}), so it cannot be tried beside itself.")
        before = _canary(entry)
        again = before is not None and before.run == run and before.by == by
        salt, since = (before.salt, before.since) if before is not None and again else (secrets.token_hex(8), _now())
        found = Canary(model, run, share, cast("By", by), salt, since)
        entry["canary"] = vars(found)
    return found


def end_canary(path: Path, alias: str) -> Canary:
    """Let an alias stand for its model alone again; returns what was on trial.

    Raises:
        UserError: there is no such alias, or nothing is on trial behind it.
    """
    with changing(path, {"format": 1, "aliases": {}}) as book:
        entry = _entry(book["aliases"], alias)
        found = _canary(entry)
        if found is None:
            raise UserError(f"nothing is on trial behind {alias}; it is {entry['now']['model']} for everybody.")
        del entry["canary"]
    return found


def list_canaries(path: Path) -> dict[str, Canary]:
    """Alias to what is on trial behind it."""
    found = {name: _canary(entry) for name, entry in read_book(path, EMPTY)["aliases"].items()}
    return {name: canary for name, canary in found.items() if canary is not None}


def ever_behind(path: Path, alias: str) -> list[dict[str, str]]:
    """What an alias stands for, tries, and stood for, the newest first: ``model`` and ``run``; empty without such an alias."""
    entry = read_book(path, EMPTY)["aliases"].get(alias) or {}
    found = [one for one in (entry.get("now"), entry.get("canary"), *reversed(entry.get("before", ()))) if one]
    return [{"model": str(one["model"]), "run": str(one["run"])} for one in found]


def _entry(aliases: dict[str, Any], alias: str) -> dict[str, Any]:
    """An alias that stands for something.

    Raises:
        UserError: there is none of that name.
    """
    if not (aliases.get(alias) or {}).get("now"):
        raise UserError(f"there is no alias {alias!r}.{nearest(alias, aliases)} Make it: studio serve promote RUN --as {alias}")
    return cast("dict[str, Any]", aliases[alias])


def _canary(entry: Mapping[str, Any]) -> Canary | None:
    """What is on trial in an entry of the book."""
    kept = entry.get("canary")
    return Canary(**{name: kept[name] for name in Canary.__dataclass_fields__}) if kept else None


def _now() -> str:
    """This moment, as the book keeps it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def alias_reader(path: Path) -> Watched[dict[str, Way]]:
    """Alias to where it leads, for the guard."""
    return Watched(
        path,
        lambda book: {n: Way(entry["now"]["model"], _canary(entry)) for n, entry in book["aliases"].items() if entry["now"]},
        EMPTY,
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
