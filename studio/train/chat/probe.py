"""The probe: a few real optimizer steps with the longest rows, then with usual ones, in a process of its own, timed and measured.

It runs the studio's trainer on the real base; of ``objective: grpo`` it writes the beginning of a step's answers too. The rows
have the lengths of real ones and random words, which neither time nor memory can tell apart. Nothing is kept.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.schema.adapter import ChatAdapter
from studio.train.probing import answer_probe, ask_probe

STEPS = 3
WRITTEN = 16
"""Tokens of an answer after the first that are written to measure how long one takes."""


@dataclass(frozen=True)
class Probed:
    """What was measured.

    step_seconds: with the longest rows; median of all steps but the first, which warms up.
    step_tokens: tokens of these rows, without padding.
    usual_seconds, usual_tokens: the same with rows of every length, whose padding and small matrices cost their time.
    peak: bytes; the largest resident size of the process on a CPU, the most allocated memory on a GPU.
    device: where it ran.
    writing_seconds: for the answers that one step of ``objective: grpo`` learns from, were each of ``grpo.max_new_tokens``;
        0 of other objectives. Shared by the ``grpo.updates`` steps on the same answers.
    """

    step_seconds: float
    step_tokens: int
    usual_seconds: float
    usual_tokens: int
    peak: int
    device: str
    losses: list[float]
    writing_seconds: float = 0.0

    def epoch_seconds(self, tokens_per_epoch: int) -> float:
        """Seconds for one pass over that many tokens at the speed of usual rows, and for the answers among them."""
        return tokens_per_epoch / self.usual_tokens * (self.usual_seconds + self.writing_seconds)


def probe(
    adapter: ChatAdapter, lengths: Sequence[int], supervised: Sequence[int], *, steps: int = STEPS, start: Path | None = None
) -> Probed:
    """Train a few steps on the longest rows and on usual ones, in a process of its own, and measure it.

    Args:
        lengths: tokens per row; the ``batch_size`` longest are taken, then as many from equal shares of all.
        supervised: targets in each of them.
        steps: with each of the two.
        start: adapter folder of a run that is trained on.
    Raises:
        StudioError: the process failed; its last line is told.
    """
    ordered = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    if adapter.objective == "grpo":  # every answer to a prompt is a row
        ordered = [row for row in ordered for _ in range(adapter.grpo.group_size)]
    count = min(adapter.batch_size, len(ordered))
    usual = [ordered[(2 * share + 1) * len(ordered) // (2 * count)] for share in range(count)]
    rows = [[[lengths[row], supervised[row]] for row in chosen] for chosen in (ordered[:count], usual)]
    task = {"adapter": adapter.model_dump(mode="json"), "rows": rows, "steps": steps, "start": start and str(start)}
    return Probed(**ask_probe("studio.train.chat.probe", task))


def run_task(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """In the probe's process: train what a task says."""
    adapter = ChatAdapter.model_validate(task["adapter"])
    start = Path(task["start"]) if task.get("start") else None
    return asdict(train_rows(adapter, task["rows"], int(task["steps"]), folder / "run", start=start))


