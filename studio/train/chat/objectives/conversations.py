"""Learning to answer as the conversations do (SFT), or to go on with raw text (continued pre-training)."""

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
    likelihood = True

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
            self._checked(rows),
            train_on=adapter.train_on,
            max_length=max_length,
            overlong=adapter.overlong,
            refused=adapter.refused,
        )

    def _checked(self, rows: Sequence[ChatRow]) -> Sequence[ChatRow]:
        """The rows themselves, when all are conversations.

        Raises:
            DataError: one is not.
        """
        _refuse_preferences(rows, "sft")
        found = next((row for row in rows if row.is_text), None)
        if found is not None:
            raise DataError(
                f"row {found.id} is raw text, in which nothing is asked and nothing answered, and objective: sft learns answers. "
                "Train with chat/text, which takes conversations beside raw text too."
            )
        return rows

    def trainer(self, adapter: ChatAdapter) -> Callable[..., ChatTrainer]:  # noqa: ARG002 - its settings say all
        """The plain trainer."""
        return ChatTrainer


class Text(Sft):
    """Raw text as a language model reads it, every token a target; conversations beside it keep their mask."""

    everything_trains = True

    def _checked(self, rows: Sequence[ChatRow]) -> Sequence[ChatRow]:
        """The rows themselves, when none is a preference.

        Raises:
            DataError: one is.
        """
        _refuse_preferences(rows, "text")
        return rows


def _refuse_preferences(rows: Sequence[ChatRow], objective: str) -> None:
    """Go on only with rows that are no preferences.

    Raises:
        DataError: one holds answers that the objective would not see.
    """
    found = next((row for row in rows if row.is_preference), None)
    if found is not None:
        raise DataError(
            f"row {found.id} is a preference (a chosen or rejected answer beside its prompt), which objective: {objective} "
            "cannot learn from. Train with chat/dpo (pairs) or chat/kto (thumbs)."
        )


SFT = Sft()
TEXT = Text()
