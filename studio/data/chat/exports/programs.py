"""Which files are people's chats, by what stands at their beginning; each file is looked at, its name is not asked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ijson

from studio.core.errors import DataError, StudioError
from studio.data.chat.exports import discord, gemini, messenger, slack, telegram, whatsapp
from studio.data.chat.exports.base import Chat, Heard
from studio.data.readers.base import ReadOptions
from studio.data.readers.encoding import AsUtf8, known, settled, with_mark
from studio.data.readers.packed import plain_file
from studio.data.sources import DataFile

PROGRAMS = ("ChatGPT", "Claude", "Slack", "Discord", "WhatsApp", "Telegram", "Messenger", "Gemini", "a help desk")
# Parts of a JSON file that are looked at before it is taken for something else.
_LOOKED_AT = 20_000
_DEEP = 2_000
_LINES = 40
_SUFFIXES = frozenset({".txt", ".csv", ".json"})
_LINE = 4_000


@dataclass(frozen=True)
class _Head:
    """The beginning of a JSON file: keys of the object it holds, keys of the first object in its first list."""

    top: frozenset[str] = frozenset()
    item: frozenset[str] = frozenset()
    is_list: bool = False


def read_chats(files: Sequence[DataFile], options: ReadOptions, heard: Heard) -> tuple[list[Chat], list[DataFile]]:
    """The chats in the files of a source, and the files that are none.

    Raises:
        DataError: an export is damaged.
    """
    names: dict[Path, dict[str, str]] = {}
    workspaces = _slack_workspaces(files)
    chats: list[Chat] = []
    rest: list[DataFile] = []
    about: list[str] = []
    for file in files:
        if file.path.parent in workspaces and file.path.name in slack.ABOUT:
            about.append(file.path.name)
            continue
        if file.path.suffix.lower() not in _SUFFIXES:
            rest.append(file)
            continue
        with plain_file(file.path) as plain:
            program = program_of_file(plain, options)
            if program is None:
                rest.append(file)
                continue
            chosen = settled(plain, options)
            if program == slack.PROGRAM:
                root = file.path.parent.parent
                names[root] = names.get(root) or _names_in(files, root)
                chats.append(slack.read_slack(file.path, _loaded(plain, chosen), names[root], heard))
            else:
                chats += _read(program, plain, file.label, chosen, heard)
    if about:
        heard.lines.append(f"files of Slack that hold no messages were left out: {', '.join(sorted(set(about)))}")
    return chats, rest


def _names_in(files: Sequence[DataFile], root: Path) -> dict[str, str]:
    """Names of the people of a workspace of Slack, where the export has them."""
    listed = next((file.path for file in files if file.path == root / "users.json"), None)
    if listed is None:
        return {}
    with plain_file(listed) as plain:
        return slack.user_names(plain)


def _read(program: str, path: Path, label: str, options: ReadOptions, heard: Heard) -> list[Chat]:
    """The chats of one file of a program other than Slack."""
    if program == whatsapp.PROGRAM:
        return [whatsapp.read_whatsapp(path, label, options, heard)]
    if program == discord.PROGRAM and path.suffix.lower() == ".csv":
        return [discord.read_discord_csv(path, label, options, heard)]
    value = _loaded(path, options)
    if program == messenger.PROGRAM:
        return [messenger.read_messenger(value, label, heard)]
    if program == gemini.PROGRAM:
        found = gemini.read_gemini(value, label, heard)
        return [found] if found else []
    if program == discord.PROGRAM:
        return [discord.read_discord(value, label, heard)]
    return list(telegram.read_telegram(value, heard))


def program_of_file(path: Path, options: ReadOptions) -> str | None:
    """The program whose people's chats a file holds; None for any other file, and one that cannot be read."""
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        return None
    try:
        # Who reads the file in the end tells its encoding, or that none is certain.
        options = settled(path, replace(options, note=lambda _: None))
        if suffix == ".txt":
            return whatsapp.PROGRAM if whatsapp.is_whatsapp(first_lines(path, options)) else None
        if suffix == ".csv":
            return discord.PROGRAM if discord.is_discord_csv("".join(first_lines(path, options)[:1]).strip()) else None
        head = _head(path, options)
    except (OSError, UnicodeError, StudioError):
        return None
    if head.is_list:
        day = slack.DAY.fullmatch(path.name)
        if gemini.is_gemini(head.top, head.item):
            return gemini.PROGRAM
        return slack.PROGRAM if (day and not head.item) or (head.item and slack.is_slack_message(head.item)) else None
    if messenger.is_messenger(head.top, head.item):
        return messenger.PROGRAM
    if discord.is_discord(head.top, head.item):
        return discord.PROGRAM
    return telegram.PROGRAM if telegram.is_telegram(head.top, head.item) else None


def first_lines(path: Path, options: ReadOptions, count: int = _LINES) -> list[str]:
    """The first lines of a text, each of bounded length.

    Raises:
        UnicodeError: they are not in the encoding that was named.
    """
    with path.open("r", encoding=with_mark(known(options))) as stream:
        return list(itertools.islice(iter(lambda: stream.readline(_LINE), ""), count))


def _slack_workspaces(files: Sequence[DataFile]) -> set[Path]:
    """Folders with folders of days in them."""
    return {file.path.parent.parent for file in files if slack.DAY.fullmatch(file.path.name)}


def _head(path: Path, options: ReadOptions) -> _Head:
    """Keys at the beginning of a JSON file."""
    stream = AsUtf8(path, known(options))
    top: set[str] = set()
    item: set[str] = set()
    first = None
    within: str | None = None
    try:
        for prefix, event, value in itertools.islice(ijson.parse(stream), _LOOKED_AT):
            first = first or event
            if len(prefix) > _DEEP:
                break
            if event == "map_key" and prefix == "":
                top.add(value)
            elif (
                event == "start_map"
                and within is None
                and (prefix == "item" or (prefix.endswith(".item") and prefix.count(".") == 1))
            ):
                within = prefix
            elif event == "map_key" and prefix == within:
                item.add(value)
            elif event == "end_map" and prefix == within and (first == "start_array" or {"messages"} & top):
                break
            elif event == "end_map" and prefix == within:
                within, item = None, set()
    except ijson.JSONError:
        pass
    finally:
        stream.close()
    return _Head(frozenset(top), frozenset(item), first == "start_array")


def _loaded(path: Path, options: ReadOptions) -> Any:
    """A JSON file as a whole.

    Raises:
        DataError: it is cut off or damaged.
    """
    stream = AsUtf8(path, known(settled(path, options)))
    try:
        return json.loads(stream.read())
    except ValueError as error:
        raise DataError(f"{path} is an export that is cut off or damaged ({error}). Export it again.") from None
    finally:
        stream.close()
