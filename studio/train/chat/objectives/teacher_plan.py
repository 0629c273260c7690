"""What a teacher takes of memory and disk, from its configuration alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from studio.core.telling import size_text
from studio.core.workspace import read_run
from studio.schema.adapter import ChatAdapter
from studio.train.chat.objectives.base import Beside
from studio.train.chat.objectives.teacher_cache import BYTES
from studio.train.chat.objectives.teacher_rows import MOST_KEPT, OF_ROWS
from studio.train.chat.plan_model import build_skeleton, find_config
from studio.train.chat.plan_trace import BatchShape

# States of one layer that are alive at once in a pass without gradients: input, normed, the two of a gated MLP and their product
# (each about three times the hidden size), output.
_STATES = 12


def teacher_beside(adapter: ChatAdapter, dtype: torch.dtype, shape: BatchShape, supervised: Sequence[int] | None) -> Beside:
    """The teacher's weights with one pass over the largest micro batch, and the size of what is kept of it.

    Args:
        adapter: names a run by its folder, see :meth:`studio.train.chat.objectives.base.Objective.located`.
        dtype: of the arithmetic. shape: the largest micro batch. supervised: targets of each training row, where known.
    Raises:
        UserError: the teacher that is named is neither a run nor a base.
    """
    distill = adapter.distill
    if distill.teacher is None:
        return Beside(assumed=("the teacher is not named, so its memory is not counted; --set distill.teacher=NAME",))
    if distill.teacher == OF_ROWS:
        size = sum(supervised or ()) * MOST_KEPT * BYTES
        return Beside(disk=size, assumed=(f"the teacher's words in the rows take at most {size_text(size)} on disk",))
    model, adapted = _weights_of(distill.teacher)
    asked = adapter.model_copy(update={"model": model, "method": "lora", "quantization": distill.teacher_quantization})
    skeleton = build_skeleton(asked.model_copy(update={"packing": False}), find_config(model), dtype=dtype)
    config = skeleton.causal_lm.config.get_text_config()
    words = int(config.vocab_size)
    logits = max(1, shape.targets) * words * (dtype.itemsize + 2 * 4)  # as they come, and twice in float32
    passing = max(shape.tokens * int(config.hidden_size) * _STATES * dtype.itemsize, logits)
    # What comes out of its pass while the student trains is counted with the student's loss.
    memory = skeleton.weights + adapted + passing
    if not distill.cached:
        return Beside(memory, assumed=("the teacher stays in memory while the student trains",))
    width = min(distill.top_k or words, words)
    targets = sum(supervised) if supervised is not None else 0
    disk = targets * width * BYTES
    told = (
        f"the teacher is asked once, before the first step, and takes {size_text(memory)} then",
        f"what it says takes {size_text(disk)} on disk for the training rows; validation rows come on top"
        if supervised is not None
        else f"what it says takes {size_text(width * BYTES)} of disk for each token with loss, not counted without --data",
    )
    return Beside(memory, apart=True, disk=disk, assumed=told)


def _weights_of(reference: str) -> tuple[str, int]:
    """The base to build for a teacher, and the bytes of an adapter on it."""
    folder = Path(reference).expanduser()
    if not (folder / "run.json").is_file():
        return reference, 0
    record = read_run(folder)
    if record.method == "full":
        return str(folder / "model"), 0
    written = record.base
    base = str(written["path"] if written.get("source") == "local" else written["name"])
    return base, sum(file.stat().st_size for file in (folder / "adapter").glob("*.safetensors"))
