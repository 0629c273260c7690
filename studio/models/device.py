"""The device that a process computes on, and the number type that is fast there."""

from __future__ import annotations

import functools
import os
import time
from typing import Literal

import torch

from studio.core.errors import UserError

NumberName = Literal["auto", "float32", "bfloat16", "float16"]


def pick_device() -> torch.device:
    """The accelerator of this process (``LOCAL_RANK`` chooses among several), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def pick_dtype(name: NumberName, device: torch.device, *, half: bool = True) -> torch.dtype:
    """Number type by name; ``auto`` takes what is fast on the device.

    bfloat16 on GPUs that compute in it (compute capability 8.0 or more), float16 on older ones (T4, V100, RTX 20) and on
    Apple's; on a CPU whichever of float32 and bfloat16 a short measurement finds faster, for processors with bfloat16
    instructions multiply about four times as fast in it and others half as fast as in float32.

    Args:
        half: False keeps ``auto`` from float16, for trainings that do not scale their loss; it takes float32 instead.
    Raises:
        UserError: float16 is asked for on a CPU whose PyTorch does not multiply in it.
    """
    if name == "auto":
        narrow = torch.float16 if half else torch.float32
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else narrow
        if device.type == "mps":
            return narrow
        return torch.bfloat16 if device.type == "cpu" and cpu_prefers_bfloat16() else torch.float32
    if name == "float16" and device.type == "cpu" and not cpu_knows_float16():
        raise UserError("dtype: float16 does not exist on this CPU's PyTorch. Use float32, bfloat16 or auto.")
    named: torch.dtype = getattr(torch, name)
    return named


@functools.cache
def cpu_knows_float16() -> bool:
    """True when PyTorch multiplies and normalises in float16 on this CPU; older ones raise."""
    try:
        matrix = torch.ones(2, 2, dtype=torch.float16)
        torch.nn.functional.layer_norm(matrix @ matrix, (2,))
    except RuntimeError:
        return False
    return True


@functools.cache
def cpu_prefers_bfloat16() -> bool:
    """True when this processor multiplies matrices clearly faster in bfloat16 (best of five each, in turn; 0.1 to 0.3 s).

    Half as fast again is asked for, because the steps around the products gain nothing.
    """
    size, best = 768, {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    matrices = {dtype: torch.ones(size, size, dtype=dtype) for dtype in best}
    for _ in range(5):
        for dtype, matrix in matrices.items():
            started = time.perf_counter()
            torch.mm(matrix, matrix)
            best[dtype] = min(best[dtype], time.perf_counter() - started)
    return best[torch.float32] > 1.5 * best[torch.bfloat16]
