"""Answers that are drawn while a model trains, and what they get points for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from studio.models.chat.answers import answer_text, opened_in, read_answer
from studio.models.chat.encoding import EncodedRow
from studio.models.chat.generation import Written, end_tokens, random_stream, write_answers
from studio.models.chat.templates import ChatTemplate
from studio.models.decoding import Decoding
from studio.train.chat.rewards.base import Attempt, Reward, Task
from studio.train.chat.vllm_writer import VllmWriter


@dataclass(frozen=True)
class Rollout:
    """One answer: its token ids with the end of turn, whether it was cut off, its text, and its points by reward, in order.

    logprobs: of each token under the model that wrote it, where that is another program; else empty.
    """

    ids: list[int]
    truncated: bool
    text: str
    points: list[float]
    logprobs: list[float] = field(default_factory=list)


class Judge:
    """What a model's tokens say, and what that is worth."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: ChatTemplate, rewards: dict[str, Reward[Any]]) -> None:
        """``rewards`` by name; their weights are in their settings."""
        self._tokenizer, self._template, self.rewards = tokenizer, template, rewards

    @property
    def weights(self) -> Tensor:
        """Of each reward, float64 [rewards]."""
        return torch.tensor([reward.settings.weight for reward in self.rewards.values()], dtype=torch.float64)

    def ends(self, model: Any) -> frozenset[int]:
        """Ids that end an answer."""
        return end_tokens(model, self._tokenizer, self._template)

    def judge(self, prompt: Sequence[int], task: Task, written: Written) -> Rollout:
        """An answer with its points."""
        text = answer_text(self._tokenizer, written.ids)
        opened = opened_in(self._tokenizer, prompt)
        answered = read_answer(self._template, self._tokenizer, text, tools=task.tools, opened=opened, calls=bool(task.tools))
        ids = written.ids if written.end is None else [*written.ids, written.end]
        attempt = Attempt(answered, ids, written.truncated)
        points = [reward.score(task, attempt) for reward in self.rewards.values()]
        return Rollout(ids, written.truncated, text, points)


@dataclass(frozen=True, kw_only=True)
class PromptRow(EncodedRow):
    """A prompt up to where the assistant is to speak: no target of its own, a task, and who judges the answers to it."""

    task: Task
    judge: Judge


def draw(
    model: Any, rows: Sequence[PromptRow], decoding: Decoding, *, batch_size: int | None, seeds: Sequence[int]
) -> list[Rollout]:
    """One answer to each prompt, judged.

    Args:
        batch_size: answers written side by side; None is all.
        seeds: of the random stream of each answer, on which alone its draws depend.
    """
    judge = rows[0].judge
    prompts = [row.input_ids for row in rows]
    written = write_answers(
        model,
        prompts,
        decoding,
        ends=judge.ends(model),
        context=max(map(len, prompts)) + decoding.max_new_tokens,
        batch_size=batch_size or len(prompts),
        streams=[random_stream(seed, decoding.max_new_tokens) for seed in seeds],
    )
    pairs = zip(rows, written, strict=True)
    return [judge.judge(row.input_ids, row.task, answer) for row, answer in pairs if answer is not None]


def draw_with(
    writer: VllmWriter, model: Any, rows: Sequence[PromptRow], decoding: Decoding, *, seeds: Sequence[int]
) -> list[Rollout]:
    """The same, written by another program with the model's adapter, with the log-probability of each token."""
    judge = rows[0].judge
    prompts = [row.input_ids for row in rows]
    written = writer.write(model, prompts, decoding, ends=judge.ends(model), seeds=seeds)
    return [
        replace(judge.judge(row.input_ids, row.task, answer), logprobs=logprobs)
        for row, (answer, logprobs) in zip(rows, written, strict=True)
    ]


def stream_seed(seed: int, step: int, place: int) -> int:
    """Seed of one answer of a step; neighbours have nothing in common."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}/{place}".encode()).digest()[:7])


def learning_row(row: PromptRow, rollout: Rollout, *, masked: bool) -> EncodedRow:
    """Prompt and answer as a training row whose targets are the answer's tokens, or none of them."""
    prompt, size = row.input_ids, len(rollout.ids)
    return EncodedRow(
        [*prompt, *rollout.ids], [False] * len(prompt) + [not masked] * size, [], turns=1, full_length=len(prompt) + size
    )
