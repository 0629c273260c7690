"""Learning from preferences: pairs of a chosen and a rejected answer (DPO), or single liked and disliked answers (KTO).

Both hold the tuned model against the one it started from. Its log-likelihoods are computed once, before the first step, while
the adapter still changes nothing, so no second model is kept.

Legend: u units of a micro batch (a pair, or one answer), b rows, s padded length, n targets, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow
from studio.models.chat.encoding import IGNORE, EncodedRow, encode_conversation
from studio.models.chat.templates import ChatTemplate
from studio.schema.adapter import ChatAdapter
from studio.train.chat.batches import collate_padded
from studio.train.chat.encode import EncodedSplit
from studio.train.chat.objectives.base import Objective
from studio.train.chat.trainer import ChatTrainer


@dataclass(frozen=True)
class AnswerRow(EncodedRow):
    """A prompt with one answer, whose tokens are the targets.

    number: place in the list of all training and validation rows. desirable: the chosen or liked answer; None for an answer
    that belongs to another prompt, from which KTO estimates how far the tuned model has drifted.
    """

    number: int = -1
    desirable: bool | None = None


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
            flags = (True, False) if adapter.objective == "dpo" else (liked, None)
            for row, flag in zip(pair, flags, strict=True):
                split.ids.append(identity)
                split.rows.append(
                    AnswerRow(
                        row.input_ids, row.trained, row.ends, row.turns, row.full_length, number=len(split.rows), desirable=flag
                    )
                )
    return split


_Unit = tuple[ChatRow, str, str | None, bool]


def _units(rows: Sequence[ChatRow], objective: str) -> tuple[list[_Unit], list[tuple[str, str]]]:
    """What can be learnt from, as (row, first answer, second answer or None, liked), and what cannot and why."""
    units: list[_Unit] = []
    left_out = []
    for row in rows:
        if objective == "dpo":
            if row.chosen is not None and row.rejected is not None:
                units.append((row, row.chosen, row.rejected, True))
            else:
                left_out.append((row.id, "not a pair: DPO needs a chosen and a rejected answer"))
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


@dataclass(frozen=True)
class PreferenceCollator:
    """Pads a micro batch of units. DPO rows go through the model together, KTO's partners in a batch of their own."""

    pad_id: int
    paired: bool

    def __call__(self, items: Sequence[Sequence[tuple[EncodedRow, bool]]]) -> dict[str, Any]:
        """``rows`` and (KTO) ``partners`` as :func:`collate_padded`, with numbers int64 [b]; weight float [u]; liked bool [u]."""
        flat = [pair for unit in items for pair in unit]
        batch: dict[str, Any] = {
            "weight": torch.tensor([0.0 if unit[0][1] else 1.0 for unit in items]),
            "liked": torch.tensor([bool(unit[0][0].desirable) for unit in items]),  # type: ignore[attr-defined]
        }
        parts = {"rows": flat} if self.paired else {"rows": flat[0::2], "partners": flat[1::2]}
        for name, part in parts.items():
            numbers = torch.tensor([row.number for row, _ in part])  # type: ignore[attr-defined]
            batch[name] = {**collate_padded(part, self.pad_id), "numbers": numbers}
        return batch


