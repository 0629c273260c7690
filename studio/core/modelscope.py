"""Repositories on ModelScope, by its public file API: the list of files with their sha256 first, then the files that are wanted.

The API knows branches and tags, no commits; a repository is therefore pinned by a digest of its list (paths, sizes, hashes). What
was fetched lies in the cache by that digest, and a file counts only once its bytes have the hash that the list gave. Nothing that
is fetched is executed. Addresses as in the library ``modelscope`` 1.34 (``hub/api.py``, ``hub/file_download.py``, Apache-2.0).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote

from studio.core.errors import StudioError, UserError
from studio.core.fetch import offline
from studio.core.files import sha256_json, write_json, write_text
from studio.core.web import Unreachable, ask_json, fetch_file
from studio.core.workspace import cache_folder

logger = logging.getLogger("studio")

PREFIX = "ms:"
DEFAULT_BRANCH = "master"
DOMAIN = "MODELSCOPE_DOMAIN"
TOKEN = "MODELSCOPE_API_TOKEN"
_ID = re.compile(r"ms:([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w.+/-]+))?")
_DIGEST = re.compile(r"[0-9a-f]{40}")
# Files in one answer about a data set; the library asks for as many.
_PAGE = 150


@dataclass(frozen=True)
class Repository:
    """A repository at a branch or tag. pinned: digest of the one state of it that will do, None takes what is there now."""

    kind: Literal["models", "datasets"]
    name: str
    branch: str = DEFAULT_BRANCH
    pinned: str | None = None

    @property
    def title(self) -> str:
        """As a person names it."""
        return f"{PREFIX}{self.name}" + ("" if self.branch == DEFAULT_BRANCH else f"@{self.branch}")

    @property
    def cache(self) -> Path:
        """Folder for everything that is kept of it."""
        return cache_folder() / "modelscope" / self.kind / self.name.replace("/", "--")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository. size: bytes. sha256: None where ModelScope states none."""

    path: str
    size: int
    sha256: str | None


@dataclass(frozen=True)
class Snapshot:
    """The wanted files of a repository in one state, on disk and checked. digest: of all its files, wanted or not."""

    folder: Path
    digest: str
    files: tuple[RemoteFile, ...]


def on_modelscope(reference: str) -> bool:
    """True for a name that begins with ``ms:``."""
    return reference.startswith(PREFIX)


def endpoint() -> str:
    """Address that is asked: ``https://www.modelscope.cn``, or the host (or whole address) in ``MODELSCOPE_DOMAIN``."""
    given = os.environ.get(DOMAIN, "").strip().rstrip("/") or "www.modelscope.cn"
    return given if "://" in given else f"https://{given}"


def named_repository(kind: Literal["models", "datasets"], reference: str, revision: str | None = None) -> Repository:
    """Read ``ms:owner/name`` or ``ms:owner/name@revision``.

    Args:
        revision: said apart from the name: a branch, a tag, or the digest that a run or Dataset wrote down.
    Raises:
        UserError: not of that form, or two revisions are named.
    """
    found = _ID.fullmatch(reference)
    if found is None or ".." in reference:
        raise UserError(
            f"{reference!r} is no name on ModelScope. Write ms:owner/name, or ms:owner/name@revision for a branch or tag."
        )
    name, branch = found[1], found[2]
    if revision is not None and _DIGEST.fullmatch(revision):
        return Repository(kind, name, branch or DEFAULT_BRANCH, revision)
    if branch and revision and branch != revision:
        raise UserError(f"{reference} names the revision {branch!r}, but {revision!r} was given as well. Remove one of them.")
    return Repository(kind, name, branch or revision or DEFAULT_BRANCH)


def fetch_repository(repository: Repository, wanted: Callable[[str], bool]) -> Snapshot:
    """Fetch the wanted files of a repository, or find them in the cache.

    Args:
        wanted: told the path of each file.
    Raises:
        UserError: no such repository or revision, a private one, or one that changed since it was pinned.
        StudioError: no network and nothing cached, a broken connection, or a file that is not the one in the list.
    """
    cached = _cached(repository, wanted)
    if cached is not None and (repository.pinned or offline()):
        return cached
    if offline():
        raise StudioError(
            f"{repository.title} is not in the cache ({repository.cache}) and the network is switched off (HF_HUB_OFFLINE or "
            "STUDIO_OFFLINE). Fetch it once with the network on."
        )
    try:
        files = _listed(repository)
    except Unreachable as error:
        if cached is None:
            raise StudioError(
                f"{repository.title} is not in the cache and ModelScope does not answer at {endpoint()} ({error}). "
                "Check the network, or give a local folder."
            ) from error
        logger.warning("ModelScope does not answer; using %s at %s from the cache.", repository.title, cached.digest[:12])
        return cached
    digest = sha256_json([asdict(file) for file in files])[:40]
    if repository.pinned not in (None, digest):
        raise UserError(
            f"{repository.title} has changed on ModelScope: its files are {digest[:12]} now, {str(repository.pinned)[:12]} was "
            "written down, and that state is not in the cache any more. Name the tag that was meant (ms:owner/name@tag)."
        )
    return _download(repository, Snapshot(repository.cache / "snapshots" / digest, digest, _chosen(files, wanted)), files)


