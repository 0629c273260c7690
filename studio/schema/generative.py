"""Presets for the two other generative families, trained from scratch: a VAE and a GAN. Each field is documented here once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.adapter import Fraction, Positive
from studio.schema.diffusion import NonNegative, SampleSettings
from studio.schema.preset import Preset


class LabelledAdapter(Preset):
    """What a VAE and a GAN share: small convolutional networks from noise and a label to a picture, in pixels."""

    data: str | None = None
    """Default Dataset; ``--data`` on the command line wins."""

    resolution: Literal[8, 16, 32, 64, 128] = 32
    """Side of the pictures in pixels."""
    latent: Positive = 64
    """Numbers of noise that a picture is drawn from."""
    width: Annotated[int, Field(ge=8, multiple_of=8)] = 32
    """Channels at full size; doubled at each halving, up to eight times."""
    label_dropout: Fraction = 0.1
    """Share of labels left out while training, so that a prompt that names no label draws from all of them."""
    flip: bool = False
    """Mirror every other picture, drawn anew at each step. It lies about text, arrows and hands."""

    steps: Positive = 4000
    """Optimizer steps."""
    batch_size: Positive = 32
    """Pictures per optimizer step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate; it falls to zero along a cosine over the last half of the steps."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """The weights that are sampled and saved are a moving average; this share of it stays at each step once warmed up."""
    dtype: Literal["float32"] = "float32"
    """Number type of weights and arithmetic."""

    sample: SampleSettings = SampleSettings()
    """Samples drawn while training; ``steps`` and ``guidance`` do not apply."""
    sample_every: Positive | None = None
    """Steps between sample grids; None means four in the whole training."""
    eval_every: Positive | None = None
    """Steps between held-out losses and checks for collapse; None means ten in the whole training."""
    save_every: Positive | None = None
    """Steps between checkpoints; None means at each held-out loss."""
    keep_checkpoints: Positive = 2
    """How many checkpoints stay on disk."""
    seed: int = 0
    """Seed of order, noise, label dropout and start values."""


class VaeAdapter(LabelledAdapter):
    """A preset for a variational autoencoder (https://arxiv.org/abs/1312.6114)."""

    kind: Literal["vae"]
    """What is trained."""
    beta: Annotated[float, Field(gt=0)] = 1.0
    """Weight of the divergence from the prior (beta-VAE); at 1 the loss is a bound on the likelihood."""


class GanAdapter(LabelledAdapter):
    """A preset for a generative adversarial network: relativistic loss with two gradient penalties (R3GAN,
    https://arxiv.org/abs/2501.05441).
    """

    kind: Literal["gan"]
    """What is trained."""
    penalty: NonNegative = 1.0
    """Weight gamma of the gradient penalties R1 and R2 on real and drawn pictures."""
    alter: bool = True
    """Show the discriminator altered pictures only (DiffAugment, https://arxiv.org/abs/2006.10738): it learns a few
    hundred pictures by heart otherwise, and the generator then draws one per label.
    """
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Learning rate of both networks; it falls to zero along a cosine over the last half of the steps."""

    @model_validator(mode="after")
    def _possible(self) -> GanAdapter:
        """Refuse what is known to fail."""
        if self.batch_size < 2:
            raise ValueError("a GAN compares pictures in pairs and needs a batch_size of at least 2.")
        return self
