"""Putting the studio on an address, and ending it."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import webbrowser

import uvicorn

from studio.apps.accounts import Accounts
from studio.apps.security import allowed_hosts, is_loopback
from studio.core.errors import StudioError, UserError
from studio.core.workspace import Workspace
from studio.pages.side import Side, end_quietly
from studio.pages.site import build_site
from studio.pages.table import warm

_FIRST_PORT, _LAST_PORT = 7860, 7959


class _Server(uvicorn.Server):
    """A server that ends the pages beside first: their answers, which wait for ever, end with them and are not broken off."""

    def __init__(self, config: uvicorn.Config, side: Side) -> None:
        super().__init__(config)
        self._side = side

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End everything."""
        end_quietly()
        await asyncio.to_thread(self._side.close)
        await super().shutdown(sockets)


class Studio:
    """The studio on an address."""

    def __init__(
        self, workspace: Workspace, *, host: str = "127.0.0.1", port: int | None = None,
        accounts: Accounts | None = None, name: str | None = None,
    ) -> None:  # fmt: skip
        """Take the address; nothing is answered yet.

        Args:
            port: None takes the first free one from 7860.
            name: host name under which a proxy on this machine offers it; needs accounts.
        Raises:
            UserError: others could reach the address and there are no accounts, or an administrator is missing.
            StudioError: the port is taken, or the workspace cannot be written.
        """
        if accounts is None and not (is_loopback(host) and name is None):
            raise UserError(
                f"{name or host} can be reached by others and no accounts were given. Give --accounts FILE (lines "
                "'name:password' below a heading such as [train]), or leave it away to serve this machine only."
            )
        workspace.check_writable()
        self._socket = _listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}/"
        self.side = Side(workspace)
        site = build_site(workspace, accounts=accounts, hosts=allowed_hosts(host, name), side=self.side)
        config = uvicorn.Config(
            site, log_level="error", lifespan="off", server_header=False, timeout_graceful_shutdown=2, timeout_keep_alive=30
        )
        self._server = _Server(config, self.side)

    def run(self, *, open_browser: bool = False) -> None:
        """Answer until Ctrl-C or SIGTERM; jobs go on."""
        # uvicorn raises the signal again once it has ended; by default nothing after it would be done.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # After the first page, which must not wait for it.
        timer = threading.Timer(2.0, self._warm)
        timer.daemon = True
        timer.start()
        if open_browser:
            webbrowser.open(self.url)
        try:
            self._server.run([self._socket])
        finally:
            timer.cancel()
            self.side.close()

    def _warm(self) -> None:
        """Do what pages beyond the first would wait for."""
        self.side.start()
        warm()

    def start(self) -> None:
        """Answer from a thread, for tests and recordings; see :meth:`close`."""
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End what :meth:`start` began."""
        self._server.should_exit = True
        self._thread.join(10)
        self.side.close()


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket on the port, or on the first free one.

    Raises:
        StudioError: none can be had.
    """
    error: OSError | None = None
    for number in [port] if port is not None else range(_FIRST_PORT, _LAST_PORT + 1):
        found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, number))
            found.listen(128)
        except OSError as raised:
            found.close()
            error = raised
        else:
            return found
    raise StudioError(f"port {port or '7860 to 7959'} on {host} cannot be used ({error}). Choose another with --port.")
