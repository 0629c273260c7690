"""From a preset to what TRL wants to be told. The one place where the preset's words meet the library's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from trl import SFTConfig

from studio.core.errors import UserError
from studio.core.extras import available, require
from studio.schema.adapter import ChatAdapter
from studio.schema.optimizers import OF_THE_STUDIO

_TRACKER_MODULES = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb", "mlflow": "mlflow"}


def method_name(adapter: ChatAdapter) -> str:
    """The usual name of what a preset does: full, oft, lora, qlora, dora, rslora, pissa, lora+ and so on, and combinations."""
    if adapter.method != "lora":
        return adapter.method if adapter.quantization == "none" else f"q{adapter.method}"
    parts = [
        "qlora" if adapter.quantization != "none" else "lora",
        *(["dora"] if adapter.lora.dora else []),
        *(["rslora"] if adapter.lora.rslora else []),
        *([adapter.lora.init.partition("_")[0]] if adapter.lora.init not in {"default", "gaussian"} else []),
        *(["lora+"] if adapter.loraplus_ratio else []),
    ]
    return "-".join(parts)


def split_batch(adapter: ChatAdapter, processes: int) -> tuple[int, int]:
    """Rows per forward pass and process, and forward passes per optimizer step.

    Raises:
        UserError: the batch cannot be shared out evenly among the processes.
    """
    if adapter.batch_size % processes:
        raise UserError(
            f"batch_size {adapter.batch_size} cannot be shared out among {processes} processes. Set batch_size to a multiple."
        )
    share = adapter.batch_size // processes
    micro = min(adapter.micro_batch_size or share, share)
    if share % micro:
        raise UserError(
            f"micro_batch_size {micro} does not divide the {share} rows of each of {processes} processes "
            f"(batch_size {adapter.batch_size}). Set micro_batch_size to a divisor of {share}."
        )
    return micro, share // micro


def check_trackers(adapter: ChatAdapter) -> None:
    """Refuse a tracker whose package is missing before anything is loaded.

    Raises:
        MissingExtraError: names the package.
    """
    for tracker in adapter.report_to:
        require(_TRACKER_MODULES[tracker], feature=f"report_to: {tracker}", extra=tracker)


def trainer_settings(
    adapter: ChatAdapter,
    run_folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    steps: int,
    steps_per_epoch: int,
    processes: int,
    validation: bool,
    best: tuple[str, bool] = ("eval_loss", False),
) -> SFTConfig:
    """TRL's settings for a preset.

    Args:
        dtype: type of the arithmetic; bfloat16 and float16 run under autocast, float16 with a scaled loss.
        steps: optimizer steps of the whole training.
        best: what a validation measures by which the best weights are known, and whether more of it is better.
    """
    micro, accumulation = split_batch(adapter, processes)
    eval_every = adapter.eval_every or max(1, steps_per_epoch // 4)
    save_every = adapter.save_every or eval_every
    cuda = device.type == "cuda"
    extra: dict[str, Any] = {}
    if adapter.schedule == "cosine_with_min_lr":
        extra["lr_scheduler_kwargs"] = {"min_lr_rate": 0.1}
    if adapter.gradient_checkpointing:
        extra["gradient_checkpointing_kwargs"] = {"use_reentrant": False}
    if uses_liger(adapter, device):
        # The loss is computed at target positions only, outside the model, so the fused loss kernels stay off.
        extra["liger_kernel_config"] = {"cross_entropy": False, "fused_linear_cross_entropy": False}
        extra["use_liger_kernel"] = True
    if validation:
        extra |= {"eval_strategy": "steps", "eval_steps": eval_every}
        extra |= {"metric_for_best_model": best[0], "greater_is_better": best[1]}
    return SFTConfig(
        output_dir=str(run_folder / "checkpoints"),
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        max_steps=steps,
        learning_rate=adapter.learning_rate,
        lr_scheduler_type=adapter.schedule,
        warmup_steps=math.ceil(adapter.warmup * steps),
        weight_decay=adapter.weight_decay,
        max_grad_norm=adapter.max_grad_norm,
        optim="adamw_torch" if adapter.optimizer in OF_THE_STUDIO else adapter.optimizer,
        neftune_noise_alpha=adapter.neftune_alpha,
        gradient_checkpointing=adapter.gradient_checkpointing,
        seed=adapter.seed,
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        use_cpu=device.type == "cpu",
        ddp_backend="nccl" if cuda else "gloo" if processes > 1 else None,
        ddp_find_unused_parameters=False,
        average_tokens_across_devices=True,
        save_strategy="steps",
        save_steps=save_every,
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=list(adapter.report_to) or "none",
        run_name=run_folder.name,
        remove_unused_columns=False,
        label_names=["targets"],
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        router_aux_loss_coef=0.0,  # computed from all tokens, padding and prompts too; docs/plan.md says that it is left out
        **extra,
    )


def uses_liger(adapter: ChatAdapter, device: torch.device) -> bool:
    """True when Liger kernels will run: asked for, or left to us on a GPU that has the package.

    Raises:
        MissingExtraError: asked for and not installed.
        UserError: asked for without a GPU.
    """
    if adapter.liger == "on":
        if device.type != "cuda":
            raise UserError(f"liger: on needs a CUDA GPU; this machine computes on {device.type}. Use liger: auto.")
        require("liger_kernel", feature="liger: on")
    return adapter.liger == "on" or (adapter.liger == "auto" and device.type == "cuda" and available("liger_kernel"))


def uses_compile(adapter: ChatAdapter, device: torch.device) -> bool:
    """True when decoder layers are compiled: asked for, or left to us for packed rows on a GPU, whose shapes repeat."""
    return adapter.compile == "on" or (adapter.compile == "auto" and device.type == "cuda" and adapter.packing)
