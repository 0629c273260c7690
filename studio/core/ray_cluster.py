"""Ray, for what runs past one machine: started on this one alone, or found where it runs already. The only place that starts it.

What is started here listens to this machine only, asks for a token that nobody else has, tells nothing to others, has no page of
its own, and ends with the process that started it, however that ended (the kernel sees to most of it on Linux, and
:mod:`studio.core.aftermath` to the rest).
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import psutil

from studio.core.aftermath import aftermath
from studio.core.errors import StudioError, UserError, nearest
from studio.core.extras import available, require

FEATURE = "--engine ray"
ENGINES = ("here", "ray")
_PREFIX = "studio-ray-"
# Ray gives its own processes 15 seconds and gives up on a busy machine (ray-project/ray#65983); it often starts at the next try.
_TRIES = 3
_PAUSE_SECONDS = 5.0
_KNOCK_SECONDS = 10.0
# Ray keeps what travels between processes in memory of this size, and lays more down on disk.
_STORE_BYTES = 256 * 1024**2


def wants_ray(engine: str) -> bool:
    """What ``--engine`` says; without Ray that is told before anything else.

    Raises:
        UserError: there is no such engine. MissingExtraError: Ray is not installed.
    """
    if engine not in ENGINES:
        raise UserError(f"--engine {engine!r} is not known.{nearest(engine, ENGINES)} Allowed: {', '.join(ENGINES)}.")
    if engine == "ray" and not available("ray"):
        require("ray", feature=FEATURE, extra="ray")
    return engine == "ray"


@contextmanager
def ray_cluster(address: str | None, *, instead: str, processes: int | None = None) -> Iterator[Any]:
    """Ray as a module, connected inside the block, in which what is printed goes to stderr.

    Args:
        address: of a cluster that runs (``host:port`` of its head, or ``ray://``); None starts Ray on this machine.
        instead: what to do without Ray, as a sentence.
        processes: tasks at once of a Ray that is started here; None means one per processor.
    Raises:
        MissingExtraError: Ray is not installed. UserError: no cluster can be reached there. StudioError: Ray does not start.
    """
    if address is None:
        _shut_in()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to others
    ray = require("ray", feature=FEATURE, extra="ray")
    # Ray tells of lost processes on stdout, where a command's answer stands.
    with _own_signals() as ours, redirect_stdout(sys.stderr), ExitStack() as after:
        try:
            if address is None:
                folder = _folder()
                left = after.enter_context(aftermath(folder))
                _start(ray, folder, processes, instead)
                left.stop(psutil.Process().children(recursive=True))
            else:
                _join(ray, address, instead)
            ours()
            yield ray
        finally:
            with contextlib.suppress(Exception):  # Ray's own threads may be gone; nothing is left to save here
                ray.shutdown()


def _shut_in() -> None:
    """Say what Ray reads when it is first imported: its ports belong to this machine, and to those who know the token.

    Without the first, all its ports listen to the network (Ray 2.60 overrules ``--node-ip-address 127.0.0.1`` with the address
    of the interface); the name is that of the systems on which Ray does so by itself.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _folder() -> Path:
    """A folder of this process for Ray's sockets and logs. It is short, for the path of a socket has at most 107 bytes."""
    place = "/tmp" if Path("/tmp").is_dir() else None
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))


def _start(ray: Any, folder: Path, processes: int | None, instead: str) -> None:
    """Start Ray on this machine, at a few tries."""
    settings: dict[str, Any] = {"num_cpus": processes} if processes else {}
    settings |= {"object_store_memory": _STORE_BYTES, "include_dashboard": False, "_temp_dir": str(folder)}
    for left in reversed(range(_TRIES)):
        try:
            _init(ray, "local", **settings)
        except Exception as error:  # Ray raises many kinds, a bare Exception among them
            with contextlib.suppress(Exception):
                ray.shutdown()
            if left:
                time.sleep(_PAUSE_SECONDS)
                continue
            raise StudioError(
                f"Ray does not start on this machine, at {_TRIES} tries; it gives up on a busy one (ray-project/ray#65983): "
                f"{_first_line(error)}. {instead}"
            ) from error
        return


def _join(ray: Any, address: str, instead: str) -> None:
    """Connect to a cluster; that nobody listens there is known at once, where Ray tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()
        _init(ray, address)
    except Exception as error:
        raise UserError(
            f"no Ray cluster answers at {address!r}: {_first_line(error)}. Give the address that 'ray start --head' printed "
            f"(HOST:PORT), with its RAY_AUTH_TOKEN where it asks for one. {instead}"
        ) from error


def _init(ray: Any, address: str, **settings: Any) -> None:
    """``ray.init`` without lines of its own on the terminal: what matters is raised, and told in one sentence."""
    with _silent():
        ray.init(address=address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR, **settings)


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing reaches the terminal inside the block; Ray's core writes past Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _own_signals() -> Iterator[Callable[[], None]]:
    """Calling what is given makes SIGTERM an orderly end, in the place of Ray's own way: a page of C++ and an abort."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    def ours() -> None:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        signal.signal(signal.SIGTERM, end if before[signal.SIGTERM] is signal.SIG_DFL else before[signal.SIGTERM])

    try:
        yield ours
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_line(error: BaseException) -> str:
    """What an error says, as part of a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
