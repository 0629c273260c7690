"""The training of a diffusion model. One step reads like the algorithm; everything that is written down happens in ``run.py``.

Legend: b pictures of an optimizer step (a window), c channels, h and w the size of what the network sees.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from studio.models.images.families.base import Family
from studio.schema.diffusion import DiffusionAdapter
from studio.train.finite import refuse_blown_up
from studio.train.images.pictures import Pictures
from studio.train.images.trained import Ema, Trained


@dataclass(frozen=True)
class StepResult:
    """What one optimizer step was. loss: mean over the window. grad_norm: before clipping. seconds: of this step alone."""

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    seconds: float


@dataclass
class Learner:
    """Everything that changes from step to step, and so everything that a checkpoint holds."""

    trained: Trained
    optimizer: torch.optim.Optimizer
    schedule: Any
    ema: Ema | None


def train_steps(
    family: Family,
    learner: Learner,
    pictures: Pictures,
    windows: Sequence[Sequence[int]],
    adapter: DiffusionAdapter,
    *,
    start: int,
    after: Callable[[StepResult], bool],
) -> None:
    """Train from step ``start`` to the last window, or until ``after`` says True.

    All that is random in a step is drawn from the seed and the number of the step, so a resume needs no random state and what is
    drawn depends neither on the micro batch nor on the device.

    Raises:
        StudioError: the loss or its gradient is no longer a number.
    """
    for index in range(start, len(windows)):
        result = one_step(family, learner, pictures, windows[index], adapter, index)
        refuse_blown_up(
            result.step,
            adapter.learning_rate,
            clipped=bool(adapter.max_grad_norm),
            loss=result.loss,
            gradient_norm=result.grad_norm,
        )
        if after(result):
            return


def one_step(
    family: Family, learner: Learner, pictures: Pictures, window: Sequence[int], adapter: DiffusionAdapter, index: int
) -> StepResult:
    """One optimizer step: draw times and noise, mix, predict, compare, take a step down."""
    began = time.perf_counter()
    draws = step_draws(adapter.seed, index)
    moments = pictures.moments(window, draws)
    clean = family.latents(moments, draws)  # [b, c, h, w]
    noise = draw_noise(clean, draws, offset=adapter.noise.offset)
    times = family.process.draw(len(window), draws)  # [b]
    dropped = (torch.rand(len(window), generator=draws) < adapter.caption_dropout).tolist()

    micro = adapter.micro_batch_size or len(window)
    total = 0.0
    for first in range(0, len(window), micro):
        part = slice(first, first + micro)
        rows = window[part]
        text = pictures.text(rows, dropped[part])
        loss = diffusion_loss(
            family, clean[part], noise[part], times[part], text, pictures.sizes(rows), gamma=adapter.noise.min_snr_gamma
        )
        weights = torch.tensor([pictures.weights[row] for row in rows], device=loss.device)
        share = (loss * weights).sum() / len(window)
        share.backward()
        total += float(share.detach())

    norm = torch.nn.utils.clip_grad_norm_(learner.trained.parameters.values(), adapter.max_grad_norm or math.inf)
    rate = float(learner.optimizer.param_groups[0]["lr"])
    learner.optimizer.step()
    learner.schedule.step()
    learner.optimizer.zero_grad(set_to_none=True)
    if learner.ema is not None:
        learner.ema.update(index + 1)
    return StepResult(index + 1, total, float(norm), rate, time.perf_counter() - began)


def diffusion_loss(
    family: Family, clean: Tensor, noise: Tensor, times: Tensor, text: Any, sizes: Any, *, gamma: float | None
) -> Tensor:
    """Squared error of the prediction, float32 [b], weighted by Min-SNR where ``gamma`` is given."""
    process = family.process
    times = times.to(clean.device)
    noisy = process.mix(clean, noise, times)
    prediction = family.predict(noisy, times, text, sizes)
    target = process.target(clean, noise, times)
    error = (prediction.float() - target.float()).square().mean(dim=(1, 2, 3))  # [b]
    return error if gamma is None else error * process.min_snr_weights(times, gamma)


def draw_noise(clean: Tensor, draws: torch.Generator, *, offset: float) -> Tensor:
    """Normal noise like ``clean``; with an offset, one more normal number per picture and channel is added to all its pixels.

    Source: noise offset, https://www.crosslabs.org/blog/diffusion-with-offset-noise.
    """
    noise = torch.randn(clean.shape, generator=draws)
    if offset:
        noise = noise + offset * torch.randn((*clean.shape[:2], 1, 1), generator=draws)
    return noise.to(clean.device)


def step_draws(seed: int, index: int) -> torch.Generator:
    """The random numbers of one step."""
    return torch.Generator().manual_seed((seed * 1_000_003 + index) * 2 + 1)
