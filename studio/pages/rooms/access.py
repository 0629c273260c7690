"""Who may ask the servers and what the names they ask for stand for: keys, blocked users, aliases, trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.errors import UserError, nearest
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.feedback.store import FILE_NAME, FeedbackStore
from studio.pages.posted import posted, text_of
from studio.pages.rendering import go_to, render
from studio.pages.shelf import finished_runs
from studio.pages.site import allowed, workspace_of
from studio.pages.work import begin_and_show
from studio.serve.aliases import BY, check_canary, check_name, end_canary, list_aliases, list_canaries, previous
from studio.serve.blocked import block, list_blocked, unblock
from studio.serve.keys import add_key, list_keys, revoke_keys
from studio.serve.kinds import SERVED
from studio.serve.state import StatePaths

_MOST_RUNS = 200


# -- keys and users ------------------------------------------------------------------------------------------------------


def _keys(request: Request) -> Response:
    """Keys and blocked users."""
    return _keys_page(request)


def _blank() -> dict[str, Any]:
    """A form in which nothing was typed and nothing is wrong."""
    return {"wrong": {}, "typed": {}}


def _keys_page(request: Request, status: int = 200, **told: Any) -> Response:
    """The page of keys; ``told``: a key just made (``key``, ``of``), or what was ``wrong`` at a field and typed there."""
    workspace = workspace_of(request)
    paths = StatePaths.of(workspace)
    keys = list_keys(paths.keys)
    blocked = list_blocked(paths.blocked)
    known = sorted(({key.user for key in keys} | set(_users_kept(workspace))) - set(blocked))
    values: dict[str, Any] = {"key": None, "of": "", **_blank(), **told}
    return render(
        request, "serve/keys.html", status, **values, keys=list(reversed(keys)), blocked=blocked, known=known, tab="keys",
        title=t("Keys and users"),
    )  # fmt: skip


def _add(request: Request) -> Response:
    """Make a key, and show it this once: the answer itself has it, and nothing keeps it."""
    form = posted(request)
    user = text_of(form, "user").strip()
    try:
        text, key = add_key(StatePaths.of(workspace_of(request)).keys, user, "operator" if "operator" in form else "client")
    except UserError as error:
        return _keys_page(request, 422, wrong={"user": str(error)}, typed={"user": user})
    return _keys_page(request, key=text, of=key.user)


def _revoke(request: Request) -> Response:
    """Revoke one key."""
    revoke_keys(StatePaths.of(workspace_of(request)).keys, text_of(posted(request), "id"))
    return go_to("/serve/keys")


def _block(request: Request) -> Response:
    """Refuse a user from the next request on."""
    form, workspace = posted(request), workspace_of(request)
    user, why = text_of(form, "user").strip(), text_of(form, "why").strip() or None
    paths = StatePaths.of(workspace)
    names = sorted({key.user for key in list_keys(paths.keys)} | set(_users_kept(workspace)))
    try:
        if user not in names:
            raise UserError(f"nobody is called {user!r}: no key, and nothing written down.{nearest(user, names)}")
        block(paths.blocked, user, why)
    except UserError as error:
        return _keys_page(request, 422, wrong={"blocked": str(error)}, typed={"blocked": user, "why": why or ""})
    return go_to("/serve/keys")


def _unblock(request: Request) -> Response:
    """Let a user in again."""
    unblock(StatePaths.of(workspace_of(request)).blocked, text_of(posted(request), "user"))
    return go_to("/serve/keys")


def _users_kept(workspace: Workspace) -> list[str]:
    """Of whom the feedback file holds something."""
    path = workspace.root / FILE_NAME
    return FeedbackStore(path).users() if path.is_file() else []


# -- aliases and trials --------------------------------------------------------------------------------------------------


def _names(request: Request) -> Response:
    """What aliases stand for, and what is on trial."""
    return _names_page(request)


def _names_page(request: Request, status: int = 200, **told: Any) -> Response:
    """The page of aliases; ``told``: what was ``wrong`` at a field, and what was ``typed``."""
    workspace = workspace_of(request)
    path = StatePaths.of(workspace).aliases
    aliases, trials = list_aliases(path), list_canaries(path)
    runs = [run.reference for run in finished_runs(workspace) if run.kind in SERVED][:_MOST_RUNS]
    values: dict[str, Any] = {**_blank(), **told}
    return render(
        request, "serve/names.html", status, **values, aliases=aliases, trials=trials, runs=runs, sides=BY,
        back={alias: _before(path, alias) for alias in aliases}, tab="names", title=t("Aliases and trials"),
    )  # fmt: skip


def _before(path: Path, alias: str) -> str | None:
    """What a rollback would return to; None where nothing stood there before."""
    try:
        return previous(path, alias)["model"]
    except UserError:
        return None


def _promote(request: Request) -> Response:
    """Let an alias stand for a run; a running server loads and proves it first, so it is a job."""
    form = posted(request)
    alias, run = text_of(form, "alias").strip(), text_of(form, "run")
    try:
        check_name(alias, "an alias")
        _known(request, run)
    except UserError as error:
        return _names_page(request, 422, wrong={"promote": str(error)}, typed={"promote": alias, "run": run})
    return begin_and_show(request, ["serve", "promote", run, "--as", alias])


def _rollback(request: Request) -> Response:
    """Let an alias stand for what it stood for before."""
    alias = text_of(posted(request), "alias")
    previous(StatePaths.of(workspace_of(request)).aliases, alias)
    return begin_and_show(request, ["serve", "rollback", "--as", alias])


def _canary(request: Request) -> Response:
    """Let a run answer a share of those who ask for an alias."""
    form = posted(request)
    alias, run, by = (text_of(form, name).strip() for name in ("alias", "run", "by"))
    percent = text_of(form, "percent").strip()
    try:
        share = _share(percent)
        check_canary(StatePaths.of(workspace_of(request)).aliases, alias, share, by)
        _known(request, run)
    except UserError as error:
        typed = {"trial": alias, "run": run, "percent": percent, "by": by}
        return _names_page(request, 422, wrong={"trial": str(error)}, typed=typed)
    return begin_and_show(request, ["serve", "canary", run, "--as", alias, "--share", f"{share:g}", "--by", by])


def _share(percent: str) -> float:
    """A share from a percentage.

    Raises:
        UserError: it is no number.
    """
    try:
        return float(percent.rstrip("% ").replace(",", ".")) / 100
    except ValueError:
        raise UserError(f"a share of {percent!r} percent is none: give a number between 0 and 100, for example 10.") from None


def _end(request: Request) -> Response:
    """End a trial: the alias stands for its model alone."""
    end_canary(StatePaths.of(workspace_of(request)).aliases, text_of(posted(request), "alias"))
    return go_to("/serve/names")


def _known(request: Request, run: str) -> None:
    """Raise where a run of a form is none of the list."""
    if run not in {kept.reference for kept in finished_runs(workspace_of(request))}:
        raise UserError(t("Choose a run from the list."))


ROUTES = [
    Route("/serve/keys", allowed("administer", _keys)),
    Route("/serve/keys/add", allowed("administer", _add), methods=["POST"]),
    Route("/serve/keys/revoke", allowed("administer", _revoke), methods=["POST"]),
    Route("/serve/users/block", allowed("administer", _block), methods=["POST"]),
    Route("/serve/users/unblock", allowed("administer", _unblock), methods=["POST"]),
    Route("/serve/names", allowed("administer", _names)),
    Route("/serve/names/promote", allowed("administer", _promote), methods=["POST"]),
    Route("/serve/names/rollback", allowed("administer", _rollback), methods=["POST"]),
    Route("/serve/names/trial", allowed("administer", _canary), methods=["POST"]),
    Route("/serve/names/end", allowed("administer", _end), methods=["POST"]),
]
