"""Neural networks that presets may name, with the settings they share. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.loading import Settings

Positive = Annotated[int, Field(gt=0)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


SMALLEST = 32
"""Side in pixels of the smallest pictures that networks of timm take."""


class Learning(Settings):
    """How a network learns; all networks have these."""

    epochs: Positive = 20
    """Passes over the training rows at most."""
    batch_size: Positive = 32
    """Rows per step."""
    learning_rate: Above0 = 1e-3
    """Size of the first steps (AdamW)."""
    decay: Literal["none", "linear", "cosine", "plateau"] = "cosine"
    """How the learning rate falls: not at all, evenly, along a cosine, or to a third when validation stops getting better."""
    warmup: Share = 0.05
    """Share of the steps in which it rises from 0."""
    l2: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay (decoupled L2 of AdamW); biases and norms are left out."""
    dropout: Share = 0.1
    """Share of activations that are set to 0 while training."""
    label_smoothing: Share = 0.0
    """Share of the truth that is spread over all labels (https://arxiv.org/abs/1512.00567)."""
    patience: Positive | None = 4
    """Early stopping: epochs without a gain of the validation loss before it stops; the best weights are kept. None trains all
    epochs."""
    clip: Above0 = 1.0
    """Largest norm of the gradient."""


Activation = Literal["relu", "leaky-relu", "prelu", "gelu", "sigmoid", "tanh"]


class Mlp(Learning):
    """Layers of a plain network on the prepared columns of a table."""

    type: Literal["mlp"] = "mlp"
    """What is fitted."""
    depth: Positive = 2
    """Hidden layers."""
    width: Positive = 128
    """Numbers per hidden layer."""
    activation: Activation = "relu"
    """What bends between layers."""


class Bert(Learning):
    """A pretrained encoder with a head for the labels (https://arxiv.org/abs/1810.04805); any encoder of transformers."""

    type: Literal["bert"] = "bert"
    """What is fitted."""
    tune: Literal["all", "frozen", "lora"] = "all"
    """Train every layer, only layers from ``freeze_below`` on, or low-rank adapters (LoRA) and the head."""
    freeze_below: Annotated[int, Field(ge=0)] | None = None
    """With ``frozen``: layers below this number, and the embeddings, stay as they are; None freezes all layers and trains the
    head."""
    rank: Positive = 8
    """With ``lora``: rank of the adapters."""
    max_length: Positive = 128
    """Longest text in tokens; longer ones are cut on the right and counted."""
    learning_rate: Above0 = 1e-4
    """Size of the first steps (AdamW). A head alone and adapters bear ten times as much, large encoders a fifth."""
    batch_size: Positive = 16
    """Rows per step."""
    epochs: Positive = 8
    """Passes over the training rows at most."""

    @model_validator(mode="after")
    def _layers_freeze_when_asked(self) -> Bert:
        """A layer that is named and not frozen would be a surprise."""
        if self.freeze_below is not None and self.tune != "frozen":
            raise ValueError(
                f"freeze_below: {self.freeze_below} freezes layers, and tune: {self.tune} does not. Set tune: frozen"
            )
        return self


class Words(Learning):
    """What networks that learn their words from the training rows share."""

    embedding: Positive = 128
    """Numbers per word."""
    vocabulary: Positive = 20_000
    """Most words that are known; the most frequent of the training rows. Scripts without blanks between words count letters."""
    min_rows: Positive = 2
    """A word that occurs in fewer training rows is not learned: it counts as unknown, and so the network learns what to make of
    unknown words."""
    max_length: Positive = 256
    """Longest text in words; longer ones are cut on the right and counted."""


class Recurrent(Words):
    """What LSTM and GRU share."""

    depth: Positive = 1
    """Layers."""
    width: Positive = 128
    """Numbers per direction and layer."""
    bidirectional: bool = True
    """Read texts from both ends."""
    activation: Activation = "tanh"
    """What bends before the head."""


class Lstm(Recurrent):
    """A long short-term memory network over words, from scratch (Hochreiter and Schmidhuber 1997)."""

    type: Literal["lstm"] = "lstm"
    """What is fitted."""


class Gru(Recurrent):
    """A gated recurrent network over words, from scratch (https://arxiv.org/abs/1406.1078)."""

    type: Literal["gru"] = "gru"
    """What is fitted."""


