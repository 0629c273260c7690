"""What an objective has to say, from the rows of a Dataset to the trainer that has its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from studio.data.chat.rows import ChatRow
from studio.models.chat.templates import ChatTemplate
from studio.schema.adapter import ChatAdapter
from studio.train.chat.encode import EncodedSplit
from studio.train.chat.trainer import ChatTrainer


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
    probed: bool = False
    """True where ``studio plan --probe`` can take real steps."""
    everything_trains: bool = False
    """True where a plan without a Dataset takes every token for a target."""
    likelihood: bool = False
    """True where the validation loss is a mean negative log-likelihood of tokens, whose exponential is a perplexity."""

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

    def units(self, rows: int) -> list[list[int]]:
        """The encoded rows of each unit of training."""
        return [list(range(start, start + self.unit_rows)) for start in range(0, rows, self.unit_rows)]
