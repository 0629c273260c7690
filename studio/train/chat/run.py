"""The training of a chat model, from a Run folder that has been opened to one that is finished. Reads top-down."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, set_seed

from studio.adapters.chat.attach import attach_lora, save_adapter
from studio.adapters.chat.layers import coverage, told, unpacked
from studio.adapters.chat.loading import read_template
from studio.core.errors import UserError
from studio.core.files import new_folder, write_text
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.chat.rows import read_split
from studio.models.bases import ResolvedBase, resolve_base
from studio.models.chat.architecture import decoder_of, refuse_packing, refuse_seeing_ahead
from studio.models.chat.loading import load_causal_lm, load_scorer, load_tokenizer, read_config, refuse_quantising
from studio.models.chat.templates import ChatTemplate, template_of
from studio.models.device import pick_device, pick_dtype
from studio.schema.adapter import ChatAdapter
from studio.schema.loading import load_yaml
from studio.train.chat.batches import training_windows
from studio.train.chat.curve import plot_loss
from studio.train.chat.encode import EncodedSplit, MaskReport, mask_report, refuse_untrainable, template_lines
from studio.train.chat.objectives.base import Opened
from studio.train.chat.objectives.table import objective
from studio.train.chat.packing import pack_rows, prove_isolation
from studio.train.chat.recorder import Recorder, skipped_steps
from studio.train.chat.settings import trainer_settings, uses_compile
from studio.train.chat.stopping import StopCallback
from studio.train.chat.trainer import ChatTrainer
from studio.train.chat.weights import read_weights
from studio.train.checkpoints import resume_point, step_of
from studio.train.ending import close_well, plain_words, to_the_end
from studio.train.finite import BlownUpError, first_broken, first_not_finite, refuse_broken
from studio.train.record import mark_running, peak_memory, unchanged
from studio.train.recording import MetricsFile, StopOnSignal

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before weights are loaded."""

    tokenizer: PreTrainedTokenizerBase
    template: ChatTemplate
    training: EncodedSplit
    validation: EncodedSplit
    report: MaskReport
    sequences: list[list[int]]
    windows: list[list[int]]
    steps_per_epoch: int


def train_run(run_folder: Path, *, resume: bool, say: Say) -> RunRecord:
    """Train what the Run's ``config.yaml`` says, in this process (one of several when launched so).

    Args:
        run_folder: made by :func:`studio.train.record.open_run`.
        resume: go on from the newest whole checkpoint.
        say: takes remarks for the person; called in the first process only.
    Raises:
        InterruptedRunError: a signal came; a checkpoint was saved.
        UserError, StudioError: what is wrong, in one sentence; the record says ``failed``.
    """
    main = int(os.environ.get("RANK", "0")) == 0
    speak: Say = say if main else lambda _text: None
    return to_the_end(run_folder, lambda stop: _train(run_folder, resume=resume, say=speak, main=main, stop=stop), main=main)


