"""What this machine can give to a training now: memory and disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from studio.core.workspace import Workspace


def memory_of(device: str) -> int | None:
    """Bytes that this machine can give now: free memory within the container's limit, or of the first GPU; None without one."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None
    import psutil

    available = int(psutil.virtual_memory().available)
    limit = Path("/sys/fs/cgroup/memory.max")
    used = Path("/sys/fs/cgroup/memory.current")
    try:
        return min(available, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return available


def free_disk(workspace: Workspace) -> int | None:
    """Bytes free where runs are written; the folder itself may not exist yet."""
    place = next((folder for folder in [workspace.root, *workspace.root.parents] if folder.is_dir()), None)
    return shutil.disk_usage(place).free if place is not None else None
