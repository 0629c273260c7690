"""The device that a process computes on, and the number type that is fast there."""

from __future__ import annotations

import functools
import os
import platform
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
    Apple's; on a CPU bfloat16 where the processor has instructions for it, which multiply about four times as fast, and float32
    elsewhere, where bfloat16 is half as fast. The choice depends on the machine alone, not on what else it is doing.

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
    """True when this processor has instructions that multiply in bfloat16: AMX or AVX512-BF16, on Arm its BF16 extension."""
    if platform.machine().lower() in {"aarch64", "arm64"}:
        known = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
        return bool(known and known())
    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(check is not None and check() for check in checks)


def number_name(dtype: torch.dtype) -> str:
    """A number type as people write it: ``bfloat16``."""
    return str(dtype).removeprefix("torch.")