def _train(run_folder: Path, *, resume: bool, say: Say, main: bool, stop: StopOnSignal) -> None:
    """The story: prepare, load, attach, train, take the best, write down."""
    started = time.time()
    adapter = load_yaml(run_folder / "config.yaml", ChatAdapter)
    record = read_run(run_folder)
    checkpoint = resume_point(run_folder, say) if resume else None
    device = pick_device()
    dtype = pick_dtype(adapter.dtype, device)
    base = unchanged(resolve_base(adapter.model, adapter.revision), record)

    opened = datetime.fromisoformat(record.created)
    kept = read_template(run_folder, record) if checkpoint is not None else None
    prepared = prepare(adapter, base, run_dataset(record, Workspace.around(run_folder)), opened, kept)
    if (limit := context_limit(adapter.max_length, base)) < adapter.max_length:
        say(f"max_length {adapter.max_length} is more than the {limit} positions of {base.name}: {limit} is the limit")
    for line in (*template_lines(prepared.template), *prepared.report.lines()):
        say(line)
    refuse_untrainable(prepared.report, prepared.template, prepared.training.rows)
    if main:
        _write_before(run_folder, prepared)

    opened_run = Opened(
        adapter, run_folder, base, prepared.tokenizer, prepared.template, prepared.training, prepared.validation, device, dtype,
        main, checkpoint is not None, say, stop,
    )  # fmt: skip
    beforehand = objective(adapter.objective).before(opened_run)
    set_seed(adapter.seed)
    model = _load_model(adapter, base, run_folder, device=device, dtype=dtype)
    covered = coverage(model)
    for remark in filter(None, (told(covered), unpacked(covered, adapter.quantization))):
        say(remark)
    trainer, recorder = _build_trainer(adapter, run_folder, prepared, model, device, dtype, stop, checkpoint, beforehand)
    if not objective(adapter.objective).scores:  # what scores a whole answer may look at all of it
        refuse_seeing_ahead(trainer.model, base.name)
    if adapter.packing:  # proven on what trains: the trainer puts layers and attention of its own into the model
        leak = prove_isolation(trainer.model, prepared.training.rows, int(prepared.tokenizer.pad_token_id))
        rows, packs = len(prepared.training.rows), len(prepared.sequences)
        say(f"{rows} rows packed into {packs} sequences; isolation proven (logits differ by {leak:.1e} of their size)")
    try:
        _run_trainer(trainer, recorder, checkpoint, run_folder)
    except BlownUpError:
        if adapter.quantization != "none":  # packed weights were not looked at before
            refuse_broken(first_not_finite(base.folder), base.name)
        raise
    if stop.stopped:
        return
    if skipped := skipped_steps(trainer.state.log_history):
        steps = trainer.state.global_step
        say(f"{skipped} of {steps} steps were skipped: the gradient of the scaled loss was too large for float16")
    if main:
        _finish(run_folder, adapter, base, prepared, trainer, recorder, seconds=time.time() - started)


