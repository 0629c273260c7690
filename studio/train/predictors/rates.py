"""The learning rate of each step, as a share of the preset's: a pure function, so that a resume needs nothing but the step."""

from __future__ import annotations

import math

from studio.schema.networks import Learning

PLATEAU_CUT = 1 / 3
"""What a plateau multiplies the learning rate with."""


def share_of_rate(settings: Learning, step: int, steps: int, cuts: int) -> float:
    """What the learning rate of the preset is multiplied with.

    Args:
        step: steps done before this one. steps: of the whole training. cuts: plateaus so far.
    """
    rising = math.ceil(settings.warmup * steps)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    match settings.decay:
        case "linear":
            return 1 - done
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        case "plateau":
            return PLATEAU_CUT**cuts
    return 1.0


def plateau_epochs(settings: Learning) -> int:
    """Epochs without a gain after which the learning rate falls: half the patience of early stopping, 2 without one."""
    return max(1, settings.patience // 2) if settings.patience else 2
