"""Recipes that people write on a page: ``recipes/NAME.yaml`` of a workspace, read by ``studio data build`` like any other."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from studio.core.content import content_roots
from studio.core.errors import ConfigError, UserError
from studio.core.files import write_text
from studio.core.workspace import Workspace
from studio.pages.uploads import uploads_folder

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
_GLOB = re.compile(r"[*?\[]")
# Settings whose text is a place even where it has no slash.
_PLACES = frozenset({"path", "file", "files", "folder", "database"})
_LONGEST = 200_000


def recipes_folder(workspace: Workspace) -> Path:
    """Where the recipes of a workspace lie."""
    return workspace.root / "recipes"


def recipe_path(workspace: Workspace, name: str) -> Path:
    """The file of a recipe.

    Raises:
        UserError: it could not be the name of a file, or of a Dataset.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} cannot be the name of a recipe: use letters, digits, '-', '_' and '.'. Give another.")
    return recipes_folder(workspace) / f"{name}.yaml"


def list_recipes(workspace: Workspace) -> list[Path]:
    """Files of recipes, the last changed first."""
    found = []
    for path in recipes_folder(workspace).glob("[!.]*.yaml"):
        with suppress(OSError):
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def state_of(path: Path) -> str:
    """A word for what a file holds now, by which a page notices that somebody else changed it; empty without a file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def check_recipe(name: str, text: str) -> tuple[str, Any]:
    """Validate the text of a recipe as ``studio data build`` does; its kind and its settings.

    Raises:
        ConfigError: the first mistake, in one sentence that begins with ``NAME.yaml:LINE``.
    """
    from studio.data.kinds import load_recipe

    if len(text) > _LONGEST:
        raise ConfigError(f"{name}.yaml: holds {len(text):,} characters, and a recipe {_LONGEST:,} at most. Shorten it.")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            kind, settings = load_recipe(path)
        except ConfigError as error:
            raise ConfigError(str(error).replace(f"{path.parent}/", "")) from None
    return kind.name, settings


def line_of(sentence: str) -> int | None:
    """The line that a sentence about a recipe speaks of."""
    found = re.match(r"\S+\.yaml:(\d+)", sentence)
    return int(found[1]) if found else None


def check_places(workspace: Workspace, settings: Any) -> None:
    """Refuse a recipe that reads files of this machine beside what was brought, what was built and what the studio ships.

    For those who may train and not administer: a page must not lend them the server's disk.

    Raises:
        UserError: names the place.
    """
    beside = recipes_folder(workspace)
    roots = [uploads_folder(workspace), workspace.datasets, *content_roots("data_recipes")]
    roots = [root.resolve() for root in roots]
    for key, text in _texts(settings.model_dump(mode="json")):
        for path in _meant(key, text, beside):
            if not any(path.is_relative_to(root) for root in roots):
                raise UserError(
                    f"{key} is {text!r}, which lies on the server and was not brought here. Upload it, or ask somebody "
                    "with the role administer."
                )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a recipe with the name of its setting."""
    if isinstance(value, str):
        yield key, value
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield from _texts(inner, str(name))
    for inner in value if isinstance(value, list) else ():
        yield from _texts(inner, key)


def _meant(key: str, text: str, beside: Path) -> Sequence[Path]:
    """Places on this machine that a text may mean; none for words, addresses and what is nowhere."""
    if len(text) > 4_000 or "\n" in text or "\0" in text:
        return ()
    plain = text.removeprefix("file://")
    fixed = _GLOB.split(plain)[0] if _GLOB.search(plain) else plain
    try:
        path = Path(fixed).expanduser()
    except RuntimeError:  # ~ and a word that is no user
        return ()
    # A relative place is looked for in the folder of the server, then beside the recipe (studio.data.sources.find_place).
    place = path if path.is_absolute() else next((one for one in (Path.cwd() / path, beside / path) if one.exists()), None)
    if path.is_absolute() or ".." in path.parts:
        return [(place or beside / path).resolve()]
    if place is None or not fixed or (key not in _PLACES and "/" not in fixed):
        return ()
    return [place.resolve()]


def save_recipe(workspace: Workspace, name: str, text: str, *, seen: str, replace: bool = False, anywhere: bool = True) -> Path:
    """Write a recipe that is right.

    Args:
        seen: what :func:`state_of` said when the text was shown; another state now is somebody else's work.
        replace: overwrite that too.
        anywhere: it may read any file of this machine.
    Raises:
        ConfigError: the text has a mistake. UserError: the name cannot be used, or a recipe of that name is there.
        StudioError: the disk is full or read-only.
    """
    path = recipe_path(workspace, name)
    _, settings = check_recipe(name, text)
    if not anywhere:
        check_places(workspace, settings)
    now = state_of(path)
    if now and now != seen and not replace and path.read_text(encoding="utf-8") != text:
        raise TakenError(
            f"there is a recipe {name!r} already, and it is not overwritten. Give another name, or say that it goes."
        )
    write_text(path, text)
    return path


class TakenError(UserError):
    """A recipe of that name is there, and nobody said that it goes."""