def prepare(
    adapter: ChatAdapter,
    base: ResolvedBase,
    dataset_folder: Path,
    opened: datetime | None = None,
    template: ChatTemplate | None = None,
) -> Prepared:
    """Tokenise, mask, pack and order the training split; nothing is loaded onto a device.

    Args:
        opened: when the run was opened, the date for templates that ask for it; None is now.
        template: that of a run which goes on, whatever has become of the base's or the preset's file; None takes theirs.
    Raises:
        UserError: no template, or a Dataset without a training split.
        DataError: a row cannot be encoded.
    """
    tokenizer = load_tokenizer(base)
    template = template or template_of(tokenizer, adapter, base.name, at=opened)
    limit = context_limit(adapter.max_length, base)
    aim = objective(adapter.objective)

    def encoded(split: str) -> EncodedSplit:
        rows = read_split(dataset_folder, split)
        return aim.encode(tokenizer, template, rows, adapter, limit)

    training = encoded("train")
    refuse_unknown_ids(training, tokenizer, base)
    has_validation = (dataset_folder / "validation.parquet").is_file()
    validation = encoded("validation") if has_validation else EncodedSplit([], [], [])
    lengths = training.lengths
    sequences = pack_rows(lengths, limit) if adapter.packing else aim.units(len(lengths))
    windows = training_windows(
        [sum(lengths[index] for index in sequence) for sequence in sequences],
        batch_size=adapter.batch_size,
        epochs=adapter.epochs,
        seed=adapter.seed,
        length_sorting=adapter.length_sorting,
    )
    if adapter.max_steps is not None:
        windows = windows[: adapter.max_steps]
    steps_per_epoch = -(-len(sequences) // adapter.batch_size)
    return Prepared(tokenizer, template, training, validation, mask_report(training), sequences, windows, max(1, steps_per_epoch))


def refuse_unknown_ids(split: EncodedSplit, tokenizer: PreTrainedTokenizerBase, base: ResolvedBase) -> None:
    """Go on only when the model has a row of its embeddings for every token, padding too.

    Raises:
        UserError: the tokenizer knows more tokens than the model.
    """
    rows = int(read_config(base).get_text_config().vocab_size)
    highest = max([int(tokenizer.pad_token_id), *(max(row.input_ids, default=0) for row in split.rows)])
    if highest >= rows:
        raise UserError(
            f"the tokenizer of {base.name} gives token {highest} ({tokenizer.convert_ids_to_tokens(highest)!r}), and the model's "
            f"embeddings have only {rows} rows. Use the tokenizer files that belong to the model."
        )


def context_limit(max_length: int, base: ResolvedBase) -> int:
    """Tokens that a row may have: ``max_length``, but never more than the base has positions for."""
    config = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    return min(max_length, int(positions)) if positions else max_length


def _write_before(run_folder: Path, prepared: Prepared) -> None:
    """What is known before the first step: the template byte for byte, the mask report, every row that is left out."""
    write_text(run_folder / "chat_template.jinja", prepared.template.text)
    if prepared.training.left_out:
        lines = [json.dumps({"id": identity, "reason": reason}) for identity, reason in prepared.training.left_out]
        write_text(run_folder / "left_out.jsonl", "\n".join(lines) + "\n")
    mark_running(run_folder, template=prepared.template.record(), mask_report=prepared.report.as_dict())


def _load_model(adapter: ChatAdapter, base: ResolvedBase, run_folder: Path, *, device: torch.device, dtype: torch.dtype) -> Any:
    """Base weights with what trains: adapters, or all of it (then in float32, bfloat16 arithmetic by autocast)."""
    config = read_config(base)
    refuse_quantising(config, adapter.quantization, base.name)
    if adapter.packing:
        refuse_packing(config, base.name)
    load_as = torch.float32 if adapter.method == "full" else dtype
    load: Any = load_causal_lm
    if objective(adapter.objective).scores:
        load = partial(load_scorer, pad_id=int(load_tokenizer(base).pad_token_id))  # type: ignore[arg-type]
    model: Any = load(base, dtype=load_as, quantization=adapter.quantization, attention=adapter.attention, device=device)
    refuse_broken(first_broken(model.named_parameters()), base.name)
    if adapter.method == "lora":
        # The start values of PiSSA are kept for a resume, which must take the same part out of the base.
        start = run_folder / "checkpoints" / "pissa_start.safetensors" if adapter.lora.init.startswith("pissa") else None
        torch.manual_seed(adapter.seed)
        model = attach_lora(
            model,
            adapter.lora,
            quantized=adapter.quantization != "none",
            gradient_checkpointing=adapter.gradient_checkpointing,
            start_values=start,
        )
    else:
        model.requires_grad_(True)
    if uses_compile(adapter, device):
        _compile_layers(model.get_base_model() if adapter.method == "lora" else model, dynamic=not adapter.packing)
    return model.train()


def _compile_layers(causal_lm: Any, *, dynamic: bool) -> None:
    """Compile each decoder layer: one short graph that all of them share, instead of one long one."""
    for layer in decoder_of(causal_lm).layers:
        layer.compile(dynamic=dynamic)


def _build_trainer(
    adapter: ChatAdapter,
    run_folder: Path,
    prepared: Prepared,
    model: Any,
    device: torch.device,
    dtype: torch.dtype,
    stop: StopOnSignal,
    checkpoint: Path | None,
    beforehand: dict[str, Any],
) -> tuple[ChatTrainer, Recorder]:
    """The trainer with its recorder. ``beforehand``: what the objective has worked out before."""
    from transformers import EarlyStoppingCallback

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    arguments = trainer_settings(
        adapter,
        run_folder,
        device=device,
        dtype=dtype,
        steps=len(prepared.windows),
        steps_per_epoch=prepared.steps_per_epoch,
        processes=processes,
        validation=bool(prepared.validation.rows),
    )
    lengths = prepared.training.lengths
    tokens = [sum(lengths[row] for place in window for row in prepared.sequences[place]) for window in prepared.windows]
    metrics = MetricsFile(run_folder / "metrics.jsonl", resumed_at=step_of(checkpoint) if checkpoint else 0)
    recorder = Recorder(metrics, tokens, steps_per_epoch=prepared.steps_per_epoch, quiet=int(os.environ.get("RANK", "0")) != 0)
    callbacks = [recorder, StopCallback(stop)]
    if adapter.early_stopping is not None and prepared.validation.rows:
        callbacks.append(EarlyStoppingCallback(adapter.early_stopping))
    trainer = objective(adapter.objective).trainer(adapter)(
        model=model,
        args=arguments,
        tokenizer=prepared.tokenizer,
        rows=prepared.training.rows,
        sequences=prepared.sequences,
        windows=prepared.windows,
        validation=prepared.validation.rows,
        packed=adapter.packing,
        keep_checkpoints=adapter.keep_checkpoints,
        loraplus_ratio=adapter.loraplus_ratio,
        callbacks=callbacks,
        **beforehand,
    )
    return trainer, recorder


def _run_trainer(trainer: ChatTrainer, recorder: Recorder, checkpoint: Path | None, run_folder: Path) -> None:
    """Train, turning the ways in which it ends early into one sentence each."""

    def unwritten() -> str:
        step = trainer.state.global_step
        return f"the checkpoint after step {step} could not be written to {run_folder / 'checkpoints'}"

    try:
        # torch, safetensors and tokenizers each raise something else when the disk is full, tokenizers a bare Exception.
        with plain_words(run_folder, unwritten, check_disk=True):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        recorder.close()


def _finish(
    run_folder: Path,
    adapter: ChatAdapter,
    base: ResolvedBase,
    prepared: Prepared,
    trainer: ChatTrainer,
    recorder: Recorder,
    *,
    seconds: float,
) -> None:
    """Take the best weights, save them as a plain folder, draw the loss, write the record and the card."""
    best_step = trainer.state.best_global_step or None
    last_step = trainer.state.global_step
    if best_step and best_step != last_step:
        read_weights(trainer.model, run_folder / "checkpoints" / f"checkpoint-{best_step}")
    target = "adapter" if adapter.method == "lora" else "model"
    shutil.rmtree(run_folder / target, ignore_errors=True)  # only a finish that was killed can have left one
    if adapter.method == "lora":
        save_adapter(
            trainer.model,
            run_folder / target,
            adapter.lora,
            base_name=base.name,
            tokenizer=prepared.tokenizer,
            template=prepared.template,
        )
    else:
        _save_full(trainer.model, run_folder / target, prepared, base)
    plot_loss(run_folder / "metrics.jsonl", run_folder / "loss.png", objective(adapter.objective).unit)
    history = trainer.state.log_history
    losses = [line["loss"] for line in history if "loss" in line]
    validations = [line["eval_loss"] for line in history if "eval_loss" in line]
    at_best = next((line for line in history if "eval_accuracy_low" in line and line["step"] == (best_step or last_step)), None)
    accuracy = [at_best[f"eval_accuracy{end}"] for end in ("", "_low", "_high")] if at_best else None
    result = {
        "objective": adapter.objective,
        "steps": last_step,
        "skipped_steps": skipped_steps(history),
        "best_step": best_step or last_step,
        "epochs": round(last_step / prepared.steps_per_epoch, 4),
        "first_loss": losses[0] if losses else None,
        "final_loss": losses[-1] if losses else None,
        "validation_loss": min(validations) if validations else None,
        **({"validation_accuracy": accuracy} if accuracy else {}),
        "tokens": recorder.tokens,
        "tokens_per_second": round(recorder.tokens / max(recorder.seconds, 1e-9), 1),
        "training_seconds": round(recorder.seconds, 1),
        "seconds": round(seconds, 1),
        "first_step_at": recorder.first_step_at,
        "peak_memory_bytes": peak_memory(),
        "trained_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
    }
    close_well(run_folder, result, target, "config.yaml", "chat_template.jinja")


def _save_full(model: Any, target: Path, prepared: Prepared, base: ResolvedBase) -> None:
    """A plain transformers folder of a fully tuned model, its tokenizer carrying the template it was trained with."""
    # Training needs no cache, writing answers does: without it each token costs a pass over all before it.
    for own, original in (
        (model.config, read_config(base)),
        (model.config.get_text_config(), read_config(base).get_text_config()),
    ):
        own.use_cache = getattr(original, "use_cache", True)
    with new_folder(target) as folder:
        model.save_pretrained(folder)
        prepared.tokenizer.chat_template = prepared.template.text
        prepared.tokenizer.save_pretrained(folder)
