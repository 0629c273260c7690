"""Learning from rewards that can be checked (GRPO, https://arxiv.org/abs/2402.03300).

A training sequence is a prompt. A step takes ``batch_size / group_size`` of them, has ``group_size`` answers written to each, and
learns from how much better each answer is than the mean of its group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import parse_flag_from_env
from transformers import PreTrainedTokenizerBase

from studio.adapters.chat.start import recorded_start
from studio.adapters.chat.vllm import needed_max_lora_rank
from studio.core.errors import DataError, UserError
from studio.core.workspace import Workspace, read_run
from studio.data.chat.rows import ChatRow
from studio.models.chat.encoding import encode_prompt
from studio.models.chat.templates import ChatTemplate
from studio.schema.adapter import ChatAdapter
from studio.train.chat.batches import training_windows
from studio.train.chat.encode import EncodedSplit, MaskReport
from studio.train.chat.objectives.base import Objective, Opened
from studio.train.chat.rewards.base import Task
from studio.train.chat.rewards.table import named_rewards
from studio.train.chat.rollouts import Judge, PromptRow
from studio.train.chat.trainer import ChatTrainer
from studio.train.chat.vllm_writer import Engine, VllmWriter, check_writer


class Grpo(Objective):
    """Answers that get more points than others to the same prompt."""

    loss_unit = "(surrogate; it stays near 0)"
    best_metric = "eval_reward"
    greater_is_better = True
    probed = True

    def check(self, adapter: ChatAdapter) -> None:
        """See :meth:`Objective.check`: what the rewards ask for."""
        named_rewards(adapter.grpo.rewards)
        if adapter.grpo.writer == "vllm":
            check_writer(adapter)

    def before(self, opened: Opened) -> dict[str, Any]:
        """Start what writes the answers, where that is not the model itself: it takes its memory first.

        Raises:
            UserError: the processes will hold only parts of the model, with which none can write answers.
        """
        adapter = opened.adapter
        # As accelerate's launcher says it, before a model is loaded.
        if parse_flag_from_env("ACCELERATE_USE_FSDP") or parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
            raise UserError(
                "objective: grpo writes answers while it trains, for which every process needs the whole model: FSDP and "
                "DeepSpeed cannot be used with it. Train with --processes alone."
            )
        if adapter.grpo.writer != "vllm":
            return {}
        start = recorded_start(read_run(opened.folder), Workspace.around(opened.folder))
        below = start.rank if start else 0
        environment = check_writer(adapter, below)
        rank = needed_max_lora_rank(adapter, below)
        assert rank is not None  # it would have been refused
        dtype = str(opened.dtype).removeprefix("torch.")
        longest = max(len(row.input_ids) for row in [*opened.training.rows, *opened.validation.rows])
        engine = Engine(opened.base.folder, dtype, rank, longest + adapter.grpo.max_new_tokens, adapter.grpo.vllm.memory)
        opened.say(f"answers are written by vLLM {environment.version}, started in a process of its own")
        return {"writer": VllmWriter(environment, engine, adapter, opened.folder)}

    def encode(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: ChatTemplate,
        rows: Sequence[ChatRow],
        adapter: ChatAdapter,
        max_length: int,
    ) -> EncodedSplit:
        """One prompt per row. A row's last assistant turn is the reference; a row that ends in a question has none.

        Raises:
            DataError: the template refuses a row, or a prompt is too long and ``overlong`` is ``refuse``.
        """
        judge = Judge(tokenizer, template, named_rewards(adapter.grpo.rewards))
        split = EncodedSplit([], [], [], thinking=template.thinking)
        for row in rows:
            task = task_of(row)
            why = _unfit(row, task, judge)
            if why is None:
                try:
                    ids = encode_prompt(tokenizer, template, task.prompt, tools=row.tools)
                    why = _too_long(row.id, len(ids), max_length, adapter)
                except DataError as error:
                    if adapter.refused == "refuse":
                        raise DataError(
                            f"row {row.id}: {error} Rows like it can be left out and named: refused: drop."
                        ) from error
                    why = str(error)
            if why is not None:
                split.left_out.append((row.id, why))
                continue
            split.ids.append(row.id)
            split.rows.append(PromptRow(ids, [False] * len(ids), [], 0, len(ids), task=task, judge=judge))
        return split

    def trainer(self, adapter: ChatAdapter) -> Callable[..., ChatTrainer]:
        """See :class:`studio.train.chat.grpo_trainer.GrpoTrainer`."""
        from studio.train.chat.grpo_trainer import GrpoTrainer

        return partial(GrpoTrainer, adapter=adapter)

    def windows(self, lengths: Sequence[int], adapter: ChatAdapter) -> list[list[int]]:
        """The prompts of every step, each as often as answers are drawn to it; as many steps on them as there are ``updates``."""
        size = adapter.grpo.group_size
        prompts = training_windows(
            lengths,
            batch_size=adapter.batch_size // size,
            epochs=adapter.epochs,
            seed=adapter.seed,
            length_sorting=adapter.length_sorting,
        )
        answers = [[prompt for prompt in window for _ in range(size)] for window in prompts]
        return [window for window in answers for _ in range(adapter.grpo.updates)][: adapter.max_steps]

    def steps_per_epoch(self, sequences: int, adapter: ChatAdapter) -> int:
        """See :meth:`Objective.steps_per_epoch`."""
        return -(-sequences * adapter.grpo.group_size // adapter.batch_size) * adapter.grpo.updates

    def repeats(self, adapter: ChatAdapter) -> int:
        """Once for each answer and update."""
        return adapter.grpo.group_size * adapter.grpo.updates

    def planned(self, split: EncodedSplit, adapter: ChatAdapter, limit: int) -> tuple[list[int], list[int]]:  # noqa: ARG002
        """Prompts with answers of the greatest length."""
        most = adapter.grpo.max_new_tokens
        return [length + most for length in split.lengths], [most] * len(split.rows)

    def assumed_targets(self, adapter: ChatAdapter) -> int:
        """An answer of the greatest length."""
        return adapter.grpo.max_new_tokens

    def refuse_untrainable(
        self,
        report: MaskReport,  # noqa: ARG002
        template: ChatTemplate,  # noqa: ARG002
        split: EncodedSplit,
        adapter: ChatAdapter,  # noqa: ARG002
    ) -> None:
        """Stop where no row can be learnt from.

        Raises:
            DataError: says why the first row was left out.
        """
        if not split.rows:
            first = f"; the first of {len(split.left_out)} rows left out: {split.left_out[0][1]}" if split.left_out else ""
            raise DataError(
                f"no row of the training split can be judged by the rewards of the preset{first}. Give rows with what they need, "
                "or other 'grpo.rewards'."
            )

    def lines(self, report: MaskReport, adapter: ChatAdapter) -> list[str]:
        """Prompts, answers and rewards; rows left out are told as everywhere."""
        own = adapter.grpo
        rewards = ", ".join(f"{name} x {reward.settings.weight:g}" for name, reward in named_rewards(own.rewards).items())
        lines = [
            f"{report.rows} prompts, {report.tokens:,} tokens; median {report.median}, longest {report.longest}",
            f"a step writes {own.group_size} answers of at most {own.max_new_tokens} tokens to each of "
            f"{adapter.batch_size // own.group_size} prompts; rewards: {rewards}",
        ]
        if report.left_out_rows:
            identity, reason = report.left_out[0]
            lines.append(f"{report.left_out_rows} rows are left out (first: {identity}, {reason})")
        return lines

    def remarks(self, history: Sequence[Mapping[str, Any]]) -> list[str]:
        """How many groups taught nothing, and that many answers were cut off."""
        idle = [line["rollout/no_signal"] for line in history if "rollout/no_signal" in line]
        cut = [line["rollout/truncated"] for line in history if "rollout/truncated" in line]
        if not idle:
            return []
        share, lines = sum(idle) / len(idle), []
        if share == 1:
            lines.append(
                "in no group did the answers differ in their reward, so nothing was learnt: the task is too hard or too easy for "
                "the model. Look into rollouts.jsonl; raise grpo.temperature or grpo.group_size, or give a reward by degrees"
            )
        elif share > 0.5:
            lines.append(f"{share:.0%} of all groups taught nothing, because their answers all had the same reward")
        if sum(cut) / len(cut) > 0.5:
            lines.append(f"{sum(cut) / len(cut):.0%} of all answers were cut off at grpo.max_new_tokens")
        return lines

    def result(self, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """First, last and best rewards; the share of groups without a difference."""
        rewards = [line["reward"] for line in history if "reward" in line]
        idle = [line["rollout/no_signal"] for line in history if "rollout/no_signal" in line]
        validations = [line["eval_reward"] for line in history if "eval_reward" in line]
        return {
            "first_reward": rewards[0] if rewards else None,
            "final_reward": rewards[-1] if rewards else None,
            "validation_reward": max(validations) if validations else None,
            "groups_without_difference": round(sum(idle) / len(idle), 4) if idle else None,
        }

    def draw(self, run_folder: Path) -> None:
        """See :func:`studio.train.chat.reward_curve.plot_rewards`."""
        from studio.train.chat.reward_curve import plot_rewards

        plot_rewards(run_folder / "metrics.jsonl", run_folder / "rewards.png")


def task_of(row: ChatRow) -> Task:
    """A row as a task: its last assistant turn, where it ends in one, is the reference."""
    answered = bool(row.messages) and row.messages[-1]["role"] == "assistant"
    prompt = row.messages[:-1] if answered else row.messages
    return Task(row.id, prompt, row.messages[-1] if answered else None, row.tools, row.meta)


def _unfit(row: ChatRow, task: Task, judge: Judge) -> str | None:
    """Why nothing can be learnt from a row, None where it can."""
    if row.is_preference:
        return "a preference; objective: grpo learns from prompts, with a reference or without"
    if not task.prompt or task.prompt[-1]["role"] not in {"user", "tool"}:
        return "no user turn before the answer"
    found = ((name, reward.missing(task)) for name, reward in judge.rewards.items())
    return next((f"reward {name}: {why}" for name, why in found if why is not None), None)


def _too_long(identity: str, tokens: int, max_length: int, adapter: ChatAdapter) -> str | None:
    """Why a prompt leaves no room for an answer; it is never cut, which would take its question off.

    Raises:
        DataError: ``overlong`` is ``refuse``.
    """
    room = max_length - adapter.grpo.max_new_tokens
    if tokens <= room:
        return None
    why = f"a prompt of {tokens} tokens leaves no room for grpo.max_new_tokens {adapter.grpo.max_new_tokens} in {max_length}"
    if adapter.overlong == "refuse":
        raise DataError(f"row {identity}: {why}. Raise max_length, or set overlong to drop.")
    return why


GRPO = Grpo()
