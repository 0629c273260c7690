"""What a training process takes before it holds a model: interpreter and libraries, or a CUDA context."""

from __future__ import annotations

# Used for a card that is not in this machine: CUDA 12 and 13 contexts with PyTorch's kernels take 0.3 to 0.6 GB.
ASSUMED_CUDA_CONTEXT = 500_000_000


def baseline_bytes(device_type: str) -> int:
    """Bytes that a training process takes on the device besides the model.

    On a CPU it is what this process holds with everything imported that training imports: the plan is made in the process
    that will train, or in one like it.
    """
    import torch

    if device_type == "cuda":
        if not torch.cuda.is_available():
            return ASSUMED_CUDA_CONTEXT
        torch.zeros(1, device="cuda")
        free, total = torch.cuda.mem_get_info()
        # Other processes on the card are in this figure too, so it is capped at what a context can take.
        return min(total - free - torch.cuda.memory_reserved(), 2 * ASSUMED_CUDA_CONTEXT)
    import psutil

    import studio.train.chat.run  # noqa: F401 - imported for its weight

    return int(psutil.Process().memory_info().rss)
