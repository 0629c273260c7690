"""Suites: what each measures and what must hold; a person's own, written here and kept in ``suites/`` of the workspace."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.content import find_content, list_content
from studio.core.errors import ConfigError, StudioError, UserError
from studio.core.files import write_text
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.pages.posted import posted, text_of
from studio.pages.rendering import go_to, render
from studio.pages.site import allowed, workspace_of

OWN = "own:"
"""Before the name of a suite that was written on a page, in forms."""
# A suite longer than this is none.
_LONGEST = 100_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Choice:
    """A suite that may be taken. value: what the form sends. suite: None where its file has a mistake, told by ``problem``."""

    value: str
    name: str
    suite: Any = None
    problem: str = ""
    own: bool = False


def own_folder(workspace: Workspace) -> Path:
    """Where a person's own suites lie."""
    return workspace.root / "suites"


def own_files(workspace: Workspace) -> list[Path]:
    """A person's own suites."""
    return sorted(own_folder(workspace).glob("[!.]*.yaml"))


def all_suites(workspace: Workspace) -> list[Choice]:
    """Every suite: the person's own, then those of the studio."""
    from studio.evals.fitting import suite_of_file

    found = []
    own = {f"{OWN}{path.stem}": path for path in own_files(workspace)}
    for value, path in {**own, **list_content("evals")}.items():
        mine = value.startswith(OWN)
        name = value.removeprefix(OWN)
        try:
            found.append(Choice(value, name, suite_of_file(path), own=mine))
        except (UserError, ConfigError, OSError) as error:
            found.append(Choice(value, name, problem=str(error), own=mine))
    return found


def argument(value: str, workspace: Workspace) -> str:
    """What names a suite in a command: its name, or the file of an own one.

    Raises:
        UserError: there is no such suite.
    """
    if not value.startswith(OWN):
        if value not in list_content("evals"):
            find_content("evals", value if _NAME.fullmatch(value) else "?")
            raise UserError(f"unknown suite {value!r}. Known: {', '.join(list_content('evals'))}")
        return value
    return str(_own_file(value.removeprefix(OWN), workspace))


def _own_file(name: str, workspace: Workspace) -> Path:
    """The file of an own suite.

    Raises:
        UserError: there is none of that name.
    """
    file = own_folder(workspace) / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not file.is_file():
        known = ", ".join(path.stem for path in own_files(workspace)) or "none"
        raise UserError(f"there is no suite {name!r} in {own_folder(workspace)}. Known: {known}")
    return file


def _listed(request: Request) -> Response:
    """All suites."""
    choices = all_suites(workspace_of(request))
    return render(request, "evaluate/suites.html", choices=choices, tab="suites", title=t("Suites"))


def _write(request: Request) -> Response:
    """The YAML of a new suite, begun as a copy of another, or of one that is changed."""
    workspace = workspace_of(request)
    name, start = request.query_params.get("name", ""), request.query_params.get("from", "chatbot")
    text = _own_file(name, workspace).read_text(encoding="utf-8") if name else _copy_of(start, workspace)
    return _page(request, text, name)


def _copy_of(start: str, workspace: Workspace) -> str:
    """The text of a suite under a name of its own."""
    known = list_content("evals")
    file = known[start] if start in known else _own_file(start.removeprefix(OWN), workspace)
    text = file.read_text(encoding="utf-8")
    taken = {path.stem for path in own_files(workspace)}
    stem = f"my-{start.removeprefix(OWN).replace('/', '-')}"
    free = next(name for number in range(1, len(taken) + 3) if (name := stem if number == 1 else f"{stem}-{number}") not in taken)
    return re.sub(r"(?m)^name:.*$", f"name: {free}", text, count=1)


def _page(request: Request, text: str, name: str, wrong: str = "") -> Response:
    """The page with the text of a suite."""
    workspace = workspace_of(request)
    place = own_folder(workspace) / f"{name or 'NAME'}.yaml"
    values: dict[str, Any] = {"text": text, "name": name, "wrong": wrong, "place": place, "tab": "suites"}
    return render(request, "evaluate/suite.html", 422 if wrong else 200, **values, title=t("A suite of your own"))


def _save(request: Request) -> Response:
    """Keep a suite, or say what is wrong with it."""
    form = posted(request)
    text, name = text_of(form, "text"), text_of(form, "name")
    try:
        saved = save(text, workspace_of(request), replaces=name)
    except (UserError, ConfigError) as error:
        return _page(request, text, name, str(error))
    return go_to(f"/evaluate/suites?saved={saved}")


def save(text: str, workspace: Workspace, *, replaces: str = "") -> str:
    """Check a suite and keep it under its own name, which is given back.

    Args:
        replaces: name of the suite that is changed; empty for a new one.
    Raises:
        UserError: it is too long, or the name is another suite's.
        ConfigError: a mistake in it, with its line.
    """
    from studio.evals.suites import load_suite

    if len(text) > _LONGEST:
        raise UserError(f"a suite of {len(text):,} characters is too long: at most {_LONGEST:,}.")
    aside = own_folder(workspace) / f".{secrets.token_hex(6)}.yaml"
    write_text(aside, text)
    try:
        name = load_suite(aside).name
    except (UserError, ConfigError) as error:
        raise type(error)(str(error).replace(str(aside), replaces or "suite")) from None
    finally:
        aside.unlink(missing_ok=True)
    taken = {*list_content("evals"), *(path.stem for path in own_files(workspace))} - ({replaces} if replaces else set())
    if name in taken:
        raise UserError(f"there is a suite {name!r} already and it is not overwritten. Give this one another 'name'.")
    write_text(own_folder(workspace) / f"{name}.yaml", text)
    if replaces and replaces != name:
        _own_file(replaces, workspace).unlink()
    return name


def _shown(request: Request) -> Response:
    """The text of one of the studio's suites."""
    known, name = list_content("evals"), request.path_params["name"]
    if name not in known:
        raise HTTPException(404)
    try:
        text = known[name].read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudioError(f"{known[name]}: cannot be read ({error}).") from error
    return render(request, "evaluate/shown.html", name=name, text=text, tab="suites", title=name)


ROUTES = [
    Route("/evaluate/suites", _listed),
    Route("/evaluate/suites/new", allowed("train", _write)),
    Route("/evaluate/suites/new", allowed("train", _save), methods=["POST"]),
    Route("/evaluate/suites/of/{name:path}", _shown),
]
