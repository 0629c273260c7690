"""What an objective has to say, from the rows of a Dataset to the trainer that has its loss."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from studio.core.workspace import Workspace
from studio.data.chat.rows import ChatRow
from studio.models.bases import ResolvedBase
from studio.models.chat.templates import ChatTemplate
from studio.schema.adapter import ChatAdapter
from studio.train.chat.batches import training_windows
from studio.train.chat.encode import EncodedSplit, MaskReport, refuse_untrainable
from studio.train.chat.fast import target_nll
from studio.train.chat.plan_trace import BatchShape
from studio.train.chat.trainer import ChatTrainer
from studio.train.recording import StopOnSignal


@dataclass(frozen=True)
class Opened:
    """A run that is about to load its model: all that an objective may need to work beforehand.

    dtype: of the arithmetic. main: True in the first process, which alone writes. resumed: a checkpoint is taken up.
    """

    adapter: ChatAdapter
    folder: Path
    base: ResolvedBase
    tokenizer: PreTrainedTokenizerBase
    template: ChatTemplate
    training: EncodedSplit
    validation: EncodedSplit
    device: torch.device
    dtype: torch.dtype
    main: bool
    resumed: bool
    say: Callable[[str], None]
    stop: StopOnSignal


@dataclass(frozen=True)
class Beside:
    """What an objective takes beside the training of the model itself, for the plan.

    at_once: bytes of memory. apart: it is gone before the model is loaded. disk: bytes. assumed: sentences.
    """

    at_once: int = 0
    apart: bool = False
    disk: int = 0
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """A curve below that of the loss. ylabel: what it shows, with its unit. figures: names of the lines of ``metrics.jsonl`` that
    it draws; those of validations are called the same with ``eval_`` before.
    """

    ylabel: str
    figures: tuple[str, ...]


class Objective(ABC):
    """One objective of chat presets. It holds nothing; what it needs is in the preset."""

    unit_rows: int = 1
    """Encoded rows of one unit of training, which stand next to each other in what :meth:`encode` gives back."""
    learning_rows: int = 1
    """The first so many of them go through the model with a gradient, in one pass; a plan counts their memory."""
    loss_unit: str = "nats per token"
    """What the loss is measured in, as words after the figure."""
    panels: tuple[Panel, ...] = ()
    """What else ``loss.png`` shows, from top to bottom."""
    scores: bool = False
    """True where the model has one score in place of its output layer."""
    probed: bool = False
    """True where ``studio plan --probe`` can take real steps."""
    everything_trains: bool = False
    """True where a plan without a Dataset takes every token for a target."""
    likelihood: bool = False
    """True where the validation loss is a mean negative log-likelihood of tokens, whose exponential is a perplexity."""
    best_metric: str = "eval_loss"
    """What a validation measures by which the best weights are known."""
    greater_is_better: bool = False
    """Whether more of it is better."""

    def check(self, adapter: ChatAdapter) -> None:  # noqa: B027 - most have nothing to look at
        """Look at the preset's settings for this objective, before there is a run.

        Raises:
            UserError: they ask for what cannot be.
        """

    @abstractmethod
    def encode(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: ChatTemplate,
        rows: Sequence[ChatRow],
        adapter: ChatAdapter,
        max_length: int,
    ) -> EncodedSplit:
        """The units of training in the rows, and the rows that hold none, each with its reason.

        Raises:
            DataError: a row cannot be encoded, or the rows are not what this objective learns from.
        """

    @abstractmethod
    def trainer(self, adapter: ChatAdapter) -> Callable[..., ChatTrainer]:
        """What makes the trainer, called with the settings of :class:`studio.train.chat.trainer.ChatTrainer`."""

    def settle(self, adapter: ChatAdapter, base: ResolvedBase, workspace: Workspace) -> dict[str, Any]:  # noqa: ARG002
        """What a new run writes into its preset in place of what was asked, so that it is found again from any folder.

        Raises:
            UserError: something that the objective needs is not there or does not fit; there is no run yet.
        """
        return {}

    def located(self, adapter: ChatAdapter, workspace: Workspace) -> ChatAdapter:  # noqa: ARG002
        """The preset with what lies in the workspace named by its folder, for the plan."""
        return adapter

    def before(self, opened: Opened) -> dict[str, Any]:  # noqa: ARG002
        """Work to be done before the model is loaded; returns further settings of the trainer."""
        return {}

    def planned(self, split: EncodedSplit, adapter: ChatAdapter, limit: int) -> tuple[list[int], list[int]]:  # noqa: ARG002
        """Tokens and targets of each encoded row at their most, for the plan; ``limit`` tokens are the longest row."""
        return split.lengths, [sum(row.trained[1:]) for row in split.rows]

    def loss(self, adapter: ChatAdapter) -> Callable[[Tensor, Tensor], Tensor]:  # noqa: ARG002
        """What is computed from logits [n, v] and targets [n], for the plan to count; losses of the targets [n]."""
        return target_nll

    def beside(
        self,
        adapter: ChatAdapter,  # noqa: ARG002
        dtype: torch.dtype,  # noqa: ARG002
        shape: BatchShape,  # noqa: ARG002
        supervised: Sequence[int] | None,  # noqa: ARG002
    ) -> Beside:
        """What it takes beside the training itself.

        Args:
            dtype: of the arithmetic. shape: the largest micro batch. supervised: targets of each training row, where known.
        """
        return Beside()

    def units(self, rows: int) -> list[list[int]]:
        """The encoded rows of each unit of training."""
        return [list(range(start, start + self.unit_rows)) for start in range(0, rows, self.unit_rows)]

    def windows(self, lengths: Sequence[int], adapter: ChatAdapter) -> list[list[int]]:
        """The training sequences of every optimizer step of the whole training; see :func:`training_windows`.

        Args:
            lengths: tokens of each sequence.
        """
        return training_windows(
            lengths,
            batch_size=adapter.batch_size,
            epochs=adapter.epochs,
            seed=adapter.seed,
            length_sorting=adapter.length_sorting,
        )[: adapter.max_steps]

    def steps_per_epoch(self, sequences: int, adapter: ChatAdapter) -> int:
        """Optimizer steps of one pass over so many training sequences."""
        return -(-sequences // adapter.batch_size)

    def repeats(self, adapter: ChatAdapter) -> int:  # noqa: ARG002 - for some
        """How often each training sequence goes through the model in one epoch."""
        return 1

    def assumed_targets(self, adapter: ChatAdapter) -> int:
        """Targets of a row of ``max_length`` tokens, where no Dataset is named."""
        everything = adapter.train_on == "all" or self.everything_trains
        return adapter.max_length if everything else adapter.max_length // 2

    def refuse_untrainable(self, report: MaskReport, template: ChatTemplate, split: EncodedSplit, adapter: ChatAdapter) -> None:  # noqa: ARG002
        """See :func:`studio.train.chat.encode.refuse_untrainable`."""
        refuse_untrainable(report, template, split.rows)

    def lines(self, report: MaskReport, adapter: ChatAdapter) -> list[str]:  # noqa: ARG002 - for some
        """The mask report in a few plain lines."""
        return report.lines()

    def remarks(self, history: Sequence[Mapping[str, Any]]) -> list[str]:  # noqa: ARG002 - for some
        """What is to be said after a training, from the trainer's own history of it."""
        return []

    def result(self, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Figures of ``run.json`` beside those that every training has: of a likelihood the best validation's perplexity."""
        losses = [line["eval_loss"] for line in history if "eval_loss" in line] if self.likelihood else []
        likely = losses and min(losses) < math.log(sys.float_info.max)
        return {"validation_perplexity": math.exp(min(losses))} if likely else {}

    def draw(self, run_folder: Path) -> None:  # noqa: B027 - most draw nothing
        """Draw more than the loss, from ``metrics.jsonl``."""
