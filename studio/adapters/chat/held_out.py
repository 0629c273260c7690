"""Held-out rows of a Run's Dataset, for comparing two forms of the same model by the loss of their answers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from studio.adapters.chat.loading import LoadedRun
from studio.core.errors import DataError, StudioError
from studio.core.workspace import Workspace, run_dataset
from studio.data.chat.rows import read_split
from studio.models.chat.encoding import EncodedRow, encode_examples

logger = logging.getLogger("studio")

ROWS = 64
TOKENS = 1024


def held_out_rows(run: LoadedRun) -> list[EncodedRow]:
    """Up to 64 conversations of the test split (the validation split where there is none), at most 1,024 tokens each.

    A row that the template refuses is left out; empty where the Dataset is not there.
    """
    limit = min(TOKENS, int(getattr(run.model.config, "max_position_embeddings", TOKENS)))
    found: list[EncodedRow] = []
    try:
        folder = run_dataset(run.record, Workspace.around(run.folder))
        split = "test" if (folder / "test.parquet").is_file() else "validation"
        for row in read_split(folder, split):
            if len(found) >= ROWS:
                break
            try:
                encoded = encode_examples(run.tokenizer, run.template, row.messages, tools=row.tools, max_length=limit)
            except DataError:
                continue
            found += [each for each in encoded.rows if any(each.trained[1:])]
    except StudioError as error:
        logger.warning("The run's dataset cannot be read (%s); perplexity is not measured.", error)
    return found[:ROWS]


@torch.inference_mode()
def held_out_loss(model: Any, rows: Sequence[EncodedRow]) -> float | None:
    """Mean negative log-likelihood of the rows' answers, in nats per token; None without rows."""
    total = torch.zeros((), dtype=torch.float64)
    count = 0
    for row in rows:
        tokens = torch.tensor([row.input_ids], device=model.device)  # [1, s]
        wanted = torch.tensor(row.trained[1:], device=model.device)  # [s - 1]
        logits = model(input_ids=tokens, use_cache=False).logits[0, :-1][wanted].float()  # [n, v]
        total += torch.nn.functional.cross_entropy(logits, tokens[0, 1:][wanted], reduction="sum").double().cpu()
        count += int(wanted.sum())
    return float(total) / count if count else None
