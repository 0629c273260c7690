"""What a training process takes before it holds a model: interpreter and libraries, or a CUDA context."""

from __future__ import annotations

import importlib

# Used for a card that is not in this machine: CUDA 12 and 13 contexts with PyTorch's kernels take 0.3 to 0.6 GB.
ASSUMED_CUDA_CONTEXT = 500_000_000


def baseline_bytes(device_type: str, trainer: str, *, measure_context: bool = True) -> int:
    """Bytes that a training process takes on the device besides the model.

    On a CPU it is what this process holds with everything imported that training imports: the plan is made in the process
    that will train, or in one like it.

    Args:
        trainer: the module that trains, imported for its weight.
        measure_context: make a CUDA context where there is a card, and measure it; False assumes its size.
    """
    if device_type == "cuda":
        return _context_bytes() if measure_context else ASSUMED_CUDA_CONTEXT
    import psutil

    importlib.import_module(trainer)
    return int(psutil.Process().memory_info().rss)


def _context_bytes() -> int:
    """Bytes of a CUDA context on this machine's card, or what it is taken to be without one."""
    import torch

    if not torch.cuda.is_available():
        return ASSUMED_CUDA_CONTEXT
    torch.zeros(1, device="cuda")
    free, total = torch.cuda.mem_get_info()
    # Other processes on the card are in this figure too, so it is capped at what a context can take.
    return min(total - free - torch.cuda.memory_reserved(), 2 * ASSUMED_CUDA_CONTEXT)
