"""What a model of labels and pictures needs to learn: its networks, its optimizers and one step.

The steps and the losses are in ``vae.py`` and ``gan.py``; ``labelled.py`` trains with either.

Legend: b pictures, s side in pixels, d latent size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from studio.models.images.families.labelled import LabelledFamily
from studio.schema.generative import LabelledAdapter
from studio.train.images.trained import Trained


class Learning(ABC):
    """What differs between the two: the networks that train, a step, a held-out figure, and what may go wrong."""

    adapter: LabelledAdapter
    family: LabelledFamily
    trained: Trained
    optimizers: list[torch.optim.Optimizer]

    @abstractmethod
    def step(self, pixels: Tensor, labels: Tensor, draws: torch.Generator) -> dict[str, float]:
        """One optimizer step on pictures [b, 3, s, s] in -1..1; ``loss`` and other figures."""

    def held_out(self, pixels: Tensor, labels: Tensor) -> float | None:  # noqa: ARG002 - not every kind has such a figure
        """A loss on pictures that are not trained on, None where there is none."""
        return None

    def problems(self, pixels: Tensor, labels: Tensor) -> dict[str, Any]:  # noqa: ARG002 - see VaeLearning
        """Figures on training pictures, with ``warnings``."""
        return {"warnings": []}

    def _noise(self, count: int, draws: torch.Generator) -> Tensor:
        return torch.randn(count, self.adapter.latent, generator=draws).to(self.family.device)  # [b, d]
