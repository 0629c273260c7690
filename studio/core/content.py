"""Finding the people's YAML: in their own folder, then in the checkout, then in the installed wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from studio.core.errors import UserError, nearest

Kind = Literal["data_recipes", "adapters", "evals", "apps"]

NOUN: dict[Kind, str] = {"data_recipes": "recipe", "adapters": "preset", "evals": "suite", "apps": "server profile"}

_PACKAGE = Path(__file__).resolve().parents[1]
# Folders of files that belong to the YAML beside them and are not named by themselves: word lists of suites.
_PARTS = frozenset({"words"})


def content_roots(kind: Kind) -> list[Path]:
    """Existing folders that hold this kind of YAML, the most specific first."""
    candidates = [Path.cwd() / kind, _PACKAGE.parent / kind, _PACKAGE / "_content" / kind]
    roots: list[Path] = []
    for root in candidates:
        if root.is_dir() and root.resolve() not in [known.resolve() for known in roots]:
            roots.append(root)
    return roots


def list_content(kind: Kind) -> dict[str, Path]:
    """Registry name (``chat/lora``) to file, for everything that can be found; earlier roots win."""
    found: dict[str, Path] = {}
    for root in content_roots(kind):
        for path in sorted(root.rglob("*.yaml")):
            if path.parent.name in _PARTS:
                continue
            found.setdefault(path.relative_to(root).with_suffix("").as_posix(), path)
    return dict(sorted(found.items()))


def find_content(kind: Kind, name: str) -> Path:
    """Resolve a registry name (``chat/lora``), a short name that is unique (``lora``), or a path to a YAML file.

    Raises:
        UserError: no such file or name, and the nearest name is offered; or several that end so.
    """
    path = Path(name).expanduser()
    if path.suffix in {".yaml", ".yml"}:
        if path.is_file():
            return path
        stripped = name.removeprefix(f"{kind}/").removesuffix(path.suffix)
        known = list_content(kind)
        if stripped in known:
            return known[stripped]
        raise UserError(f"there is no {NOUN[kind]} file {name}.{nearest(stripped, known)} Known: {', '.join(known)}")
    if path.is_dir() and (path / "config.yaml").is_file():
        return path / "config.yaml"
    if kind == "data_recipes" and path.exists():
        raise UserError(f"{name} is data, and a recipe is asked for. Have one proposed: studio data look {name} --to my.yaml")
    known = list_content(kind)
    if name in known:
        return known[name]
    short = [full for full in known if full.rpartition("/")[2] == name]
    if len(short) == 1:
        return known[short[0]]
    if short:
        raise UserError(f"{len(short)} {NOUN[kind]}s are called {name!r}. Say which: {', '.join(short)}")
    guess = nearest(name, [*known, *(full.rpartition("/")[2] for full in known)])
    raise UserError(f"unknown {NOUN[kind]} {name!r}.{guess} Known: {', '.join(known) or 'none'}")
