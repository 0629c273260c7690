"""Preferences as the model sees them: a prompt with one answer each, two rows to a unit; and their way into tensors.

Legend: u units of a micro batch (a pair, or one answer), b rows, s padded length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow
from studio.models.chat.encoding import IGNORE, EncodedRow, encode_conversation
from studio.models.chat.templates import ChatTemplate
from studio.schema.adapter import ChatAdapter
from studio.train.chat.batches import collate_padded
from studio.train.chat.encode import EncodedSplit

_NAMES = {"dpo": "DPO", "ipo": "IPO", "orpo": "ORPO", "simpo": "SimPO", "cpo": "CPO"}


@dataclass(frozen=True)
class AnswerRow(EncodedRow):
    """A prompt with one answer, whose tokens are the targets.

    number: place in the list of all training and validation rows. desirable: the chosen or liked answer; None for an answer
    that belongs to another prompt, from which KTO estimates how far the tuned model has drifted. answer: which targets are
    the answer's, bool [s], where those of the prompt train too; None where all are.
    """

    number: int = -1
    desirable: bool | None = None
    answer: list[bool] | None = None


def encode_preferences(
    tokenizer: PreTrainedTokenizerBase, template: ChatTemplate, rows: Sequence[ChatRow], adapter: ChatAdapter, max_length: int
) -> EncodedSplit:
    """Two encoded rows per unit: chosen and rejected, or (KTO) an answer and a partner with the same prompt.

    The partner's answer is that of the next row, so that prompts and answers do not belong together. Rows without what the
    objective needs, or that do not fit, are left out and named.

    Raises:
        DataError: ``overlong`` is ``refuse`` and a row is too long, or the template refuses a row.
    """
    units, left_out = _units(rows, adapter.objective)
    split = EncodedSplit([], [], left_out)
    for place, (unit, first, second, liked) in enumerate(units):
        if second is None:
            second = units[(place + 1) % len(units)][1]
        identity = unit.id
        pair = [_encode(tokenizer, template, unit, text, max_length) for text in (first, second)]
        longest = max(row.full_length for row in pair)
        if any(row.cut for row in pair) and adapter.overlong == "refuse":
            raise DataError(
                f"row {identity} has {longest} tokens, more than max_length {max_length}. Raise it, or set overlong to cut "
                "or drop."
            )
        if any(row.cut for row in pair) and adapter.overlong == "drop":
            split.left_out.append((identity, f"{longest} tokens, more than max_length {max_length}"))
        elif not all(any(row.trained[1:]) for row in pair):
            split.left_out.append((identity, f"no target left after the cut at {max_length} tokens"))
        else:
            flags = (liked, None) if adapter.objective == "kto" else (True, False)
            for row, flag in zip(pair, flags, strict=True):
                split.ids.append(identity)
                whole = adapter.train_on == "all" and flag is True
                split.rows.append(_answer_row(row, len(split.rows), flag, prompt_too=whole))
    return split


def _answer_row(row: EncodedRow, number: int, desirable: bool | None, *, prompt_too: bool) -> AnswerRow:
    """A row with its place; ``prompt_too`` makes targets of the prompt's tokens as well (ORPO as its authors run it)."""
    trained, answer = ([True] * len(row.trained), row.trained) if prompt_too else (row.trained, None)
    facts = (row.input_ids, trained, row.ends, row.turns, row.full_length)
    return AnswerRow(*facts, number=number, desirable=desirable, answer=answer)


_Unit = tuple[ChatRow, str, str | None, bool]


def _units(rows: Sequence[ChatRow], objective: str) -> tuple[list[_Unit], list[tuple[str, str]]]:
    """What can be learnt from, as (row, first answer, second answer or None, liked), and what cannot and why."""
    units: list[_Unit] = []
    left_out = []
    for row in rows:
        if objective != "kto":
            if row.chosen is not None and row.rejected is not None:
                units.append((row, row.chosen, row.rejected, True))
            else:
                left_out.append((row.id, f"not a pair: {_NAMES.get(objective, objective)} needs a chosen and a rejected answer"))
            continue
        if row.chosen is None and row.rejected is None:
            left_out.append((row.id, "neither liked nor disliked: KTO needs a chosen or a rejected answer"))
        if row.chosen is not None:
            units.append((row, row.chosen, None, True))
        if row.rejected is not None:
            units.append((row, row.rejected, None, False))
    return units, left_out


def _encode(tokenizer: PreTrainedTokenizerBase, template: ChatTemplate, row: ChatRow, answer: str, limit: int) -> EncodedRow:
    """The prompt and the tools of a row with one answer; only the answer's tokens are targets."""
    messages = [*row.messages, {"role": "assistant", "content": answer}]
    try:
        return encode_conversation(tokenizer, template, messages, tools=row.tools, train_on="last_assistant", max_length=limit)
    except DataError as error:
        raise DataError(f"row {row.id}: {error}") from error


def kto_weights(adapter: ChatAdapter, rows: Sequence[AnswerRow]) -> tuple[float, float]:
    """Weights of liked and of disliked answers; by default both sides weigh the same in all (KTO, section 4.2).

    Raises:
        DataError: nothing was liked, or nothing disliked, so that there is nothing to tell apart.
    """
    liked = sum(row.desirable is True for row in rows)
    disliked = sum(row.desirable is False for row in rows)
    if not liked or not disliked:
        raise DataError(
            f"the training split has {liked} liked and {disliked} disliked answers, and KTO needs both. Gather more feedback, or "
            "imitate the liked ones with chat/lora on a Dataset of conversations: of a file, name its format in the recipe "
            "(format: question_answer), which leaves the label out; of feedback, build chat/feedback with sources.0.form=sft."
        )
    undesirable = adapter.preference.undesirable_weight or 1.0
    return adapter.preference.desirable_weight or undesirable * disliked / liked, undesirable


def _answer_mask(items: Sequence[tuple[EncodedRow, bool]], targets: Tensor) -> Tensor:
    """Float [b, s]: 1 where a target belongs to the answer, shifted as ``targets`` are."""
    mask = (targets != IGNORE).float()
    for place, (row, _) in enumerate(items):
        answer = row.answer  # type: ignore[attr-defined]
        if answer is not None:
            mask[place, : len(answer)] *= torch.tensor([*answer[1:], False]).float()
    return mask


@dataclass(frozen=True)
class PreferenceCollator:
    """Pads a micro batch of units. DPO rows go through the model together, KTO's partners in a batch of their own."""

    pad_id: int
    paired: bool

    def __call__(self, items: Sequence[Sequence[tuple[EncodedRow, bool]]]) -> dict[str, Any]:
        """``rows`` and (KTO) ``partners`` as :func:`collate_padded`, with numbers int64 [b] and, where the targets are more than
        the answers, answer float [b, s] (1 on the answers' targets); weight float [u]; liked bool [u].
        """
        flat = [pair for unit in items for pair in unit]
        batch: dict[str, Any] = {
            "weight": torch.tensor([0.0 if unit[0][1] else 1.0 for unit in items]),
            "liked": torch.tensor([bool(unit[0][0].desirable) for unit in items]),  # type: ignore[attr-defined]
        }
        parts = {"rows": flat} if self.paired else {"rows": flat[0::2], "partners": flat[1::2]}
        for name, part in parts.items():
            numbers = torch.tensor([row.number for row, _ in part])  # type: ignore[attr-defined]
            batch[name] = {**collate_padded(part, self.pad_id), "numbers": numbers}
            if any(row.answer is not None for row, _ in part):  # type: ignore[attr-defined]
                batch[name]["answer"] = _answer_mask(part, batch[name]["targets"])
        return batch
