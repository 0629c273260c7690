"""Learning from preferences: pairs of a chosen and a rejected answer (DPO, IPO, ORPO, SimPO, CPO), or single liked and disliked
answers (KTO).

DPO, IPO and KTO hold the tuned model against the one it started from. Its log-likelihoods are computed once, before the first
step, while the adapter still changes nothing, so no second model is kept. The others need none.

Legend: u units of a micro batch (a pair, or one answer), b rows, s padded length, n targets, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from studio.data.chat.rows import ChatRow
from studio.models.chat.encoding import IGNORE, EncodedRow
from studio.models.chat.templates import ChatTemplate
from studio.schema.adapter import ChatAdapter
from studio.train.chat.batches import collate_padded
from studio.train.chat.encode import EncodedSplit
from studio.train.chat.objectives.base import Objective, Panel
from studio.train.chat.objectives.preference_losses import PAIR_LOSSES, Judged, figures
from studio.train.chat.objectives.preference_rows import AnswerRow, PreferenceCollator, encode_preferences, kto_weights
from studio.train.chat.trainer import ChatTrainer


class PreferenceTrainer(ChatTrainer):
    """Trains on preferences; order, checkpoints and everything else are those of its parent."""

    def __init__(self, *, adapter: ChatAdapter, tokenizer: PreTrainedTokenizerBase, **settings: Any) -> None:
        """``settings`` as :class:`ChatTrainer`; rows and validation are those of :func:`encode_preferences`."""
        training: list[AnswerRow] = list(settings["rows"])
        self._units = [list(settings["validation"])[start : start + 2] for start in range(0, len(settings["validation"]), 2)]
        super().__init__(tokenizer=tokenizer, **settings)
        self._settings = adapter.preference.filled(adapter.objective)
        self._pair_loss = PAIR_LOSSES.get(adapter.objective)
        self._liked_weight, self._disliked_weight = (1.0, 1.0) if self._pair_loss else kto_weights(adapter, training)
        self._collator = PreferenceCollator(int(tokenizer.pad_token_id), self._pair_loss is not None)  # type: ignore[assignment]
        self.data_collator = self._collator
        self._offset = len(training)
        everything = [*training, *(row for unit in self._units for row in unit)]
        # [training rows, then validation rows]; not asked for by a loss that holds nothing against the start.
        against_start = self._pair_loss is None or self._pair_loss.risen
        self._reference = self._score_all(everything) if against_start else torch.zeros(len(everything), device=self.args.device)
        self._drift, self._chosen_tokens = 0.0, 1.0
        self._told = torch.zeros(8, dtype=torch.float64, device=self.args.device)

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
        """Sum of log-probabilities of the answer of each row, float32 [b], in nats."""
        return self._likelihoods(model, batch)[0]

    def _likelihoods(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Sums of log-probabilities of each row, float32 [b] in nats: of its answer, and of all its targets."""
        nll, positions = self._target_nll(model, batch)
        totals = torch.zeros(len(batch["targets"]), device=nll.device)
        if not positions.numel():
            return totals + nll.sum(), totals + nll.sum()
        row = positions // batch["targets"].shape[1]
        whole = totals.index_add(0, row, -nll)
        if "answer" not in batch:
            return whole, whole
        return totals.index_add(0, row, -nll * batch["answer"].reshape(-1)[positions]), whole

    def _rewards(self, model: Any, batch: dict[str, Tensor], offset: int = 0) -> tuple[Tensor, Tensor]:
        """Log-likelihoods [b] and how much they have risen above those of the start [b]."""
        now = self._log_likelihood(model, batch)
        return now, now - self._reference[batch["numbers"] + offset]

    def _losses(
        self, model: Any, inputs: dict[str, Any], drift: Tensor | float, offset: int = 0
    ) -> tuple[Tensor, Tensor, Judged]:
        """Loss of each unit [u], the chosen answers' own loss [u] that is shared out by tokens, and what is told of the batch."""
        rows = inputs["rows"]
        tokens = _answer_tokens(rows)
        if self._pair_loss is None:
            return self._single_losses(model, inputs, drift, offset, tokens)
        now, whole = self._likelihoods(model, rows)
        scores = now - self._reference[rows["numbers"] + offset]  # [b]
        scores = scores / tokens if self._pair_loss.per_token else scores
        chosen, rejected = scores[0::2], scores[1::2]  # [u]
        losses, own = self._pair_loss.formula(chosen, rejected, self._settings), -whole[0::2]
        if self._pair_loss.sft_per_pair:
            losses, own = losses + self._settings.sft_weight * own / tokens[0::2], torch.zeros_like(own)
        judged = Judged(
            good=(torch.arange(len(scores), device=scores.device) % 2) == 0,
            rewards=self._settings.beta * scores,
            likelihoods=now / tokens,
            right=chosen > rejected,
            weight=inputs["weight"].repeat_interleave(2),
            unit_weight=inputs["weight"],
        )
        return losses, own, judged

    def _single_losses(
        self, model: Any, inputs: dict[str, Any], drift: Tensor | float, offset: int, tokens: Tensor
    ) -> tuple[Tensor, Tensor, Judged]:
        """The same of answers without a partner (KTO, https://arxiv.org/abs/2402.01306, equation 8)."""
        now, risen = self._rewards(model, inputs["rows"], offset)
        beta, liked = self._settings.beta, inputs["liked"]
        sign = torch.where(liked, 1.0, -1.0)
        weight = torch.where(liked, self._liked_weight, self._disliked_weight)
        losses = weight * (1 - torch.sigmoid(beta * sign * (risen - drift)))
        judged = Judged(
            liked, beta * (risen - drift), now / tokens, sign * (risen - drift) > 0, inputs["weight"], inputs["weight"]
        )
        return losses, torch.zeros_like(losses), judged

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Mean loss per unit of the whole optimizer step, as this micro batch's share of it."""
        del return_outputs
        losses, own, judged = self._losses(model, inputs, self._drift)
        self._told += judged.sums()
        share: Tensor = (losses * inputs["weight"]).sum() / num_items_in_batch
        if self._shares_own_loss:
            share = share + self._settings.sft_weight * (own * inputs["weight"]).sum() / self._chosen_tokens
        whole: Tensor = share * self.accelerator.num_processes
        return whole

    @property
    def _shares_own_loss(self) -> bool:
        """True where the chosen answers' own loss is a mean over the tokens of the step."""
        return self._pair_loss is not None and not self._pair_loss.sft_per_pair and self._settings.sft_weight > 0

    @torch.no_grad()
    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Tensor:
        """Units of one optimizer step over all micro batches and processes; KTO's drift is estimated from all of them too."""
        totals = torch.zeros(3, device=device)  # units, sum of the partners' rewards, targets of chosen answers
        self._told.zero_()
        # Without dropout: it would draw random numbers here, before a resumed run has taken up its generator's state.
        self.model.eval()
        for inputs in batch_samples:
            totals[0] += inputs["weight"].sum()
            if self._pair_loss is not None:
                totals[2] += (inputs["rows"]["targets"][0::2] != IGNORE).sum()
                continue
            prepared = self._prepare_inputs(inputs)
            with self.compute_loss_context_manager():
                _, risen = self._rewards(self.model, prepared["partners"])
            totals[1] += (risen * prepared["weight"]).sum()
        self.model.train()
        if self.accelerator.num_processes > 1:
            totals = self.accelerator.reduce(totals, "sum")
        self._drift = float((totals[1] / totals[0]).clamp(min=0))
        self._chosen_tokens = max(1.0, float(totals[2]))
        return totals[0]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With the loss of a step goes what is told of its answers."""
        if "loss" in logs:
            told = self.accelerator.reduce(self._told, "sum") if self.accelerator.num_processes > 1 else self._told
            logs |= figures(told)
        super().log(logs, start_time)

    @torch.no_grad()
    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Mean validation loss per unit, and the figures of a step over all units; KTO's drift over all of them too."""
        was_training = self.model.training
        self.model.eval()
        size, rank, world = self.args.per_device_eval_batch_size, self.accelerator.process_index, self.accelerator.num_processes
        mine = self._units[rank::world]
        batches = [
            self._prepare_inputs(self._collator([[(row, False) for row in unit] for unit in mine[start : start + size]]))
            for start in range(0, len(mine), size)
        ]
        drift = self._validation_drift(batches) if self._pair_loss is None else 0.0
        totals = torch.zeros(11, dtype=torch.float64, device=self.args.device)  # losses, own losses, their tokens, the figures
        for batch in batches:
            with self.compute_loss_context_manager():
                losses, own, judged = self._losses(self.model, batch, drift, self._offset)
            tokens = (batch["rows"]["targets"][0::2] != IGNORE).sum().double()
            totals += torch.cat([torch.stack([losses.sum().double(), own.sum().double(), tokens]), judged.sums()])
        totals = self.accelerator.reduce(totals, "sum") if world > 1 else totals
        self.model.train(was_training)
        loss = float(totals[0] / totals[-1])
        if self._shares_own_loss:
            loss += float(self._settings.sft_weight * totals[1] / totals[2])
        metrics = {"eval_loss": loss, **{f"eval_{name}": value for name, value in figures(totals[3:]).items()}}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _validation_drift(self, batches: Sequence[dict[str, Any]]) -> Tensor:
        """How far the answers of other prompts have risen on the validation split, at least 0 (KTO)."""
        sums = torch.zeros(2, device=self.args.device)
        for batch in batches:
            with self.compute_loss_context_manager():
                _, risen = self._rewards(self.model, batch["partners"], self._offset)
            sums += torch.stack([risen.sum(), torch.tensor(float(len(risen)), device=risen.device)])
        sums = self.accelerator.reduce(sums, "sum") if self.accelerator.num_processes > 1 else sums
        return (sums[0] / sums[1]).clamp(min=0)


def _answer_tokens(batch: dict[str, Tensor]) -> Tensor:
    """Tokens of each row's answer, float [b], at least 1."""
    answer = batch["answer"] > 0 if "answer" in batch else batch["targets"] != IGNORE
    return answer.sum(-1).clamp(min=1).float()


class Preferences(Objective):
    """Answers held against each other, or against those of the model as it starts."""

    unit_rows = 2
    panels = (
        Panel("share told the right way round", ("accuracy",)),
        Panel("reward, good minus bad", ("reward_margin",)),
        Panel("log-likelihood, nats per token", ("chosen_logprob", "rejected_logprob")),
    )

    def __init__(self, learning_rows: int, loss_unit: str) -> None:
        """``learning_rows`` of the two go through the model with a gradient."""
        self.learning_rows, self.loss_unit = learning_rows, loss_unit

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


PAIRS = Preferences(learning_rows=2, loss_unit="per pair")
KTO = Preferences(learning_rows=1, loss_unit="per answer")
"""KTO's second row goes through the model without a gradient, in a pass of its own."""
