"""What an objective has to say, from the rows of a Dataset to the trainer that has its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
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
from studio.train.chat.encode import EncodedSplit
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


class Objective(ABC):
    """One objective of chat presets. It holds nothing; what it needs is in the preset."""

    unit_rows: int = 1
    """Encoded rows of one unit of training, which stand next to each other in what :meth:`encode` gives back."""
    learning_rows: int = 1
    """The first so many of them go through the model with a gradient, in one pass; a plan counts their memory."""
    unit: str = "target token"
    """What the loss is a mean over."""
    scores: bool = False
    """True where the model has one score in place of its output layer."""
    probed: bool = False
    """True where ``studio plan --probe`` can take real steps."""

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
