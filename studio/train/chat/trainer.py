"""The trainer: TRL's SFTTrainer with a loss that reads only the targets, an order that is fixed, and checkpoints that are whole.

Legend: b rows of a micro batch, s padded length, d hidden size, n targets in the micro batch, v vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import datasets
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from studio.adapters.chat.reference import TRAINED, has_start
from studio.models.chat.architecture import decoder_of
from studio.models.chat.encoding import IGNORE, EncodedRow
from studio.train.chat.attention import use_short_attention
from studio.train.chat.batches import Collator, MicroBatches, SlotDataset
from studio.train.chat.fast import target_nll
from studio.train.chat.lora_layers import fuse_lora
from studio.train.chat.weights import check_adapter, read_weights, write_weights
from studio.train.checkpoints import PARTIAL, clear_partial, publish_checkpoint, rotate_checkpoints
from studio.train.finite import all_finite, refuse_blown_up, refuse_scaled_away


class ChatTrainer(SFTTrainer):  # type: ignore[misc]  # trl carries no types
    """Trains on encoded rows.

    What differs from its parent, and why:
    * the head and the softmax run only at positions that have a target (the parent computes logits and an entropy for
      every prompt token too);
    * the rows of every optimizer step are decided beforehand and do not depend on processes or micro batch;
    * the loss is the weighted sum over targets divided by the weight of all targets of the step, in every process and
      accumulation window;
    * validation loss is exact over tokens and their weights, not a mean of batch means;
    * a checkpoint becomes visible by one rename, with a manifest of its files, and the best one is never rotated away.
    """

    control: Any
    optimizer: Any

    def __init__(
        self,
        *,
        model: Any,
        args: SFTConfig,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[EncodedRow],
        sequences: Sequence[Sequence[int]],
        windows: Sequence[Sequence[int]],
        validation: Sequence[EncodedRow],
        packed: bool,
        keep_checkpoints: int,
        loraplus_ratio: float | None,
        own_optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        callbacks: list[TrainerCallback],
    ) -> None:
        """``sequences`` are the rows of each training sequence, ``windows`` the sequences of each optimizer step."""
        self._slots = SlotDataset(rows, sequences)
        self._windows, self._validation = windows, sorted(validation, key=lambda row: -len(row.input_ids))
        self._weighted = any(row.weights is not None for row in (*rows, *validation))
        self._keep, self._loraplus_ratio, self._own_optimizer = keep_checkpoints, loraplus_ratio, own_optimizer
        self._collator = Collator(int(tokenizer.pad_token_id), packed)
        text_config: Any = model.config.get_text_config()
        balancing = getattr(text_config, "router_aux_loss_coef", None)
        super().__init__(
            model=model,
            args=args,
            processing_class=tokenizer,
            train_dataset=datasets.Dataset.from_dict({"input_ids": [row.input_ids for row in rows[:1]]}),
            eval_dataset=datasets.Dataset.from_dict({"input_ids": [[0]]}) if validation else None,
            data_collator=self._collator,
            callbacks=callbacks,
        )
        if balancing is not None:  # the parent writes the 0 that switches the loss off into what will be saved
            text_config.router_aux_loss_coef = balancing
        # The parent turns adapters on a quantised base into bfloat16; where bfloat16 is slow (CPU) they stay float32.
        if not args.bf16:
            for parameter in self.model.parameters():
                if parameter.requires_grad and parameter.dtype == torch.bfloat16:
                    parameter.data = parameter.data.float()
        if args.fp16 and args.device.type == "cpu":  # where accelerate scales no loss
            self.accelerator.native_amp, self.accelerator.scaler = True, torch.amp.GradScaler("cpu")
        self._note_scale()
        self.model_accepts_loss_kwargs = True
        self.remove_callback(PrinterCallback)  # the recorder shows progress
        self._put_loss_into_forward()
        fuse_lora(self.model)
        use_short_attention(self.model)

    def _put_loss_into_forward(self) -> None:
        """While targets are set, the model gives the loss of each target [n] in place of logits [b, s, v].

        The decoder then hands its states to the head as one row, [b, s, d] -> [1, b*s, d], so that the model's own
        ``logits_to_keep`` picks exactly the positions that have a target, and whatever the architecture does around its head
        (soft-capping, scaling) stays as it is. The loss is taken inside the forward because accelerate turns what comes out of it
        into float32, of which logits would need a second, larger copy. The forward still goes through the wrapped model, which
        distributed training needs.
        """
        causal_lm = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        self._targets: Tensor | None = None

        def flatten(_module: Any, _inputs: Any, output: Any) -> Any:
            if self._targets is not None:
                hidden = output.last_hidden_state
                output.last_hidden_state = hidden.reshape(1, -1, hidden.shape[-1])
            return output

        decoder_of(causal_lm).register_forward_hook(flatten)
        plain = causal_lm.forward

        @wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            output = plain(*args, **kwargs)
            if self._targets is not None:
                output.logits = self._of_logits(output.logits.squeeze(0), self._targets)
            return output

        # Not a hook: PEFT calls the forward of what it wraps directly.
        causal_lm.forward = forward

    def _of_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each of ``targets`` int64 [n] under ``logits`` [n, v], which it may use up; float32 [n]."""
        return target_nll(logits, targets)

    def _target_nll(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood of each target of a micro batch, float32 [n] in nats, and its place in the flattened batch [n].

        A micro batch without a target gives one figure of weight zero and no place: every process must run forward and
        backward, and it keeps them in step.
        """
        targets = inputs["targets"].reshape(-1)
        positions = (targets != IGNORE).nonzero().squeeze(-1)  # [n]
        kept = positions if positions.numel() else positions.new_zeros(1)
        self._targets = targets[kept].clamp(min=0)
        try:
            nll: Tensor = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs.get("attention_mask"),
                position_ids=inputs.get("position_ids"),
                use_cache=False,
                logits_to_keep=kept,
            ).logits
        finally:
            self._targets = None
        return nll if positions.numel() else nll * 0.0, positions

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Mean loss per target of the whole optimizer step, each by its weight, as this micro batch's share of it.

        ``num_items_in_batch`` is the weight of the targets of all micro batches and processes of the step. Distributed training
        averages gradients over processes, which the factor undoes.
        """
        del return_outputs
        share: Tensor = self._total_nll(model, inputs) / num_items_in_batch * self.accelerator.num_processes
        return share

    def _total_nll(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """Sum over the targets of a micro batch of weight times negative log-likelihood, a scalar in nats."""
        nll, positions = self._target_nll(model, inputs)
        if "weights" in inputs and positions.numel():
            nll = nll * inputs["weights"].reshape(-1)[positions]
        return nll.sum()

    def _target_weight(self, inputs: dict[str, Tensor]) -> Tensor:
        """Weight of all targets of a micro batch, a scalar: their number where no row of the training has weights."""
        kept = inputs["targets"] != IGNORE
        if not self._weighted:
            return kept.sum()
        return (inputs["weights"] * kept).sum() if "weights" in inputs else kept.sum().float()

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Tensor]], device: torch.device) -> Tensor:
        """Weight of the targets of one optimizer step over all its micro batches and processes."""
        count = torch.stack([self._target_weight(batch) for batch in batch_samples]).sum().to(device)
        total: Tensor = self.accelerator.reduce(count, "sum") if self.accelerator.num_processes > 1 else count
        return total

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The fixed order, cut for this process; not handed to accelerate, which would cut it again."""
        sampler = MicroBatches(
            self._windows,
            accumulation=self.args.gradient_accumulation_steps,
            micro=self.args.per_device_train_batch_size,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
        )
        return DataLoader(self._slots, batch_sampler=sampler, collate_fn=self._collator, pin_memory=torch.cuda.is_available())

    @torch.no_grad()
    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Validation loss: negative log-likelihood over all targets by weight, divided by their weight (nats per token)."""
        was_training = self.model.training
        self.model.eval()
        size, rank, world = self.args.per_device_eval_batch_size, self.accelerator.process_index, self.accelerator.num_processes
        mine = self._validation[rank::world]
        totals = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        collate = replace(self._collator, packed=False)
        for start in range(0, len(mine), size):
            batch = self._prepare_inputs(collate([[(row, False)] for row in mine[start : start + size]]))
            with self.compute_loss_context_manager():
                totals[0] += self._total_nll(self.model, batch).double()
            totals[1] += self._target_weight(batch)
        if world > 1:
            totals = self.accelerator.reduce(totals, "sum")
        self.model.train(was_training)
        metrics = {"eval_loss": float(totals[0] / totals[1]), **self._also_validated(float(totals[1]))}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _also_validated(self, weight: float) -> dict[str, float]:  # noqa: ARG002 - for objectives with a loss of parts
        """Further figures of the validation that has just run over targets of this weight, in all processes."""
        return {}

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Save at once whenever the validation loss is the best so far, so that the best weights are never only in memory."""
        is_best: bool = super()._determine_best_metric(metrics, trial)
        if is_best:
            self.control.should_save = True
        return is_best

    def create_optimizer(self, model: Any = None) -> Any:
        """The preset's optimizer: the studio's own or transformers'; B matrices learn faster with LoRA+."""
        if self.optimizer is None and self._loraplus_ratio is not None:
            from peft.optimizers import create_loraplus_optimizer

            optimizer_class, settings = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            self.optimizer = create_loraplus_optimizer(
                model=self.model,
                optimizer_cls=optimizer_class,
                loraplus_lr_ratio=self._loraplus_ratio,
                loraplus_weight_decay=self.args.weight_decay,
                **settings,
            )
            return self.optimizer
        if self.optimizer is None and self._own_optimizer is not None:
            target = self.model if model is None else model
            sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
            self.optimizer = self._own_optimizer(target, self.get_decay_parameter_names(target), sharded=sharded)
            return self.optimizer
        return super().create_optimizer(model) if model is not None else super().create_optimizer()

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, and leave in the model what is to be saved."""
        found = super().train(*args, **kwargs)
        self._show_average()
        return found

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Validate and save the weights that will be served; the next step puts back those that train."""
        if self.control.should_evaluate or self.control.should_save:
            self._show_average()
        super()._maybe_log_save_evaluate(*args, **kwargs)

    def _show_average(self) -> None:
        """Put the average of an optimizer that keeps one (schedule-free) into the model."""
        if callable(show := getattr(self.optimizer, "eval", None)):
            show()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Skip the parent's token accuracy and entropy, which are not computed; stop a training that has blown up."""
        if "grad_norm" in logs and self._was_skipped():
            logs["skipped"] = 1.0
            del logs["grad_norm"]  # infinite by design: the next step's loss is scaled by half
        figures = {"loss": "loss", "grad_norm": "gradient_norm", "eval_loss": "validation_loss"}
        found = {name: logs.get(key) for key, name in figures.items()}
        clipped, narrow = bool(self.args.max_grad_norm), bool(self.args.fp16)
        refuse_blown_up(self.state.global_step, self.args.learning_rate, clipped=clipped, narrow=narrow, **found)
        if self.accelerator.scaler is not None:
            refuse_scaled_away(self.state.global_step, self.accelerator.scaler.get_scale())
        Trainer.log(self, logs, start_time)

    def _note_scale(self) -> float:
        """Remember what the loss is scaled with from here on; 0 without scaling."""
        scaler = self.accelerator.scaler
        self._scale = float(scaler.get_scale()) if scaler is not None else 0.0
        return self._scale

    def _was_skipped(self) -> bool:
        """True when the last step changed nothing because its gradient was too large for float16.

        Told by the scale, which only then falls: accelerate does not see a step that a fused optimizer skips by itself.
        """
        before = self._scale
        return self._note_scale() < before

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Take up the scale of a checkpoint too."""
        super()._load_scaler(checkpoint)
        self._note_scale()

    def _get_output_dir(self, trial: Any) -> str:
        """Checkpoints are written into a hidden folder first."""
        del trial
        return str(Path(self.args.output_dir) / PARTIAL)

    @property
    def _plainly_whole(self) -> bool:
        """True when every process holds the whole model, none of it an adapter or a shard."""
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        return not sharded and not hasattr(self.model, "peft_config")

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """A whole model is written under its modules' own names, which the parent's file does not keep."""
        if has_start(self.model):  # the frozen adapter lies where it came from
            self.model.save_pretrained(output_dir, state_dict=state_dict, selected_adapters=[TRAINED])
            return
        if output_dir is None or not self._plainly_whole:
            super()._save(output_dir, state_dict)
            return
        write_weights(self.model, Path(output_dir))
        self.model.config.save_pretrained(output_dir)
        self.processing_class.save_pretrained(output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Take up a checkpoint's weights, every one of them; the parent leaves out what does not fit."""
        if self._plainly_whole or has_start(self.model):
            read_weights(self.model, Path(resume_from_checkpoint))
            return
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if not self.is_fsdp_enabled and not self.is_deepspeed_enabled:
            check_adapter(self.model, Path(resume_from_checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write everything into the hidden folder, then publish it by one rename and drop checkpoints not worth keeping."""
        if not all_finite(parameter for parameter in self.model.parameters() if parameter.requires_grad):
            refuse_blown_up(self.state.global_step, self.args.learning_rate, clipped=False, largest_weight=math.nan)
        if self.accelerator.is_main_process:
            clear_partial(Path(self.args.output_dir))
        self.accelerator.wait_for_everyone()
        Trainer._save_checkpoint(self, model, trial)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            publish_checkpoint(Path(self.args.output_dir), self.state.global_step)
            rotate_checkpoints(Path(self.args.output_dir), keep=self._keep, best_step=self.state.best_global_step)
        self.accelerator.wait_for_everyone()