def train_rows(
    adapter: ChatAdapter, sets: Sequence[Sequence[tuple[int, int]]], steps: int, folder: Path, *, start: Path | None = None
) -> Probed:
    """Train ``steps`` times on each of two sets of rows, given as (tokens, targets), with the studio's own trainer."""
    import torch

    from studio.models.bases import resolve_base
    from studio.models.chat.loading import load_tokenizer
    from studio.models.device import pick_device, pick_dtype
    from studio.train.chat.optimizers.table import own_optimizer
    from studio.train.chat.settings import trainer_settings
    from studio.train.chat.trainer import ChatTrainer

    device = pick_device()
    dtype = pick_dtype(adapter.dtype, device)
    base = resolve_base(adapter.model, adapter.revision)
    tokenizer = load_tokenizer(base)
    rows = [row for chosen in sets for row in chosen]
    encoded = [_random_row(tokens, targets, len(tokenizer), seed) for seed, (tokens, targets) in enumerate(rows)]
    clock = step_clock()
    processes = 1
    long = len(sets[0])
    windows = [list(range(long))] * steps + [list(range(long, len(encoded)))] * steps
    trainer = ChatTrainer(
        model=_load(adapter, base, device, dtype, start),
        args=trainer_settings(
            adapter.model_copy(update={"save_every": 10_000, "eval_every": 10_000, "report_to": []}),
            folder,
            device=device,
            dtype=dtype,
            steps=len(windows),
            steps_per_epoch=10_000,
            processes=processes,
            validation=False,
        ),
        tokenizer=tokenizer,
        rows=encoded,
        sequences=[[index] for index in range(len(encoded))],
        windows=windows,
        validation=[],
        packed=adapter.packing,
        keep_checkpoints=1,
        loraplus_ratio=adapter.loraplus_ratio,
        own_optimizer=own_optimizer(adapter),
        callbacks=[clock],
    )
    trainer.args.save_strategy = "no"
    trainer.train()
    writing = _writing_seconds(trainer, adapter, [encoded[row].input_ids for row in windows[-1]])
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    losses = [float(line["loss"]) for line in trainer.state.log_history if "loss" in line]
    first, usual = clock.seconds[min(1, steps - 1) : steps], clock.seconds[steps:]
    tokens = [sum(count for count, _ in chosen) for chosen in sets]
    usual_seconds = statistics.median(usual)
    return Probed(statistics.median(first), tokens[0], usual_seconds, tokens[1], int(peak), device.type, losses, writing)


def _writing_seconds(trainer: Any, adapter: ChatAdapter, rows: Sequence[list[int]]) -> float:
    """Seconds a step for writing answers to usual prompts, from their first :data:`WRITTEN` tokens; 0 where none are written.

    Args:
        rows: token ids of prompts, each with room for the longest answer behind it.
    """
    import torch

    from studio.models.chat.generation import write_answers
    from studio.models.decoding import Decoding

    own = adapter.grpo
    if adapter.objective != "grpo":
        return 0.0
    prompts = [ids[: len(ids) - own.max_new_tokens] for ids in rows]
    at_once = min(own.rollout_batch_size or len(prompts), len(prompts))

    def timed(tokens: int) -> float:
        decoding = Decoding(tokens, own.temperature, own.top_p, own.top_k)
        began = time.perf_counter()
        with torch.no_grad(), trainer.compute_loss_context_manager():
            # Nothing ends an answer: all are written to their full length.
            write_answers(
                trainer.model, prompts[:at_once], decoding, ends=frozenset(), context=adapter.max_length + tokens,
                batch_size=at_once,
            )  # fmt: skip
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - began

    trainer.model.eval()
    timed(2)  # memory is slow when it is touched first
    reading = timed(1)
    each = max(0.0, timed(WRITTEN + 1) - reading) / WRITTEN
    batches = -(-len(prompts) // at_once)
    return batches * (reading + each * (own.max_new_tokens - 1)) / own.updates


def _load(adapter: ChatAdapter, base: Any, device: Any, dtype: Any, start: Path | None) -> Any:
    """Base weights with what trains, as ``studio train`` loads them; PiSSA's decomposition changes no size and is left out."""
    import torch

    from studio.adapters.chat.methods import attach_adapter
    from studio.models.chat.loading import load_causal_lm

    full = adapter.method == "full"
    model = load_causal_lm(
        base,
        dtype=torch.float32 if full else dtype,
        quantization=adapter.quantization,
        attention=adapter.attention,
        device=device,
    )
    if full:
        model.requires_grad_(True)
        return model.train()
    plain = adapter.model_copy(update={"lora": adapter.lora.model_copy(update={"init": "default"})})
    return attach_adapter(model, plain, start=start).train()


def _random_row(tokens: int, targets: int, vocabulary: int, seed: int) -> Any:
    """A row of random words whose last ``targets`` tokens carry loss."""
    import torch

    from studio.models.chat.encoding import EncodedRow

    ids = torch.randint(0, vocabulary, (tokens,), generator=torch.Generator().manual_seed(seed)).tolist()
    targets = max(1, min(targets, tokens - 1))
    return EncodedRow(ids, [False] * (tokens - targets) + [True] * targets, [tokens - 1], 1, tokens)


def step_clock() -> Any:
    """A callback that times optimizer steps."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Seconds of each step; a GPU is waited for."""

        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._started = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            """Start."""
            self._started = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """Stop."""
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds.append(time.perf_counter() - self._started)

    return Clock()


if __name__ == "__main__":
    answer_probe(run_task)
