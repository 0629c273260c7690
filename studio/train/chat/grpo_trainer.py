"""The trainer of ``objective: grpo``: answers are written, judged and learnt from, step by step.

Legend: g groups of a step, k answers of a group, r rewards, a answers of a micro batch, s padded length, n targets, v vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from studio.adapters.chat.reference import as_it_started
from studio.core.errors import UserError
from studio.models.chat.encoding import EncodedRow
from studio.models.decoding import Decoding
from studio.schema.adapter import ChatAdapter
from studio.train.chat.batches import collate_padded
from studio.train.chat.fast import entropies
from studio.train.chat.policy import Surrogate, advantages, sampling_weights, shares, surrogate, without_difference
from studio.train.chat.recorder import Recorder
from studio.train.chat.rollouts import PromptRow, Rollout, draw, draw_with, learning_row, stream_seed
from studio.train.chat.trainer import ChatTrainer
from studio.train.chat.vllm_writer import VllmWriter
from studio.train.recording import MetricsFile

ROLLOUTS = "rollouts.jsonl"
_KEPT = "rollouts_{rank}.safetensors"


class GrpoTrainer(ChatTrainer):
    """Trains on answers of its own; order, checkpoints and everything else are those of its parent.

    The answers of a step depend on the weights, the seed, the step and their place in it, never on the micro batch; they are
    written before its first pass, in every process those that it learns from.
    """

    def __init__(
        self, *, adapter: ChatAdapter, tokenizer: PreTrainedTokenizerBase, writer: VllmWriter | None = None, **settings: Any
    ) -> None:
        """``settings`` as :class:`ChatTrainer`; rows and validation are :class:`PromptRow`. writer: None is the model itself.

        Raises:
            UserError: another program writes the answers, for several processes.
        """
        self._own, self._seed, self._prompts = adapter.grpo, adapter.seed, list(settings["rows"])
        self._tasks: list[PromptRow] = list(settings["validation"])
        self._pad, self._writer = int(tokenizer.pad_token_id), writer
        self._recorder = next((each for each in settings["callbacks"] if isinstance(each, Recorder)), None)
        super().__init__(tokenizer=tokenizer, **settings)
        if writer is not None and self.accelerator.num_processes > 1:
            raise UserError(
                "grpo.writer vllm writes for one process. Train without --processes, or set grpo.writer: transformers."
            )
        judge = self._prompts[0].judge
        self._names, self._weights = list(judge.rewards), judge.weights
        self._drawing = Decoding(self._own.max_new_tokens, self._own.temperature, self._own.top_p, self._own.top_k)
        self._batches: list[dict[str, Tensor]] = []  # of the answers that are being learnt from
        self._about: dict[str, float] = {}  # figures of these answers
        # Targets, entropy, divergence, clipped, distance of log-probabilities from the writer's; of a step.
        self._sums = torch.zeros(5, dtype=torch.float64)
        self._entropy: Tensor | None = None
        self._file: MetricsFile | None = None

    # Drawing

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Tensor]], Tensor | None]:
        """The micro batches of the next step: answers that are written here, or those of the step before once more."""
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not samples:
            return samples, None
        step = self.state.global_step
        if step % self._own.updates == 0 or not self._batches:
            began = time.monotonic()
            self._roll_out(step)
            if self._recorder is not None:  # steps are timed from their first pass on
                self._recorder.seconds += time.monotonic() - began
        if self._recorder is not None:
            self._recorder.tokens_per_step[step] = round(self._about["tokens"])
        return list(self._batches), torch.tensor(1.0)

    def _get_num_items_in_batch(self, batch_samples: Any, device: torch.device) -> Tensor:  # noqa: ARG002
        """Nothing is counted: each answer carries its share of the step's loss."""
        return torch.tensor(1.0)

    def _roll_out(self, step: int) -> None:
        """Write, judge and note the answers of a step, and lay out its micro batches."""
        window = self._windows[step]
        mine = list(range(self.accelerator.process_index, len(window), self.accelerator.num_processes))
        rows = [self._prompts[window[place]] for place in mine]
        rollouts = self._answers(rows, self._drawing, [stream_seed(self._seed, step, place) for place in mine])
        table = self._table(rollouts, mine, len(window))  # [g*k, r + 2]
        rewards = (table[:, : len(self._names)] @ self._weights).reshape(-1, self._own.group_size)  # [g, k]
        gains = advantages(rewards, self._own.scale).float().flatten()  # [g*k]
        prompt_tokens = sum(len(self._prompts[number].input_ids) for number in window)
        self._describe(table, rewards, prompt_tokens)
        self._write_down(step, rows, rollouts, mine, rewards.flatten(), gains)
        self._lay_out(rows, rollouts, gains[mine], table)

    def _answers(self, rows: Sequence[PromptRow], decoding: Decoding, seeds: Sequence[int]) -> list[Rollout]:
        """Answers by the model as it is, without dropout."""
        if not rows:
            return []
        if self._writer is not None:
            return draw_with(self._writer, self.model, rows, decoding, seeds=seeds)
        self.model.eval()
        with self.compute_loss_context_manager():
            found = draw(self.model, rows, decoding, batch_size=self._own.rollout_batch_size, seeds=seeds)
        self.model.train()
        return found

    def _table(self, rollouts: Sequence[Rollout], mine: Sequence[int], answers: int) -> Tensor:
        """Points, tokens and whether it was cut off of all answers of all processes, float64 [answers, r + 2]."""
        table = torch.zeros(answers, len(self._names) + 2, dtype=torch.float64)
        for place, rollout in zip(mine, rollouts, strict=True):
            table[place] = torch.tensor([*rollout.points, len(rollout.ids), float(rollout.truncated)], dtype=torch.float64)
        return self._summed(table)

    def _summed(self, values: Tensor) -> Tensor:
        """The sum over all processes, in memory of the CPU."""
        if self.accelerator.num_processes == 1:
            return values
        total: Tensor = self.accelerator.reduce(values.to(self.args.device), "sum")
        return total.cpu()

    def _describe(self, table: Tensor, rewards: Tensor, prompt_tokens: int) -> None:
        """Figures of the answers of a step, over all processes."""
        means = table.mean(dim=0).tolist()
        parts = {f"reward/{name}": value for name, value in zip(self._names, means, strict=False)}
        self._about = {
            "reward": float(rewards.mean()),
            "reward_std": float(rewards.std(dim=1).mean()),
            **parts,
            "rollout/length": means[-2],
            "rollout/truncated": means[-1],
            "rollout/no_signal": float(without_difference(rewards).double().mean()),
            "tokens": prompt_tokens + float(table[:, -2].sum()),
        }

    def _write_down(
        self,
        step: int,
        rows: Sequence[PromptRow],
        rollouts: Sequence[Rollout],
        mine: Sequence[int],
        rewards: Tensor,
        gains: Tensor,
    ) -> None:
        """Add a line per group to ``rollouts.jsonl``."""
        told: list[Any] = [
            (place, row.task.id, list(row.task.prompt), rollout) for place, row, rollout in zip(mine, rows, rollouts, strict=True)
        ]
        if self.accelerator.num_processes > 1:
            told = sorted(gather_object(told), key=lambda each: each[0])
        if not self.accelerator.is_main_process:
            return
        if self._file is None:
            self._file = MetricsFile(Path(self.args.output_dir).parent / ROLLOUTS, resumed_at=step)
        for start in range(0, len(told), self._own.group_size):
            group = told[start : start + self._own.group_size]
            answers = [
                {
                    "text": rollout.text,
                    "tokens": len(rollout.ids),
                    "truncated": rollout.truncated,
                    "rewards": dict(zip(self._names, rollout.points, strict=True)),
                    "reward": float(rewards[place]),
                    "advantage": round(float(gains[place]), 6),
                }
                for place, _, _, rollout in group
            ]
            self._file.append({"step": step + 1, "row": group[0][1], "prompt": group[0][2], "answers": answers})

    def _lay_out(self, rows: Sequence[PromptRow], rollouts: Sequence[Rollout], gains: Tensor, table: Tensor) -> None:
        """The micro batches of this process: padded answers with advantage and share; old and first probabilities if needed."""
        hide = self._own.truncated == "mask"
        lengths = table[:, -2] * (1 - table[:, -1]) if hide else table[:, -2]
        share = shares(lengths, self._own.loss, self._own.max_new_tokens)  # of all answers of the step, [g*k]
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        size = self.args.per_device_train_batch_size
        learning = [learning_row(*both, masked=hide and both[1].truncated) for both in zip(rows, rollouts, strict=True)]
        own = share[rank::world]
        self._batches = []
        for number in range(self.args.gradient_accumulation_steps):
            part = slice(number * size, (number + 1) * size)
            items: list[tuple[EncodedRow, bool]] = [(row, False) for row in learning[part]]
            batch = collate_padded(items or [(self._prompts[0], True)], self._pad)  # a process without answers keeps in step
            batch["advantages"] = gains[part] if items else torch.zeros(1)
            batch["shares"] = own[part] if items else torch.zeros(1)
            if self._writer is not None:
                trained = [each for each in rollouts[part] if not (hide and each.truncated)]
                batch["written"] = torch.tensor([value for each in trained for value in each.logprobs])  # [n]
            self._batches.append(batch)
        if self._own.updates > 1:
            self._score("before")
        if self._own.beta:
            with as_it_started(self.model):
                self._score("reference")

    @torch.no_grad()
    def _score(self, name: str) -> None:
        """Add the log-probabilities of the targets of each micro batch [n], without dropout."""
        self.model.eval()
        for batch in self._batches:
            with self.compute_loss_context_manager():
                nll, _ = self._target_nll(self.model, self._prepare_inputs(batch))
            batch[name] = -nll.cpu()
        self.model.train()

    def train(self, *arguments: Any, **settings: Any) -> Any:
        """See the parent; what else writes is ended with it."""
        try:
            return super().train(*arguments, **settings)
        finally:
            if self._writer is not None:
                self._writer.close()

    # Learning

    def _of_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See the parent; of the distribution that answers are drawn from, whose entropy is noted while training."""
        if self._own.temperature != 1:
            logits = logits / self._own.temperature
        self._entropy = entropies(logits.detach()) if torch.is_grad_enabled() else None
        return super()._of_logits(logits, targets)

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """This micro batch's part of the loss of the whole optimizer step; see :mod:`studio.train.chat.policy`."""
        del return_outputs, num_items_in_batch
        nll, positions = self._target_nll(model, inputs)
        if not positions.numel():
            return nll.sum()
        answers = positions // inputs["targets"].shape[1]  # [n]
        before = inputs.get("before", -nll.detach())
        written = inputs["written"].to(before) if "written" in inputs else None
        weight = 1.0 if written is None else sampling_weights(before, written, self._own.vllm.correction)
        found = surrogate(
            -nll,
            before,
            inputs["advantages"][answers],
            low=self._own.epsilon,
            high=self._own.epsilon if self._own.epsilon_high is None else self._own.epsilon_high,
            beta=self._own.beta,
            reference=inputs.get("reference"),
            weight=weight,
        )
        self._note(found, None if written is None else before - written)
        share: Tensor = (found.losses * inputs["shares"][answers]).sum() * self.accelerator.num_processes
        return share

    def _note(self, found: Surrogate, distance: Tensor | None) -> None:
        """Add to the figures of the step.

        Args:
            distance: of each target's log-probability from the writer's, [n].
        """
        entropy = self._entropy.sum() if self._entropy is not None else torch.zeros(())
        apart = found.divergence.sum() if found.divergence is not None else torch.zeros(())
        away = distance.abs().sum() if distance is not None else torch.zeros(())
        figures = [len(found.clipped), float(entropy), float(apart), float(found.clipped.sum()), float(away)]
        self._sums += torch.tensor(figures, dtype=torch.float64)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With the loss of a step, the figures of its answers."""
        if "loss" in logs:
            targets, entropy, divergence, clipped, distance = self._summed(self._sums).tolist()
            self._sums = torch.zeros_like(self._sums)
            logs |= {name: value for name, value in self._about.items() if name != "tokens"}
            logs |= {"rollout/entropy": entropy / max(targets, 1), "rollout/clipped": clipped / max(targets, 1)}
            if self._own.beta:
                logs["rollout/kl"] = divergence / max(targets, 1)
            if self._writer is not None:
                logs["rollout/writer_distance"] = distance / max(targets, 1)
        super().log(logs, start_time)

    @torch.no_grad()
    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Mean reward of the likeliest answer (greedy) to each validation prompt."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        mine = self._tasks[rank::world]
        was_training = self.model.training
        rollouts: list[Rollout] = []
        at_once = self._own.rollout_batch_size or self.args.train_batch_size * self.args.gradient_accumulation_steps
        for start in range(0, len(mine), at_once):
            part = mine[start : start + at_once]
            rollouts += self._answers(part, Decoding(self._own.max_new_tokens), [0] * len(part))
        self.model.train(was_training)
        means = self._table(rollouts, range(rank, len(self._tasks), world), len(self._tasks)).mean(dim=0)
        points = means[: len(self._names)]
        metrics = {"eval_reward": float(points @ self._weights)}
        metrics |= {f"eval_reward/{name}": float(value) for name, value in zip(self._names, points, strict=True)}
        metrics |= {"eval_rollout/length": float(means[-2]), "eval_rollout/truncated": float(means[-1])}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # Resuming in the middle of several updates on the same answers

    def _save_rng_state(self, output_dir: str) -> None:
        """Keep the answers of this process beside its random state, where the next step learns from them once more."""
        super()._save_rng_state(output_dir)
        if self.state.global_step % self._own.updates:
            tensors = {f"{number}.{name}": value for number, batch in enumerate(self._batches) for name, value in batch.items()}
            about = {name: str(value) for name, value in self._about.items()}
            save_file(tensors, Path(output_dir) / _KEPT.format(rank=self.accelerator.process_index), metadata=about)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Take up the answers too."""
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        file = Path(resume_from_checkpoint) / _KEPT.format(rank=self.accelerator.process_index)
        if file.is_file():
            self._take_up(file)

    def _take_up(self, file: Path) -> None:
        """Micro batches as they were kept, and the figures of their answers."""
        from safetensors import safe_open

        with safe_open(file, framework="pt") as opened:
            self._about = {name: float(value) for name, value in (opened.metadata() or {}).items()}
        batches: dict[int, dict[str, Tensor]] = {}
        for key, value in load_file(file).items():
            number, _, name = key.partition(".")
            batches.setdefault(int(number), {})[name] = value
        self._batches = [batches[number] for number in sorted(batches)]
