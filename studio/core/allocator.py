"""Memory that was freed: kept for the next step of a training, or given back between the steps of a build."""

from __future__ import annotations

import contextlib
import ctypes
import os

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_BYTES = 1 << 30


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed blocks of up to 1 GiB for reuse instead of giving them back to the system.

    A training step allocates and frees the same large tensors again and again. By default glibc hands each back at once, and the
    next step waits for the system to clear thousands of pages: half of a step's time was seen to go there. The peak stays about
    what it was; what lies below it stays with the process until it ends, so only commands that compute and then end ask for it.

    Returns:
        False where there is no glibc, or where the person set it already (``MALLOC_TRIM_THRESHOLD_``, ``GLIBC_TUNABLES``).
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Versions before 2.35 refuse more than 32 MiB for the second.
    return bool(mallopt(_TRIM_THRESHOLD, _BYTES)) and bool(mallopt(_MMAP_THRESHOLD, _BYTES) or mallopt(_MMAP_THRESHOLD, 32 << 20))


def give_back_freed_memory() -> None:
    """Give freed memory back to the system, so that what one step of a build left does not add to what the next one takes.

    Arrow keeps what it freed in a pool of its own, and glibc keeps pages below others that are still in use.
    """
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
