"""The studio's own command lines in units, manifests, scripts and pages, so that they can be read by its parser."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# A shell variable or a word in capitals stands for what a person fills in; the parser needs some value there.
_FILLED_IN = re.compile(r"\"?\$\{?\w+\}?\"?")
_ALL = '"$@"'


def studio_lines(path: Path) -> Iterator[list[str]]:
    """Arguments behind ``studio`` of every command in a file; a line that goes on behind a pipe or ``&&`` is cut there."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        yield from _in_yaml(text)
    elif path.suffix == ".service":
        for line in re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE):
            words = shlex.split(line.replace("%%", "%").replace("$$", "$"))
            if Path(words[0]).name == "studio":
                yield words[1:]
    else:
        for line in re.findall(r"(?:^|`|\(|&& |; )\s*studio ([^`\n]+)", text, re.MULTILINE):
            yield from _in_shell(line)


def _in_yaml(text: str) -> Iterator[list[str]]:
    """Commands given as lists of words, of containers and tasks."""

    def walk(value: Any) -> Iterator[list[str]]:
        if isinstance(value, dict):
            words = [*(value.get("command") or ()), *(value.get("args") or ())] if isinstance(value.get("command"), list) else []
            if words and words[0] == "studio":
                yield [str(word) for word in words[1:]]
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    for document in yaml.safe_load_all(text):
        yield from walk(document)


def _in_shell(line: str) -> Iterator[list[str]]:
    """One command of a shell line."""
    try:
        words = shlex.split(_FILLED_IN.sub("X", re.split(r"\s*(?:&&|\|\||[|;><])\s*", line.replace(_ALL, ""))[0]), comments=True)
    except ValueError:
        return
    if words:
        yield [word for word in words if word != "..."]