def _download(repository: Repository, snapshot: Snapshot, listed: Sequence[RemoteFile]) -> Snapshot:
    """Fetch what is missing, then remember which state the branch has."""
    with _locked(repository.cache):
        write_json(_listing(repository, snapshot.digest), [asdict(file) for file in listed])
        for file in snapshot.files:
            target = snapshot.folder / file.path
            if not (target.is_file() and target.stat().st_size == file.size):
                partial = repository.cache / "partial" / (file.sha256 or sha256_json([snapshot.digest, file.path]))
                try:
                    fetch_file(_address(repository, file), partial, target, size=file.size, sha256=file.sha256, cookie=_cookie())
                except Unreachable as error:
                    raise StudioError(
                        f"fetching {file.path} of {repository.title} broke off: {error}. Run it again; what came is kept."
                    ) from error
        write_text(_branch_note(repository), snapshot.digest)
    return snapshot


def _cached(repository: Repository, wanted: Callable[[str], bool]) -> Snapshot | None:
    """The pinned or the last known state, when all that is wanted of it is here."""
    note = _branch_note(repository)
    digest = repository.pinned or (note.read_text(encoding="utf-8").strip() if note.is_file() else "")
    listing = _listing(repository, digest)
    if not digest or not listing.is_file():
        return None
    files = tuple(RemoteFile(**entry) for entry in json.loads(listing.read_text(encoding="utf-8")))
    snapshot = Snapshot(repository.cache / "snapshots" / digest, digest, _chosen(files, wanted))
    here = all((path := snapshot.folder / file.path).is_file() and path.stat().st_size == file.size for file in snapshot.files)
    return snapshot if here else None


def _chosen(files: Sequence[RemoteFile], wanted: Callable[[str], bool]) -> tuple[RemoteFile, ...]:
    """The wanted ones among the files."""
    return tuple(file for file in files if wanted(file.path))


def _listing(repository: Repository, digest: str) -> Path:
    """Where the list of files of one state is kept."""
    return repository.cache / "listings" / f"{digest}.json"


def _branch_note(repository: Repository) -> Path:
    """Where the last known state of a branch or tag is kept."""
    return repository.cache / "branches" / quote(repository.branch, safe="")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time write into a folder: two would append to the same half file."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


# -- the API ---------------------------------------------------------------------------------------------------------


def _listed(repository: Repository) -> list[RemoteFile]:
    """All files of a repository, in order of their paths.

    Raises:
        UserError: ModelScope answers that there is none, or that it is private.
        StudioError: it answers with something else.
        Unreachable: it gives no answer.
    """
    entries = _model_entries(repository) if repository.kind == "models" else list(_dataset_entries(repository))
    files = [
        RemoteFile(str(entry["Path"]), int(entry.get("Size") or 0), str(entry["Sha256"]).lower() if entry.get("Sha256") else None)
        for entry in entries
        if entry.get("Type") != "tree"
    ]
    for file in files:
        parts = PurePosixPath(file.path).parts
        if not parts or file.path.startswith(("/", "\\")) or ".." in parts or "\0" in file.path:
            raise StudioError(f"{repository.title} lists a file outside its folder ({file.path!r}) and is not fetched.")
    return sorted(files, key=lambda file: file.path)


def _model_entries(repository: Repository) -> list[dict[str, Any]]:
    """Entries of a model's list, which comes whole."""
    data = _data(repository, f"models/{repository.name}/repo/files", Revision=repository.branch, Recursive="True")
    return list(data.get("Files") or [])


def _dataset_entries(repository: Repository) -> Iterator[dict[str, Any]]:
    """Entries of a data set's list, page by page; the list is asked for by the data set's number."""
    number = _data(repository, f"datasets/{repository.name}").get("Id")
    for page in range(1, 10_000):
        where = {"Revision": repository.branch, "Root": "/", "Recursive": "True", "PageNumber": str(page), "PageSize": str(_PAGE)}
        entries = list(_data(repository, f"datasets/{number}/repo/tree", **where).get("Files") or [])
        yield from entries
        if len(entries) < _PAGE:
            return


def _data(repository: Repository, path: str, **query: str) -> dict[str, Any]:
    """What an address of the API answers, its envelope taken off."""
    what = "model" if repository.kind == "models" else "data set"
    status, answer = ask_json(f"{endpoint()}/api/v1/{path}", query, cookie=_cookie())
    if status in {401, 403}:
        raise UserError(
            f"{repository.title} is private or wants its terms accepted. Accept them on its page on ModelScope and set "
            f"{TOKEN} to your access token, or give a local folder."
        )
    data = answer.get("Data")
    if status == 404 or answer.get("Success") is False or not isinstance(data, dict):
        said = str(answer.get("Message") or "").strip().rstrip(".")
        raise UserError(
            f"there is no {what} {repository.title} at revision {repository.branch!r} on ModelScope, or it is private"
            f"{f' ({said[:160]})' if said else ''}. Check the spelling; the main branch is called {DEFAULT_BRANCH!r} there."
        )
    return data


def _address(repository: Repository, file: RemoteFile) -> str:
    """Where one file can be had."""
    place = f"{endpoint()}/api/v1/{repository.kind}/{repository.name}/repo"
    return f"{place}?Revision={quote(repository.branch, safe='')}&FilePath={quote(file.path, safe='')}"


def _cookie() -> str | None:
    """The person's access token in the form that the API reads it, if one is set."""
    token = os.environ.get(TOKEN, "").strip()
    return f"m_session_id={token}" if token else None
