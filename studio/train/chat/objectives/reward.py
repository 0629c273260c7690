"""Learning to score answers, from pairs of a chosen and a rejected one.

Bradley-Terry: the probability that the chosen answer is the better one is the logistic function of the difference of two scores,
as in InstructGPT (https://arxiv.org/abs/2203.02155), eq. 1. The score stands in place of the output layer, at the last token.

Legend: u pairs of a micro batch, b = 2u rows, s padded length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import PreTrainedTokenizerBase

from studio.core.shares import wilson_interval
from studio.data.chat.rows import ChatRow
from studio.models.chat.encoding import EncodedRow
from studio.models.chat.templates import ChatTemplate
from studio.schema.adapter import ChatAdapter
from studio.train.chat.batches import Collator
from studio.train.chat.encode import EncodedSplit
from studio.train.chat.objectives.base import Objective, Panel
from studio.train.chat.objectives.preference_rows import encode_preferences
from studio.train.chat.trainer import ChatTrainer


def pair_losses(scores: Tensor, center: float) -> Tensor:
    """Loss of each pair; ``scores`` [2u] hold chosen and rejected answers in turn, returns [u].

    ``center`` times the squared sum of a pair's scores keeps them around zero (https://arxiv.org/abs/2312.09244), which
    differences alone leave open.
    """
    chosen, rejected = scores[0::2], scores[1::2]
    losses = -logsigmoid(chosen - rejected)
    return losses + center * (chosen + rejected) ** 2 if center else losses


class PairCollator(Collator):
    """Pads the rows of pairs, chosen and rejected in turn, with the weight float [u] of each pair (0 for a ghost)."""

    def __call__(self, items: Sequence[Sequence[tuple[EncodedRow, bool]]]) -> dict[str, Tensor]:
        """See :class:`studio.train.chat.batches.Collator`."""
        return {**super().__call__(items), "weight": torch.tensor([0.0 if unit[0][1] else 1.0 for unit in items])}


class RewardTrainer(ChatTrainer):
    """Trains a score on pairs; order, checkpoints and everything else are those of its parent."""

    def __init__(self, *, adapter: ChatAdapter, tokenizer: PreTrainedTokenizerBase, **settings: Any) -> None:
        """``settings`` as :class:`ChatTrainer`; the rows are chosen and rejected answers in turn."""
        validation = list(settings["validation"])
        self._pairs = [validation[start : start + 2] for start in range(0, len(validation), 2)]
        super().__init__(tokenizer=tokenizer, **settings)
        self._center = adapter.reward.center
        self._collator = PairCollator(int(tokenizer.pad_token_id), packed=False)  # type: ignore[arg-type]
        self.data_collator = self._collator

    def _put_loss_into_forward(self) -> None:
        """Nothing: there are no logits of a vocabulary."""
        self._targets = None

    def _scores(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """The score of each row, float32 [b]."""
        out = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        scores: Tensor = out.logits.squeeze(-1).float()
        return scores

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Mean loss per pair of the whole optimizer step, as this micro batch's share of it."""
        del return_outputs
        losses = pair_losses(self._scores(model, inputs), self._center)
        share: Tensor = (losses * inputs["weight"]).sum() / num_items_in_batch * self.accelerator.num_processes
        return share

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Tensor]], device: torch.device) -> Tensor:
        """Pairs of one optimizer step over all micro batches and processes."""
        count = torch.stack([batch["weight"].sum() for batch in batch_samples]).sum().to(device)
        total: Tensor = self.accelerator.reduce(count, "sum") if self.accelerator.num_processes > 1 else count
        return total

    @torch.no_grad()
    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Mean validation loss per pair; the share of pairs whose chosen answer scores higher, with Wilson's 95% interval."""
        was_training = self.model.training
        self.model.eval()
        size, rank, world = self.args.per_device_eval_batch_size, self.accelerator.process_index, self.accelerator.num_processes
        mine = self._pairs[rank::world]
        totals = torch.zeros(4, dtype=torch.float64, device=self.args.device)  # loss, right, margin, pairs
        for start in range(0, len(mine), size):
            batch = self._prepare_inputs(self._collator([[(row, False) for row in pair] for pair in mine[start : start + size]]))
            with self.compute_loss_context_manager():
                scores = self._scores(self.model, batch)
            margin = scores[0::2] - scores[1::2]  # [u]
            losses = pair_losses(scores, self._center)
            parts = [losses.sum(), (margin > 0).sum(), margin.sum(), torch.tensor(float(len(margin))).to(margin)]
            totals += torch.stack([part.double() for part in parts])
        totals = self.accelerator.reduce(totals, "sum") if world > 1 else totals
        self.model.train(was_training)
        loss, right, margin_sum, pairs = totals.tolist()
        low, high = wilson_interval(right, pairs)
        metrics = {
            "eval_loss": loss / pairs,
            "eval_accuracy": right / pairs,
            "eval_accuracy_low": low,
            "eval_accuracy_high": high,
            "eval_margin": margin_sum / pairs,
        }
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class Reward(Objective):
    """Scores of answers, from pairs."""

    unit_rows = 2
    learning_rows = 2
    scores = True
    loss_unit = "nats per pair"
    panels = (Panel("share of pairs told right", ("accuracy",)),)

    def encode(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: ChatTemplate,
        rows: Sequence[ChatRow],
        adapter: ChatAdapter,
        max_length: int,
    ) -> EncodedSplit:
        """Chosen and rejected answer of each pair in turn; what is no pair is left out and named."""
        pairs = [row for row in rows if row.chosen is not None and row.rejected is not None]
        lone = [row for row in rows if row.chosen is None or row.rejected is None]
        split = encode_preferences(tokenizer, template, pairs, adapter.model_copy(update={"objective": "dpo"}), max_length)
        split.left_out[:0] = [(row.id, "not a pair: a reward model needs a chosen and a rejected answer") for row in lone]
        return split

    def trainer(self, adapter: ChatAdapter) -> Callable[..., ChatTrainer]:
        """See :class:`RewardTrainer`."""
        return partial(RewardTrainer, adapter=adapter)


REWARD = Reward()