class PreferenceTrainer(ChatTrainer):
    """Trains on preferences; order, checkpoints and everything else are those of its parent."""

    def __init__(self, *, adapter: ChatAdapter, tokenizer: PreTrainedTokenizerBase, **settings: Any) -> None:
        """``settings`` as :class:`ChatTrainer`; rows and validation are those of :func:`encode_preferences`."""
        training: list[AnswerRow] = list(settings["rows"])
        self._units = [list(settings["validation"])[start : start + 2] for start in range(0, len(settings["validation"]), 2)]
        super().__init__(tokenizer=tokenizer, **settings)
        self._settings, self._paired = adapter.preference, adapter.objective == "dpo"
        self._liked_weight, self._disliked_weight = (1.0, 1.0) if self._paired else kto_weights(adapter, training)
        self._collator = PreferenceCollator(int(tokenizer.pad_token_id), self._paired)  # type: ignore[assignment]
        self.data_collator = self._collator
        self._offset = len(training)
        everything = [*training, *(row for unit in self._units for row in unit)]
        self._reference = self._score_all(everything)  # [training rows, then validation rows]
        self._drift = 0.0

    @torch.no_grad()
    def _score_all(self, rows: Sequence[EncodedRow]) -> Tensor:
        """Log-likelihood of every answer under the model as it starts, float32 [rows], longest rows first for little padding."""
        was_training = self.model.training
        self.model.eval()
        scores = torch.zeros(len(rows), device=self.args.device)
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index].input_ids))
        size = 2 * self.args.per_device_train_batch_size
        pad = self._collator.pad_id
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            batch = self._prepare_inputs(collate_padded([(rows[index], False) for index in chosen], pad))
            with self.compute_loss_context_manager():
                scores[torch.tensor(chosen, device=scores.device)] = self._log_likelihood(self.model, batch)
        self.model.train(was_training)
        return scores

    def _log_likelihood(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Sum of log-probabilities of the targets of each row, float32 [b], in nats."""
        nll, positions = self._target_nll(model, batch)
        totals = torch.zeros(len(batch["targets"]), device=nll.device)
        if not positions.numel():
            return totals + nll.sum()
        return totals.index_add(0, positions // batch["targets"].shape[1], -nll)

    def _rewards(self, model: Any, batch: dict[str, Tensor], offset: int = 0) -> tuple[Tensor, Tensor]:
        """Log-likelihoods [b] and how much they have risen above those of the start [b]."""
        now = self._log_likelihood(model, batch)
        return now, now - self._reference[batch["numbers"] + offset]

    def _losses(self, model: Any, inputs: dict[str, Any], drift: Tensor | float, offset: int = 0) -> tuple[Tensor, Tensor]:
        """Loss of each unit [u], and whether the model tells it the right way round [u]."""
        beta = self._settings.beta
        now, risen = self._rewards(model, inputs["rows"], offset)
        if not self._paired:
            sign = torch.where(inputs["liked"], 1.0, -1.0)
            weight = torch.where(inputs["liked"], self._liked_weight, self._disliked_weight)
            return weight * (1 - torch.sigmoid(beta * sign * (risen - drift))), sign * (risen - drift) > 0
        margin = risen[0::2] - risen[1::2]  # [u]
        losses = -logsigmoid(beta * margin)
        if self._settings.sft_weight:
            tokens = (inputs["rows"]["targets"][0::2] != IGNORE).sum(-1).clamp(min=1)
            losses = losses - self._settings.sft_weight * now[0::2] / tokens
        return losses, margin > 0

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Mean loss per unit of the whole optimizer step, as this micro batch's share of it."""
        del return_outputs
        losses, _ = self._losses(model, inputs, self._drift)
        share: Tensor = (losses * inputs["weight"]).sum() / num_items_in_batch * self.accelerator.num_processes
        return share

    @torch.no_grad()
    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Tensor:
        """Units of one optimizer step over all micro batches and processes; KTO's drift is estimated from all of them too."""
        totals = torch.zeros(2, device=device)  # units, sum of the partners' rewards
        # Without dropout: it would draw random numbers here, before a resumed run has taken up its generator's state.
        self.model.eval()
        for inputs in batch_samples:
            totals[0] += inputs["weight"].sum()
            if not self._paired:
                prepared = self._prepare_inputs(inputs)
                with self.compute_loss_context_manager():
                    _, risen = self._rewards(self.model, prepared["partners"])
                totals[1] += (risen * prepared["weight"]).sum()
        self.model.train()
        if self.accelerator.num_processes > 1:
            totals = self.accelerator.reduce(totals, "sum")
        self._drift = float((totals[1] / totals[0]).clamp(min=0))
        return totals[0]

    @torch.no_grad()
    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Mean validation loss per unit, and the share of units told the right way round; KTO's drift over all of them."""
        was_training = self.model.training
        self.model.eval()
        size, rank, world = self.args.per_device_eval_batch_size, self.accelerator.process_index, self.accelerator.num_processes
        mine = self._units[rank::world]
        batches = [
            self._prepare_inputs(self._collator([[(row, False) for row in unit] for unit in mine[start : start + size]]))
            for start in range(0, len(mine), size)
        ]
        drift: Tensor | float = 0.0
        if not self._paired:
            sums = torch.zeros(2, device=self.args.device)
            for batch in batches:
                with self.compute_loss_context_manager():
                    _, risen = self._rewards(self.model, batch["partners"], self._offset)
                sums += torch.stack([risen.sum(), torch.tensor(float(len(risen)), device=risen.device)])
            sums = self.accelerator.reduce(sums, "sum") if world > 1 else sums
            drift = (sums[0] / sums[1]).clamp(min=0)
        totals = torch.zeros(3, dtype=torch.float64, device=self.args.device)
        for batch in batches:
            with self.compute_loss_context_manager():
                losses, right = self._losses(self.model, batch, drift, self._offset)
            totals += torch.stack([losses.sum().double(), right.sum().double(), torch.tensor(float(len(losses))).to(totals)])
        totals = self.accelerator.reduce(totals, "sum") if world > 1 else totals
        self.model.train(was_training)
        metrics = {"eval_loss": float(totals[0] / totals[2]), "eval_accuracy": float(totals[1] / totals[2])}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class Preferences(Objective):
    """Answers held against each other, or against those of the model as it starts."""

    unit_rows = 2

    def __init__(self, learning_rows: int) -> None:
        """``learning_rows`` of the two go through the model with a gradient."""
        self.learning_rows = learning_rows

    def encode(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: ChatTemplate,
        rows: Sequence[ChatRow],
        adapter: ChatAdapter,
        max_length: int,
    ) -> EncodedSplit:
        """See :func:`encode_preferences`."""
        return encode_preferences(tokenizer, template, rows, adapter, max_length)

    def trainer(self, adapter: ChatAdapter) -> Callable[..., ChatTrainer]:
        """See :class:`PreferenceTrainer`."""
        return partial(PreferenceTrainer, adapter=adapter)


DPO = Preferences(learning_rows=2)
KTO = Preferences(learning_rows=1)
"""KTO's second row goes through the model without a gradient, in a pass of its own."""
