"""A run that scores answers: opened, and asked. Legend: b rows of a pass, s padded length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from studio.adapters.chat.loading import (
    _own_model,
    _tokenizer_source,
    _with_adapter,
    checked_weights,
    read_template,
    resolve_recorded_base,
)
from studio.adapters.saved import saved_settings
from studio.core.errors import DataError, UserError
from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.models.chat.encoding import encode_conversation
from studio.models.chat.loading import load_scorer, load_tokenizer
from studio.models.chat.templates import ChatTemplate
from studio.models.device import pick_device, pick_dtype


@dataclass
class Scorer:
    """A reward model ready to score. ``limit``: tokens that a row may have, as in training."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    template: ChatTemplate
    record: RunRecord
    folder: Path
    limit: int

    @property
    def name(self) -> str:
        """The run as people name it."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def encode(
        self, messages: Sequence[dict[str, Any]], answer: str, tools: Sequence[dict[str, Any]] | None = None
    ) -> list[int] | None:
        """Tokens of a conversation with an answer, cut on the right as in training; None where its template refuses them."""
        turns = [*messages, {"role": "assistant", "content": answer}]
        try:
            row = encode_conversation(
                self.tokenizer, self.template, turns, tools=tools, train_on="last_assistant", max_length=self.limit
            )
        except DataError:
            return None
        return row.input_ids

    @torch.inference_mode()
    def scores(
        self, rows: Sequence[Sequence[int] | None], *, batch_size: int, advance: Callable[[int], None] | None = None
    ) -> list[float | None]:
        """The score of each row of tokens, the longest first; None for what could not be encoded."""
        found: list[float | None] = [None] * len(rows)
        known = sorted((place for place, row in enumerate(rows) if row), key=lambda place: -len(rows[place] or ()))
        pad = int(self.tokenizer.pad_token_id)  # type: ignore[arg-type]
        for start in range(0, len(known), batch_size):
            places = known[start : start + batch_size]
            longest = len(rows[places[0]] or ())
            ids = torch.full((len(places), longest), pad)  # [b, s]
            mask = torch.zeros_like(ids)
            for index, place in enumerate(places):
                row = list(rows[place] or ())
                ids[index, : len(row)] = torch.tensor(row)
                mask[index, : len(row)] = 1
            device = self.model.device
            logits = self.model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits  # [b, 1]
            for place, value in zip(places, logits[:, 0].float().tolist(), strict=True):
                found[place] = value
            if advance is not None:
                advance(len(places))
        return found


def load_scoring_run(run_folder: Path, *, dtype: torch.dtype | None = None, device: torch.device | None = None) -> Scorer:
    """Load a finished reward model.

    Args:
        dtype: None takes the number type of the training.
    Raises:
        UserError: the run learnt something else, or holds no weights yet.
        StudioError: a file or the base differs from what the run wrote down.
    """
    record, settings = read_run(run_folder), saved_settings(run_folder)
    run = f"{run_folder.parent.name}/{run_folder.name}"
    if record.kind != "chat" or settings.get("objective") != "reward":
        raise UserError(
            f"the run {run} is no reward model (kind {record.kind!r}, objective {settings.get('objective')!r}). Train one "
            "from pairs: studio train chat/reward --data DATASET"
        )
    weights = checked_weights(run_folder, record)
    device = device or pick_device()
    base = resolve_recorded_base(record)
    full = record.method == "full"
    own = _own_model(weights, record) if full else base
    tokenizer = load_tokenizer(own if full else _tokenizer_source(base, weights))
    model: Any = load_scorer(
        own,
        dtype=dtype or pick_dtype(settings.get("dtype") or "auto", device),
        pad_id=int(tokenizer.pad_token_id),  # type: ignore[arg-type]
        quantization=settings.get("quantization") or "none",
        device=device,
    )
    if not full:
        model = _with_adapter(model, weights)
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limit = min(int(settings.get("max_length") or 1024), int(positions or 1 << 30))
    return Scorer(model.eval(), tokenizer, read_template(run_folder, record), record, run_folder, limit)
