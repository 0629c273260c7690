"""Learning to answer as the conversations do (SFT)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow
from studio.models.chat.templates import ChatTemplate
from studio.schema.adapter import ChatAdapter
from studio.train.chat.encode import EncodedSplit, encode_split
from studio.train.chat.objectives.base import Objective
from studio.train.chat.trainer import ChatTrainer


class Sft(Objective):
    """The answers themselves."""

    probed = True

    def encode(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: ChatTemplate,
        rows: Sequence[ChatRow],
        adapter: ChatAdapter,
        max_length: int,
    ) -> EncodedSplit:
        """See :func:`studio.train.chat.encode.encode_split`.

        Raises:
            DataError: a row is a preference, or cannot be encoded.
        """
        return encode_split(
            tokenizer,
            template,
            _conversations(rows),
            train_on=adapter.train_on,
            max_length=max_length,
            overlong=adapter.overlong,
            refused=adapter.refused,
        )

    def trainer(self, adapter: ChatAdapter) -> Callable[..., ChatTrainer]:  # noqa: ARG002 - its settings say all
        """The plain trainer."""
        return ChatTrainer


def _conversations(rows: Sequence[ChatRow]) -> Sequence[ChatRow]:
    """The rows themselves, when they are conversations.

    Raises:
        DataError: they hold preferences, whose answers ``objective: sft`` would not see.
    """
    found = next((row for row in rows if row.is_preference), None)
    if found is not None:
        raise DataError(
            f"row {found.id} is a preference (a chosen or rejected answer beside its prompt), which objective: sft cannot learn "
            "from. Train with chat/dpo (pairs) or chat/kto (thumbs)."
        )
    return rows


SFT = Sft()
