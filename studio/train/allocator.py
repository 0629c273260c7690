"""The memory allocator of a CPU training: mimalloc where it is installed, because glibc's loses a third of the memory.

PyTorch asks glibc for aligned blocks; glibc asks itself for more than that and hands the margins out to small objects, so a
freed block of a given size cannot be used again for the same size. Starter model, LoRA r16, 8 rows of 160 tokens, two cores:
5.95 GB and still growing after three steps with glibc, 3.70 GB and steady with mimalloc, which was also 12% faster. Raising
M_MMAP_THRESHOLD instead keeps glibc at 3.43 GB, but the page faults cost 40% more processor time.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Mapping
from pathlib import Path

MARK = "STUDIO_ALLOCATOR"
_PACKAGE = "cmeel-mimalloc"


def find_mimalloc() -> Path | None:
    """The shared library of the package ``cmeel-mimalloc`` in this environment; None where it is not installed."""
    if sys.platform != "linux":
        return None
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())) for file in files if file.name == "libmimalloc.so"]
    return next((path for path in found if path.is_file()), None)


def steady_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a child process uses mimalloc; unchanged where it is missing or another one is preloaded."""
    library = find_mimalloc()
    chosen = dict(environment)
    if library is None or chosen.get("LD_PRELOAD"):
        return chosen
    # Freed memory stays with the process: giving it back and faulting it in again at every step costs a fifth of the time.
    return chosen | {"LD_PRELOAD": str(library), "MIMALLOC_PURGE_DELAY": "-1", MARK: "mimalloc"}


def allocator_in_use() -> str:
    """``mimalloc`` when this process runs on it, else ``system``."""
    try:
        return "mimalloc" if "libmimalloc" in Path("/proc/self/maps").read_text(encoding="utf-8") else "system"
    except OSError:
        return "system"


def restart_with_steady_allocator() -> None:
    """Replace this process by itself with mimalloc preloaded; returns when there is nothing to change.

    To be called first thing in a command, before anything heavy is imported: what was done so far is done again. A process
    that is not the studio's own command (a notebook, a test run) is left alone.
    """
    if os.environ.get(MARK):
        # Children (git, pip, a browser) have no use for it.
        os.environ.pop("LD_PRELOAD", None)
        return
    environment = steady_environment(os.environ)
    if MARK in environment and _is_own_command():
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _is_own_command() -> bool:
    """True when this process was started as ``studio …`` or ``python -m studio…``."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return Path(sys.argv[0]).name == "studio" or str(getattr(spec, "name", "")).startswith("studio.")
