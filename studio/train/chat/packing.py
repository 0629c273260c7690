"""Packing: several rows in one sequence, proven isolated on the real model before the first step, or refused."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import torch

from studio.core.errors import UserError
from studio.models.chat.architecture import rounding, share_that_differs
from studio.models.chat.encoding import EncodedRow
from studio.train.chat.batches import collate_packed, collate_padded


def pack_rows(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """Put rows into sequences of at most ``max_length`` tokens, longest first into the fullest one that has room.

    Best-fit decreasing; no row is split, cut or lost. Returns row indices per sequence.
    """
    sequences: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (free tokens, sequence), sorted
    for index in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        fitting = bisect.bisect_left(room, (lengths[index], -1))
        if fitting < len(room):
            free, place = room.pop(fitting)
        else:
            free, place = max_length, len(sequences)
            sequences.append([])
        sequences[place].append(index)
        bisect.insort(room, (free - lengths[index], place))
    return sequences


@torch.no_grad()
def prove_isolation(model: Any, rows: Sequence[EncodedRow], pad_id: int) -> float:
    """Compare the logits of packed rows with those of the same rows alone, on this model and attention implementation.

    Args:
        model: the model that will be trained, on its device.
        rows: at least two; the first three are used.
    Returns:
        Largest difference, as a share of the largest logit.
    Raises:
        UserError: a row sees another one, so packing would train on mixed conversations.
    """
    sample = sorted(rows, key=lambda row: len(row.input_ids))[:3]
    was_training = model.training
    model.eval()
    try:
        device = next(model.parameters()).device
        packed = collate_packed([(row, False) for row in sample])
        joined = model(
            input_ids=packed["input_ids"].to(device), position_ids=packed["position_ids"].to(device), use_cache=False
        ).logits[0]
        worst, start = 0.0, 0
        for row in sample:
            alone_batch = collate_padded([(row, False)], pad_id)
            alone = model(
                input_ids=alone_batch["input_ids"].to(device),
                attention_mask=alone_batch["attention_mask"].to(device),
                use_cache=False,
            ).logits[0]
            worst = max(worst, share_that_differs(joined[start : start + len(row.input_ids)], alone))
            start += len(row.input_ids)
    finally:
        model.train(was_training)
    # LLM.int8 rounds what goes into a layer, by what else stands in the batch.
    limit = rounding(torch.bfloat16 if getattr(model, "is_loaded_in_8bit", False) else joined.dtype)
    if worst > limit:
        raise UserError(_leak(model, worst, limit))
    return worst


def _leak(model: Any, worst: float, limit: float) -> str:
    """The sentence for rows that see each other. No other attention helps: transformers makes all their masks alike."""
    attention = str(getattr(model.config, "_attn_implementation", "unknown")).removesuffix("_short_rows")
    return (
        f"packed rows see each other in {model.config.model_type} with attention {attention} (logits differ by {worst:.1e} of "
        f"their size, rounding by at most {limit:.0e}), so packing is refused. Use --set packing=false."
    )
