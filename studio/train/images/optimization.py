"""Optimizers and learning-rate schedules by transformers' names. The one place where the preset's words meet the libraries."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from studio.core.extras import require
from studio.schema.diffusion import DiffusionAdapter


def build_optimizer(adapter: DiffusionAdapter, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of a preset over these parameters.

    Raises:
        MissingExtraError: its package is not installed.
    """
    trained = list(parameters)
    rate, decay = adapter.learning_rate, adapter.weight_decay
    adam: dict[str, Any] = {"lr": rate, "betas": (0.9, adapter.beta2), "weight_decay": decay}
    name = adapter.optimizer
    if name in {"adamw_torch", "adamw_torch_fused"}:
        return torch.optim.AdamW(trained, fused=name.endswith("fused"), **adam)
    if name == "sgd":
        return torch.optim.SGD(trained, lr=rate, weight_decay=decay)
    if name == "adafactor":
        from transformers import Adafactor

        plain: Any = Adafactor
        return plain(trained, lr=rate, weight_decay=decay, relative_step=False, scale_parameter=False)  # type: ignore[no-any-return]
    bits: Any = require("bitsandbytes", feature=f"optimizer: {name}")
    if name == "lion_8bit":
        return bits.optim.Lion8bit(trained, lr=rate, weight_decay=decay)  # type: ignore[no-any-return]
    made = bits.optim.PagedAdamW8bit if name.startswith("paged") else bits.optim.AdamW8bit
    return made(trained, **adam)  # type: ignore[no-any-return]


def build_schedule(adapter: DiffusionAdapter, optimizer: torch.optim.Optimizer) -> Any:
    """Learning rate over steps: a rise over the warm-up, then the preset's schedule to the last step."""
    from transformers import get_scheduler

    extra = {"min_lr_rate": 0.1} if adapter.schedule == "cosine_with_min_lr" else {}
    return get_scheduler(
        adapter.schedule,
        optimizer,
        num_warmup_steps=math.ceil(adapter.warmup * adapter.steps),
        num_training_steps=adapter.steps,
        scheduler_specific_kwargs=extra,
    )
