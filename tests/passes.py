"""A real forward and backward pass, for what the plan says without contents."""

from __future__ import annotations

import torch

from studio.train.chat.fast import target_nll
from studio.train.chat.plan_trace import BatchShape
from studio.train.storage import StorageTracker

SHAPE = BatchShape(rows=3, length=40, targets=17)


def real_inputs():
    """Ids and mask int64 [3, 40], one row shorter."""
    mask = torch.ones(SHAPE.rows, SHAPE.length, dtype=torch.int64)
    mask[1, 30:] = 0  # rows of one length would need no mask, and the plan counts one
    return {"input_ids": torch.ones_like(mask), "attention_mask": mask}


def real_peak(model, base, *, half=False) -> int:
    """Most bytes alive in a pass with the trainer's loss beyond what was there before it; ``half``: under bfloat16 autocast."""
    inputs = real_inputs()
    positions = torch.arange(SHAPE.targets)
    tracker = StorageTracker()
    tracker.ignore([*model.parameters(), *model.buffers(), *inputs.values(), positions])

    def flatten(_module, _inputs, output):
        output.last_hidden_state = output.last_hidden_state.reshape(1, -1, output.last_hidden_state.shape[-1])
        return output

    base.get_decoder().register_forward_hook(flatten)
    with torch.autocast("cpu", torch.bfloat16, enabled=half), tracker:
        logits = model(**inputs, use_cache=False, logits_to_keep=positions).logits[0]
        loss = target_nll(logits, torch.zeros_like(positions)).sum()
        del logits
        loss.backward()
    return tracker.peak