class TextCnn(Words):
    """Convolutions over words, from scratch (https://arxiv.org/abs/1408.5882)."""

    type: Literal["text-cnn"] = "text-cnn"
    """What is fitted."""
    widths: Annotated[list[Positive], Field(min_length=1)] = [3, 4, 5]
    """Words that each kind of filter sees at once."""
    filters: Positive = 100
    """Filters of each width."""
    activation: Activation = "relu"
    """What bends after each filter."""


class Pictures(Learning):
    """What networks on pictures share."""

    size: Positive = 64
    """Side in pixels to which pictures are scaled."""
    flip: bool = True
    """Augmentation: mirror half of the training pictures. Turn it off where left and right mean something, as in digits."""
    shift: Share = 0.1
    """Augmentation: move training pictures by up to this share of their side."""
    colour: Share = 0.1
    """Augmentation: change brightness, contrast and saturation by up to this share."""


class Pretrained(Pictures):
    """What networks with pretrained weights share."""

    pretrained: bool = True
    """Start from weights that have seen ImageNet: ``model`` names them; False starts from nothing."""
    tune: Literal["all", "head"] = "all"
    """Train every layer from the first epoch on, or the head, and stages of the network as ``unfreeze`` says."""
    unfreeze: list[Positive] = []
    """With ``head``: epochs at which one more stage of the network, from the last on, begins to train. Empty leaves it at the
    head. Early stopping counts from the last of them on."""
    body_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Pretrained layers learn at this share of ``learning_rate``, so that the new head does not spoil them."""

    @model_validator(mode="after")
    def _pictures_are_large_enough(self) -> Pretrained:
        """These networks halve the side five times."""
        if self.size < SMALLEST:
            raise ValueError(
                f"size: {self.size} pixels are too few for a network that halves them five times. "
                f"Set {SMALLEST} or more, or take classify/small-cnn"
            )
        return self

    @model_validator(mode="after")
    def _stages_come_in_time(self) -> Pretrained:
        """Epochs that never come would leave layers frozen without a word."""
        if self.unfreeze and self.tune == "all":
            raise ValueError("unfreeze begins with a frozen network, and tune: all freezes nothing. Set tune: head")
        if self.tune == "head" and not self.pretrained:
            raise ValueError("tune: head leaves the network as it is, and pretrained: false makes that random. Set tune: all")
        if self.unfreeze != sorted(set(self.unfreeze)):
            raise ValueError(f"unfreeze: {self.unfreeze} is not in rising order. Give epochs such as [2, 4]")
        if self.unfreeze and self.unfreeze[-1] > self.epochs:
            raise ValueError(f"unfreeze: {self.unfreeze[-1]} is beyond the {self.epochs} epochs, so that stage would never train")
        return self


class ResNet(Pretrained):
    """Residual networks (https://arxiv.org/abs/1512.03385) of timm."""

    type: Literal["resnet"] = "resnet"
    """What is fitted."""
    depth: Literal[18, 34, 50, 101] = 18
    """Layers."""
    activation: Activation | None = None
    """What bends between layers; None leaves the network's own."""


class MobileNet(Pretrained):
    """Small networks for small machines: MobileNet and EfficientNet-Lite (https://arxiv.org/abs/1905.11946) of timm."""

    type: Literal["mobilenet"] = "mobilenet"
    """What is fitted."""
    architecture: Literal["efficientnet-lite0", "mobilenetv2", "mobilenetv3-small", "mobilenetv3-large"] = "efficientnet-lite0"
    """Which of them."""
    activation: Activation | None = None
    """What bends between layers; None leaves the network's own."""


class SmallCnn(Pictures):
    """A few convolutions from scratch, for small pictures and few labels."""

    type: Literal["small-cnn"] = "small-cnn"
    """What is fitted."""
    depth: Positive = 3
    """Blocks of two convolutions, each half the side of the one before."""
    width: Positive = 32
    """Channels of the first block, doubled by each."""
    activation: Activation = "relu"
    """What bends between layers."""

    @model_validator(mode="after")
    def _sides_can_be_halved(self) -> SmallCnn:
        """Less than a pixel cannot be looked at."""
        if self.size >> self.depth < 1:
            raise ValueError(
                f"size: {self.size} pixels cannot be halved {self.depth} times (depth). "
                f"Set depth to {self.size.bit_length() - 1} at most, or size to {1 << self.depth}"
            )
        return self
