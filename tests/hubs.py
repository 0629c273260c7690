"""Hubs for tests over folders of files, each on a free port: a mirror of the Hugging Face Hub, and ModelScope."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers import Request, listening

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories of one kind each, by name. calls: what was asked for, in order, with the range where one was."""

    url: str = ""
    models: dict[str, Path] = field(default_factory=dict)
    datasets: dict[str, Path] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)


@dataclass
class ModelScope(Hub):
    """branch: the one there is. cut: bytes after which the connection ends, once. private: nothing is told without a token.
    lie: files come with other bytes than the list promises. elsewhere: files are kept at another address. status: of all answers.
    """

    branch: str = "master"
    cut: int | None = None
    private: bool = False
    lie: bool = False
    elsewhere: str | None = None
    status: int = 200
    extra: list[dict[str, Any]] = field(default_factory=list)


class _Answer(Request):
    """What both hubs do with files."""

    def json(self, value: Any, status: int = 200, **headers: str) -> None:
        data = json.dumps(value).encode()
        self.head(status, content_type="application/json", content_length=str(len(data)), **headers)
        if self.command != "HEAD":
            self.wfile.write(data)

    def file(self, data: bytes, cut: int | None = None, **headers: str) -> None:
        start = int(self.headers["range"].partition("=")[2].partition("-")[0]) if self.headers["range"] else 0
        part = data[start:]
        span = {"content_range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self.head(206 if start else 200, content_length=str(len(part)), **span, **headers)
        if self.command != "HEAD":
            self.wfile.write(part[:cut])


def files_of(folder: Path) -> dict[str, bytes]:
    """Paths and bytes of a repository."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def modelscope_listening(hub: ModelScope) -> Iterator[ModelScope]:
    """Answer as ModelScope's API does (``modelscope`` 1.34, ``hub/api.py``)."""

    class Asked(_Answer):
        def do_GET(self) -> None:
            split = urlsplit(self.path)
            query = dict(parse_qsl(split.query))
            hub.calls.append(f"{split.path} {query.get('FilePath', '')} {self.headers['range'] or ''}".strip())
            hub.cookies.append(self.headers["cookie"])
            if hub.status != 200:
                self.json({"Code": hub.status, "Success": False}, hub.status)
            elif hub.private and not self.headers["cookie"]:
                self.json({"Code": 10990101007, "Message": "no permission", "Success": False}, 403)
            else:
                self.route(split.path.removeprefix("/api/v1/").split("/"), query)

        def route(self, parts: list[str], query: dict[str, str]) -> None:
            kind, rest = parts[0], parts[1:]
            repositories = hub.models if kind == "models" else hub.datasets
            numbers = {str(100 + index): name for index, name in enumerate(hub.datasets)}
            name = numbers.get(rest[0]) or "/".join(rest[:2])
            if name not in repositories or query.get("Revision", hub.branch) != hub.branch:
                self.json({"Code": 10010205001, "Message": "Model or revision not found", "Success": False}, 404)
            elif rest[-1] == "files" or rest[-1] == "tree":
                page, size = int(query.get("PageNumber", "1")), int(query.get("PageSize", "100000"))
                entries = self.entries(repositories[name])[(page - 1) * size : page * size]
                self.json({"Code": 200, "Success": True, "Data": {"Files": entries}})
            elif rest[-1] == "repo":
                self.send(repositories[name], query["FilePath"])
            else:
                self.json({"Code": 200, "Success": True, "Data": {"Id": 100 + list(hub.datasets).index(name), "Type": 1}})

        def entries(self, folder: Path) -> list[dict[str, Any]]:
            blobs = [
                {"Name": path.rpartition("/")[2], "Path": path, "Size": len(data), "Type": "blob",
                 "Sha256": hashlib.sha256(data).hexdigest()}
                for path, data in files_of(folder).items()
            ]  # fmt: skip
            trees = {path.rpartition("/")[0] for path in files_of(folder) if "/" in path}
            return [*({"Name": tree, "Path": tree, "Size": 0, "Type": "tree"} for tree in sorted(trees)), *blobs, *hub.extra]

        def send(self, folder: Path, path: str) -> None:
            if hub.elsewhere:
                self.head(302, location=f"{hub.elsewhere}/{path}", content_length="0")
                return
            data = files_of(folder)[path]
            cut = hub.cut if hub.cut is not None and len(data) > hub.cut else None
            hub.cut = None if cut is not None else hub.cut
            self.file(data[:-1] + bytes([data[-1] ^ 1]) if hub.lie else data, cut)

    with listening(Asked) as hub.url:
        yield hub


@contextmanager
def mirror_listening(hub: Hub) -> Iterator[Hub]:
    """Answer as the Hugging Face Hub and its mirrors do, as far as models and data sets are read."""

    class Asked(_Answer):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.calls.append(f"{self.command} {path}")
            parts = path.strip("/").split("/")
            if parts[0] == "api":
                self.about(parts[1], "/".join(parts[2:4]), parts[4:])
                return
            kind, parts = ("datasets", parts[1:]) if parts[0] == "datasets" else ("models", parts)
            folder = self.repositories(kind).get("/".join(parts[:2]))
            data = files_of(folder).get("/".join(parts[4:])) if folder and parts[2:3] == ["resolve"] else None
            if data is None:
                self.json({"error": "Entry not found"}, 404, x_error_code="EntryNotFound" if folder else "RepoNotFound")
            else:
                self.file(data, etag=f'"{hashlib.sha1(data).hexdigest()}"', x_repo_commit=COMMIT, accept_ranges="bytes")

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            path = unquote(urlsplit(self.path).path)
            hub.calls.append(f"POST {path}")
            parts = path.strip("/").split("/")
            folder = self.repositories(parts[1])["/".join(parts[2:4])]
            try:
                wanted = json.loads(body)["paths"]
            except ValueError:
                wanted = [value for name, value in parse_qsl(body) if name == "paths"]
            wanted = [wanted] if isinstance(wanted, str) else wanted
            self.json([entry for entry in self.tree(folder) if entry["path"] in wanted])

        def repositories(self, kind: str) -> dict[str, Path]:
            return hub.datasets if kind == "datasets" else hub.models

        def tree(self, folder: Path) -> list[dict[str, Any]]:
            return [
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for path, data in files_of(folder).items()
            ]

        def about(self, kind: str, name: str, rest: list[str]) -> None:
            folder = self.repositories(kind).get(name)
            if folder is None:
                self.json({"error": "Repository not found"}, 404, x_error_code="RepoNotFound")
            elif rest[:1] == ["tree"]:
                self.json(self.tree(folder))
            else:
                siblings = [{"rfilename": path} for path in files_of(folder)]
                about = {"id": name, "sha": COMMIT, "private": False, "gated": False, "disabled": False, "tags": []}
                self.json({**about, "downloads": 0, "likes": 0, "siblings": siblings})

    with listening(Asked) as hub.url:
        yield hub
