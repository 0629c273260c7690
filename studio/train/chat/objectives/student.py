"""Answers that the model in training writes itself, in place of those of its rows.

Legend: b rows, p tokens of the longest prompt, s tokens of prompt and answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import GenerationConfig

from studio.models.chat.encoding import EncodedRow


@torch.no_grad()
def write_anew(
    model: Any, rows: Sequence[EncodedRow], *, ends: Sequence[int], pad_id: int, limit: int, new_tokens: int, seed: int
) -> list[EncodedRow | None]:
    """The rows with an answer sampled from the model (temperature 1) in place of their last one, which alone is a target.

    Neither the random state of the process nor the model's mode changes.

    Args:
        ends: ids that end an answer; the first of them is its last target.
        limit: tokens that a row may have.
        new_tokens: longest answer.
        seed: of the sampling.
    Returns:
        None for a row whose prompt leaves no room, or that has no answer.
    """
    prompts = [_prompt(row) for row in rows]
    fitting = [place for place, prompt in enumerate(prompts) if prompt and len(prompt) < limit]
    written: list[EncodedRow | None] = [None] * len(rows)
    if not fitting:
        return written
    device, longest = model.device, max(len(prompts[place]) for place in fitting)
    ids = torch.full((len(fitting), longest), pad_id)  # [b, p], padded on the left
    mask = torch.zeros_like(ids)
    for index, place in enumerate(fitting):
        size = len(prompts[place])
        ids[index, longest - size :] = torch.tensor(prompts[place])
        mask[index, longest - size :] = 1
    settings = GenerationConfig(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=new_tokens, eos_token_id=list(ends) or None,
        pad_token_id=pad_id, use_cache=True,
    )  # fmt: skip
    was_training, cuda = model.training, [device] if device.type == "cuda" else []
    model.eval()
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        out = model.generate(input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=settings)  # [b, s]
    model.train(was_training)
    for index, place in enumerate(fitting):
        answer = out[index, longest:].tolist()[: limit - len(prompts[place])]
        stop = next((position for position, token in enumerate(answer) if token in ends), None)
        answer = answer if stop is None else answer[: stop + 1]
        whole = [*prompts[place], *answer]
        end = [len(whole) - 1] if stop is not None else []
        trained = [False] * len(prompts[place]) + [True] * len(answer)
        written[place] = replace(
            rows[place], input_ids=whole, trained=trained, ends=end, turns=1, full_length=len(whole), weights=None
        )
    return written


def _prompt(row: EncodedRow) -> list[int]:
    """The tokens before the last answer; empty without one."""
    last = max((place for place, trained in enumerate(row.trained) if trained), default=-1)
    first = last
    while first > 0 and row.trained[first - 1]:
        first -= 1
    return row.input_ids[:first] if last > 0 else []
