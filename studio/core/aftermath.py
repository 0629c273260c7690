"""What is left to do when a process has ended, however it ended: the processes that it names are stopped, a folder goes.

``python -m studio.core.aftermath FOLDER`` reads lines ``PID CREATED`` until its input closes, which the end of the process at the
other side does too, even by SIGKILL. Only those very processes are touched: a number that was given anew has another time.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

# Seconds in which processes may end by themselves.
_GRACE_SECONDS = 3.0


class Aftermath:
    """A process that waits for the end of this one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stop(self, processes: Iterable[psutil.Process]) -> None:
        """Name processes that have to end with this one; the one that waits may be among them, and is left out."""
        if self._process.stdin is None:
            return
        for one in processes:
            if one.pid == self._process.pid:
                continue
            with contextlib.suppress(psutil.Error, OSError):
                self._process.stdin.write(f"{one.pid} {one.create_time()}\n")
                self._process.stdin.flush()


@contextmanager
def aftermath(folder: Path) -> Iterator[Aftermath]:
    """Somebody who waits for the end of the block, or of this process, and then cleans up."""
    command = [sys.executable, "-m", "studio.core.aftermath", str(folder)]
    # A session of its own: Ctrl-C in a terminal is not meant for it.
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True) as process:
        yield Aftermath(process)


def main() -> None:
    """Wait, then clean up."""
    left = [process for line in sys.stdin if (process := _named(line)) is not None]
    _, alive = psutil.wait_procs(left, timeout=_GRACE_SECONDS)
    for one in alive:
        with contextlib.suppress(psutil.Error):
            one.kill()
    shutil.rmtree(sys.argv[1], ignore_errors=True)


def _named(line: str) -> psutil.Process | None:
    """The process of a line, if it is still that one."""
    number, created = line.split()
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(int(number))
        return process if process.create_time() == float(created) else None
    return None


if __name__ == "__main__":
    main()
