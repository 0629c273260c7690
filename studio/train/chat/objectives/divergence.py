"""How far what a student says at a target is from what its teacher says there.

Legend: n targets, v vocabulary, k tokens that are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Probability below which all tokens outside the compared ones count as this much: float32 knows a sum near 1 no better.
_LEAST_REST = 1e-6
ABSENT = -1e4
"""Log-probability that stands where fewer than k tokens are known."""


@dataclass(frozen=True)
class Taught:
    """What the teacher says at each target.

    logprobs: log-probabilities at the temperature, float32 [n, k] of the tokens in ``ids`` int64 [n, k]; or [n, v] of all, when
    ``ids`` is None. known: bool [n], False where it says nothing; None where it speaks of all.
    """

    logprobs: Tensor
    ids: Tensor | None = None
    known: Tensor | None = None


def taught(logits: Tensor, *, temperature: float, top_k: int | None, words: int) -> Taught:
    """What a teacher's ``logits`` [n, v] say, of all tokens or of the ``top_k`` likeliest.

    Args:
        words: rows of the student's head; (padding) rows that only the teacher has do not count.
    """
    logprobs = (logits[:, :words].float() / temperature).log_softmax(-1)  # [n, v]
    if top_k is None:
        return Taught(logprobs)
    values, ids = logprobs.topk(min(top_k, logprobs.shape[-1]), dim=-1)  # [n, k]
    return Taught(values, ids)


def divergence(logits: Tensor, teacher: Taught, *, beta: float, temperature: float) -> Tensor:
    """Generalised Jensen-Shannon divergence of a student's ``logits`` [n, v] from the teacher; float32 [n], in nats.

    GKD (https://arxiv.org/abs/2306.13649), eq. 1: ``beta`` 0 is KL(teacher || student), 1 KL(student || teacher). Of the top k
    all other tokens together count as one token, so that what is compared are distributions; that is never more than the
    divergence over the whole vocabulary. Of a head with more (padding) rows than the teacher's, the common ones count.
    """
    scaled = logits.float() / temperature
    if teacher.ids is None:
        student, wanted = scaled[:, : teacher.logprobs.shape[-1]].log_softmax(-1), teacher.logprobs
    else:
        chosen = scaled.gather(-1, teacher.ids) - scaled.logsumexp(-1, keepdim=True)  # [n, k]
        chosen = chosen.where(teacher.logprobs > ABSENT, teacher.logprobs)
        student, wanted = _with_rest(chosen), _with_rest(teacher.logprobs)  # [n, k + 1]
    if beta == 0:
        return _kl(wanted, student)
    if beta == 1:
        return _kl(student, wanted)
    share = torch.tensor(beta, dtype=student.dtype, device=student.device)
    mixture = torch.logaddexp(student + torch.log1p(-share), wanted + share.log())
    return beta * _kl(wanted, mixture) + (1 - beta) * _kl(student, mixture)


def _with_rest(logprobs: Tensor) -> Tensor:
    """The log-probabilities [n, k], and behind them that of all other tokens; [n, k + 1]."""
    rest = (1 - logprobs.exp().sum(-1, keepdim=True)).clamp(min=_LEAST_REST).log()
    return torch.cat([logprobs, rest], dim=-1)


def _kl(left: Tensor, right: Tensor) -> Tensor:
    """KL divergence of ``right`` from ``left``, both log-probabilities; [n]."""
    return (left.exp() * (left - right)).sum(-1)


def own_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of ``targets`` int64 [n] under ``logits`` [n, v]; float32 [n], in nats. The logits stay."""
    wide = logits.float()
    return wide.logsumexp(-1) - wide.gather(-1, targets[:, None]).squeeze(-1)
