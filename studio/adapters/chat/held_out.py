"""Held-out rows of a Run's Dataset, for comparing two forms of the same model by the loss of their answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
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
    """Mean negative log-likelihood of the rows' answers, in nats per token; None without rows.

    Rows of a length go through the model together: DoRA and its like form every weight anew in each pass.
    """
    total = torch.zeros((), dtype=torch.float64)
    count = 0
    for batch in _batches(rows):
        shape = len(batch), max(len(row.input_ids) for row in batch)
        tokens, seen = (torch.zeros(shape, dtype=torch.int64) for _ in range(2))  # [b, s]
        wanted = torch.zeros(shape, dtype=torch.bool)
        for place, row in enumerate(batch):
            size = len(row.input_ids)
            tokens[place, :size], wanted[place, :size] = torch.tensor(row.input_ids), torch.tensor(row.trained)
            seen[place, :size] = 1
        tokens, wanted = tokens.to(model.device), wanted[:, 1:].to(model.device)
        logits = model(input_ids=tokens, attention_mask=seen.to(model.device), use_cache=False).logits
        chosen = logits[:, :-1][wanted].float()  # [n, v]
        total += torch.nn.functional.cross_entropy(chosen, tokens[:, 1:][wanted], reduction="sum").double().cpu()
        count += int(wanted.sum())
    return float(total) / count if count else None


def _batches(rows: Sequence[EncodedRow]) -> Iterator[list[EncodedRow]]:
    """Rows of about a length, at most :data:`TOKENS` with their padding in one batch: no more memory than one long row takes."""
    batch: list[EncodedRow] = []
    for row in sorted(rows, key=lambda row: len(row.input_ids)):  # so the next is the longest
        if batch and (len(batch) + 1) * len(row.input_ids) > TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
