"""The losses of pairs, each a formula over one score of the chosen and one of the rejected answer; and what is told of a step.

Legend: u pairs. A score is the log-likelihood of an answer, in nats: its sum or its mean over the answer's tokens, as it is or
how far it has risen above that of the model as it started.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from studio.schema.preference import Weighing

Formula = Callable[[Tensor, Tensor, Weighing], Tensor]
_LN_HALF = -math.log(2)


@dataclass(frozen=True)
class PairLoss:
    """How an objective judges pairs.

    formula: chosen [u], rejected [u] and settings to losses [u]. risen: scores are held against the model as it started.
    per_token: scores are means over tokens. sft_per_pair: the chosen answer's own loss is a mean over its tokens for each pair,
    else over the tokens of all pairs of the step.
    """

    formula: Formula
    risen: bool
    per_token: bool
    sft_per_pair: bool


def _sigmoid(margin: Tensor, smoothing: float) -> Tensor:
    """-(1 - e) log s(m) - e log s(-m), e being the share of pairs that are the wrong way round."""
    return -(1 - smoothing) * logsigmoid(margin) - smoothing * logsigmoid(-margin)


def dpo(chosen: Tensor, rejected: Tensor, settings: Weighing) -> Tensor:
    """DPO (https://arxiv.org/abs/2305.18290, equation 7): -log s(beta (c - r))."""
    return _sigmoid(settings.beta * (chosen - rejected), settings.label_smoothing)


def ipo(chosen: Tensor, rejected: Tensor, settings: Weighing) -> Tensor:
    """IPO (https://arxiv.org/abs/2310.12036, equation 17): (c - r - 1 / (2 tau))^2; the scores are means over tokens, as in TRL,
    whose authors have it from those of the paper.
    """
    return (chosen - rejected - 1 / (2 * settings.beta)) ** 2


def simpo(chosen: Tensor, rejected: Tensor, settings: Weighing) -> Tensor:
    """SimPO (https://arxiv.org/abs/2405.14734, equation 6): -log s(beta c - beta r - gamma), scores being means over tokens."""
    return _sigmoid(settings.beta * (chosen - rejected) - settings.margin, settings.label_smoothing)


def orpo(chosen: Tensor, rejected: Tensor, settings: Weighing) -> Tensor:
    """ORPO's odds ratio (https://arxiv.org/abs/2403.07691, equations 6 and 7), times lambda: -log s(log odds(c) - log odds(r)),
    odds(x) = P / (1 - P) with log P the mean over tokens.
    """
    odds = (chosen - rejected) - (_log_one_minus_exp(chosen) - _log_one_minus_exp(rejected))
    return -settings.beta * logsigmoid(odds)


def _log_one_minus_exp(value: Tensor) -> Tensor:
    """log(1 - e^x) for x < 0 without cancellation; an answer that is certain stays a hair below it."""
    value = value.clamp(max=-1e-7)
    return torch.where(value < _LN_HALF, torch.log1p(-torch.exp(value)), torch.log(-torch.expm1(value)))


PAIR_LOSSES = {
    "dpo": PairLoss(dpo, risen=True, per_token=False, sft_per_pair=True),
    "ipo": PairLoss(ipo, risen=True, per_token=True, sft_per_pair=True),
    "simpo": PairLoss(simpo, risen=False, per_token=True, sft_per_pair=False),
    # CPO (https://arxiv.org/abs/2401.08417, equations 3 to 5) is DPO's formula on the likelihoods themselves, plus the SFT loss.
    "cpo": PairLoss(dpo, risen=False, per_token=False, sft_per_pair=False),
    "orpo": PairLoss(orpo, risen=False, per_token=True, sft_per_pair=False),
}


@dataclass(frozen=True)
class Judged:
    """What the model makes of answers, for the figures of a step.

    good: bool [b], chosen or liked. rewards: [b], beta times the score (KTO: less the drift). likelihoods: [b], mean nats per
    token. right: bool [u], units that the model tells the right way round. weight: [b] and unit_weight [u], 0 for what stands in
    an empty place.
    """

    good: Tensor
    rewards: Tensor
    likelihoods: Tensor
    right: Tensor
    weight: Tensor
    unit_weight: Tensor

    def sums(self) -> Tensor:
        """Float64 [8]: number, rewards and likelihoods of the good and of the bad answers, units told right, units."""
        parts = []
        for side in (self.good, ~self.good):
            kept = side * self.weight
            parts += [kept.sum(), (kept * self.rewards).sum(), (kept * self.likelihoods).sum()]
        parts += [(self.right * self.unit_weight).sum(), self.unit_weight.sum()]
        return torch.stack([part.detach().double() for part in parts])


def figures(sums: Tensor) -> dict[str, float]:
    """Accuracy, reward margin, and log-likelihood per token of good and bad answers; without a side its figures are left out."""
    good, good_reward, good_likelihood, bad, bad_reward, bad_likelihood, right, units = sums.tolist()
    found = {"accuracy": right / units} if units else {}
    if good and bad:
        found["reward_margin"] = good_reward / good - bad_reward / bad
    if good:
        found["chosen_logprob"] = good_likelihood / good
    if bad:
        found["rejected_logprob"] = bad_likelihood / bad
    return found
