"""How commands talk: results to stdout, remarks to stderr; with ``--json`` stdout holds one JSON document and nothing else.

``main`` adds ``--json`` and ``--workspace`` to every command (a command function declares neither), sets the state below, and
catches every error. A command reads ``open_workspace()`` and ``json_wanted()``, prints with ``say`` and ``table``, and hands its
result to ``emit_json`` once at the end::

    def list_things() -> None:
        '''List things.'''
        things = ...
        if json_wanted():
            emit_json(things)
        else:
            table(["name", "rows"], [[thing.name, thing.rows] for thing in things], right=["rows"])
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from studio.core.telling import Drawn, Pairs, Table, Told, cell_text, duration_text, size_text

if TYPE_CHECKING:
    from studio.core.workspace import Workspace

__all__ = [
    "cell_text",
    "duration_text",
    "emit_json",
    "json_wanted",
    "note",
    "open_workspace",
    "pairs",
    "say",
    "screen_width",
    "set_json",
    "set_workspace",
    "size_text",
    "table",
    "tell",
    "warn",
]


@dataclass
class _State:
    """What the options that every command has were set to."""

    json: bool = False
    workspace: str | None = None


_state = _State()


def set_json(wanted: bool) -> None:
    """Switch JSON output on or off; called by ``main`` while options are read."""
    _state.json = wanted


def set_workspace(chosen: str | None) -> None:
    """Remember ``--workspace``; called by ``main`` while options are read."""
    _state.workspace = chosen


def json_wanted() -> bool:
    """True when ``--json`` was given: print the result with ``emit_json`` only."""
    return _state.json


def open_workspace(chosen: str | Path | None = None) -> Workspace:
    """The workspace of this command: the argument, else ``--workspace``, else ``STUDIO_WORKSPACE``, else the default."""
    from studio.core.workspace import Workspace

    return Workspace.open(chosen or _state.workspace)


def say(text: str = "") -> None:
    """Print a result for people: to stdout, or to stderr when stdout is kept for JSON."""
    _write(text, sys.stderr if _state.json else sys.stdout)


def note(text: str) -> None:
    """Print a remark about what is going on: always to stderr."""
    _write(text, sys.stderr)


def warn(text: str) -> None:
    """Print ``warning: text`` to stderr."""
    _write(f"warning: {text}", sys.stderr)


def emit_json(value: Any) -> None:
    """Print the one JSON document of a command to stdout; pydantic models, dataclasses and paths are written as plain values."""
    _write(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False), sys.stdout)


def tell(told: Told) -> None:
    """Print what a stage hands back: its document when JSON is wanted, else its blocks one after the other."""
    if json_wanted():
        emit_json(told.document)
        if not told.document:  # an empty list says nothing by itself; this goes to stderr
            for block in told.blocks:
                if isinstance(block, str):
                    say(block)
        return
    for block in told.blocks:
        if isinstance(block, Table):
            table(block.columns, block.rows, right=block.right, empty=block.empty)
        elif isinstance(block, Pairs):
            pairs(block.rows)
        elif isinstance(block, Drawn):
            block.draw(_console())
        elif isinstance(block, str):
            say(block)
        elif sys.stdout.isatty():
            note(block.text)


def _console() -> Any:
    """A console on the stream results go to; it knows by itself whether there are colours."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, soft_wrap=True, emoji=False, markup=False)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = (), empty: str = "Nothing to show."
) -> None:
    """Print rows under headings; columns are aligned by the width they take on screen.

    Args:
        right: headings of the columns that are aligned on the right, usually numbers.
        empty: what to say instead when there are no rows.
    On a terminal the widest column is cut with ``…`` to fit; piped, nothing is cut.
    """
    cells = [[cell_text(value) for value in row] for row in rows]
    if not cells:
        say(empty)
        return
    widths = [max(screen_width(line[index]) for line in [list(columns), *cells]) for index in range(len(columns))]
    stream = sys.stderr if _state.json else sys.stdout
    if stream.isatty():
        _shrink(widths, shutil.get_terminal_size().columns - 2 * (len(columns) - 1))
    right_aligned = {index for index, heading in enumerate(columns) if heading in set(right)}
    bold, plain = ("\x1b[1m", "\x1b[0m") if stream.isatty() and not os.environ.get("NO_COLOR") else ("", "")
    say(bold + _line(columns, widths, right_aligned) + plain)
    say("  ".join("-" * width for width in widths))
    for line in cells:
        say(_line(line, widths, right_aligned))


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Print ``name  value`` lines, the values aligned."""
    lines = [(name, cell_text(value)) for name, value in rows]
    width = max((screen_width(name) for name, _ in lines), default=0)
    for name, value in lines:
        say(f"{name}{' ' * (width - screen_width(name))}  {value}".rstrip())


def screen_width(text: str) -> int:
    """Columns a text takes on a terminal: wide characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _line(cells: Sequence[str], widths: Sequence[int], right_aligned: set[int]) -> str:
    """One table line, cells cut and padded to their widths."""
    padded = []
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text = _cut(cell, width)
        space = " " * (width - screen_width(text))
        padded.append(space + text if index in right_aligned else text + space)
    return "  ".join(padded).rstrip()


def _cut(text: str, width: int) -> str:
    """The text, or its beginning and an ellipsis where it is too wide."""
    if screen_width(text) <= width:
        return text
    while text and screen_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _shrink(widths: list[int], room: int) -> None:
    """Take columns from the widest until all fit into ``room``; no column gets under eight."""
    while sum(widths) > room and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1


def _plain(value: Any) -> Any:
    """A value as JSON knows it; not-a-number and infinity become null because JSON has neither."""
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(mode="json"))
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    return value.item() if hasattr(value, "item") else str(value)


def _write(text: str, stream: TextIO) -> None:
    """Print one line; characters that the stream's encoding lacks are replaced rather than fatal."""
    try:
        print(text, file=stream, flush=True)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        print(text.encode(encoding, errors="replace").decode(encoding), file=stream, flush=True)
