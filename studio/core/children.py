"""Processes that help another one, and that must not outlive it: however it ended, they end too."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def prepare_child() -> None:
    """Call in each process of a pool at its start.

    Ctrl-C reaches all processes of a terminal, of which the first one deals with it and stops the others. A first process that is
    killed (SIGTERM, SIGKILL, no memory left, a container that is stopped) stops nobody, so each waits for its end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    """Leave without ado once the process that asked for this one is gone; what it worked on nobody waits for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
