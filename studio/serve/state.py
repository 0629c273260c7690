"""Where a server keeps its state in the workspace, and finding the servers that run now.

``server/`` of the workspace holds ``keys.json`` and ``aliases.json`` for all servers, ``parity/`` with kept reference answers,
and one folder per port: ``guard.json``, ``models.json``, ``server.json``, ``vllm.log`` and the guard's modules.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil

from studio.core.errors import UserError
from studio.core.files import write_json
from studio.core.workspace import Workspace
from studio.serve.blocked import FILE_NAME


@dataclass(frozen=True)
class StatePaths:
    """The files of all servers of a workspace."""

    root: Path

    @classmethod
    def of(cls, workspace: Workspace) -> StatePaths:
        """Those of a workspace."""
        return cls(workspace.root / "server")

    @property
    def keys(self) -> Path:
        """Hashes of API keys."""
        return self.root / "keys.json"

    @property
    def blocked(self) -> Path:
        """Who may not use the servers."""
        return self.keys.with_name(FILE_NAME)

    @property
    def aliases(self) -> Path:
        """What each alias stands for."""
        return self.root / "aliases.json"

    @property
    def references(self) -> Path:
        """Kept answers of PEFT."""
        return self.root / "parity"

    def server(self, port: int) -> Path:
        """Folder of the server on a port."""
        return self.root / str(port)


@dataclass(frozen=True)
class RunningServer:
    """A server as it wrote itself down. key: an operator's, valid while it runs; the file is readable by its owner only.

    modules: layers prepared for adapters; None where vLLM chose. no_tools: why it reads no calls of tools, empty where it does.
    """

    pid: int
    started: float
    url: str
    port: int
    base: str
    base_sha256: str
    template_hash: str
    dtype: str
    max_lora_rank: int
    kind: str
    key: str
    modules: list[str] | None
    no_tools: str

    def write(self, folder: Path) -> None:
        """Write ``server.json``."""
        path = folder / "server.json"
        write_json(path, asdict(self))
        path.chmod(0o600)


def running_servers(paths: StatePaths) -> list[RunningServer]:
    """Servers of the workspace whose process is alive."""
    found = []
    for file in sorted(paths.root.glob("*/server.json")):
        try:
            value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            server = RunningServer(**{name: value[name] for name in RunningServer.__dataclass_fields__})
            # A number used again by another process is a process that started later.
            if psutil.Process(server.pid).create_time() <= server.started:
                found.append(server)
        except (OSError, ValueError, KeyError, psutil.Error):
            continue
    return found


def choose_server(paths: StatePaths, port: int | None) -> RunningServer | None:
    """The running server that a command means: the one on a port, or the only one; None when none runs.

    Raises:
        UserError: several run and none was chosen, or none runs on that port.
    """
    servers = running_servers(paths)
    if port is not None:
        for server in servers:
            if server.port == port:
                return server
        known = ", ".join(str(server.port) for server in servers) or "none"
        raise UserError(f"no server of this workspace runs on port {port} (running: {known}).")
    if len(servers) > 1:
        raise UserError(
            f"{len(servers)} servers run (ports {', '.join(str(server.port) for server in servers)}): choose one with --port."
        )
    return servers[0] if servers else None


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def free_port(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        UserError: something listens there already, or the address is not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno and error.errno > 0 else str(error)
        raise UserError(
            f"nothing can listen on {host} port {port} ({reason}). Choose another with --set port=8001, or 0 for any free one."
        ) from error
