"""Start values of a LoRA that are taken from training rows: CorDA and EVA, as PEFT computes them.

Legend: s tokens of a row, r rank.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.eva import initialize_lora_eva_weights
from transformers.pytorch_utils import Conv1D

from studio.core.errors import UserError
from studio.models.chat.encoding import IGNORE, EncodedRow

FROM_ROWS = frozenset({"corda", "eva"})
# EVA's decomposition is fed whole batches; each must hold more tokens than components are wanted, by this factor.
_TOKENS_PER_RANK = 4


@dataclass(frozen=True)
class Sample:
    """Training rows that start values are computed from, the same ones for the same seed."""

    rows: Sequence[EncodedRow]

    @classmethod
    def of(cls, rows: Sequence[EncodedRow], count: int, seed: int) -> Sample:
        """``count`` of the rows, or all of them, in an order that the seed decides."""
        places = list(range(len(rows)))
        random.Random(seed).shuffle(places)
        return cls([rows[place] for place in places[:count]])


def prepare_corda(model: Any, config: LoraConfig, sample: Sample | None) -> None:
    """Leave in each layer what CorDA's start values are made of: the base's weight, seen through the rows' inputs.

    Raises:
        UserError: no rows, or a layer that no row reaches.
    """
    rows = sample.rows if sample is not None else []
    if not rows:
        raise UserError("lora.init: corda looks at training rows, and there are none. Use lora.init=default.")
    # CorDA calls each layer by PEFT's names; the word all-linear and the preset's lists are resolved only when PEFT attaches.
    resolved = copy.copy(config)
    resolved.target_modules = _names(model, config)

    def run_model() -> None:
        with torch.no_grad():
            for row in rows:  # one at a time, so that no padding is counted
                model(input_ids=torch.tensor([row.input_ids], device=model.device), use_cache=False, logits_to_keep=1)

    was_training = model.training
    preprocess_corda(model, resolved, run_model=run_model)
    model.train(was_training)


def start_eva(model: PeftModel, sample: Sample) -> None:
    """Put the principal directions of the trained tokens' inputs into the A matrices, and save the result as a plain LoRA.

    Raises:
        UserError: the rows hold too few trained tokens for the rank.
    """
    config = model.peft_config["default"]
    batches = list(_batches(sample.rows, config.r * _TOKENS_PER_RANK, model.device))
    if not batches:
        raise UserError(
            f"lora.init: eva needs {config.r * _TOKENS_PER_RANK} trained tokens for rank {config.r}, and the {len(sample.rows)} "
            "rows that it looks at hold fewer. Raise lora.init_rows, lower lora.rank, or use lora.init=default."
        )

    def forward(whole: Any, inputs: dict[str, torch.Tensor]) -> Any:
        given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        return whole(**given, use_cache=False, logits_to_keep=1)

    initialize_lora_eva_weights(model, batches, forward_fn=forward, gather_distributed_inputs=False, show_progress_bar=False)
    config.init_lora_weights, config.eva_config = True, None


def _batches(rows: Sequence[EncodedRow], least: int, device: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Rows padded together until a batch has ``least`` trained tokens; a last batch with fewer joins none."""
    taken: list[EncodedRow] = []
    for row in rows:
        taken.append(row)
        if sum(sum(each.trained) for each in taken) >= least:
            yield _padded(taken, device)
            taken = []


def _padded(rows: Sequence[EncodedRow], device: Any) -> dict[str, torch.Tensor]:
    """Inputs of a batch [b, s], with labels only to say which tokens are looked at."""
    length = max(len(row.input_ids) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.int64)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORE)
    for place, row in enumerate(rows):
        size = len(row.input_ids)
        ids[place, :size], mask[place, :size] = torch.tensor(row.input_ids), 1
        labels[place, :size] = torch.where(torch.tensor(row.trained), ids[place, :size], IGNORE)
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device), "labels": labels.to(device)}


def _names(model: Any, config: LoraConfig) -> list[str]:
    """Full names of the layers that will get an adapter."""
    from peft.tuners.tuners_utils import check_target_module_exists

    head, everything = model.get_output_embeddings(), config.target_modules == "all-linear"
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and (module is not head if everything else check_target_module_exists(config, name))
    ]
