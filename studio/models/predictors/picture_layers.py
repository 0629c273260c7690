"""Networks that look at pictures: a small one from scratch, and those of timm.

Legend: b pictures, s side in pixels, c channels, h and w the size of a map, d features of a picture, k labels.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from studio.models.predictors.networks import activation

TIMM_NAMES = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "efficientnet-lite0": "tf_efficientnet_lite0",
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3-small": "mobilenetv3_small_100",
    "mobilenetv3-large": "mobilenetv3_large_100",
}
"""Architectures of presets to timm's names."""
_TIMM_ACTIVATIONS = {"leaky-relu": "leaky_relu"}


class PictureNetwork(nn.Module):
    """Pictures to what speaks for each label, in two parts, so that explanations can look at the last maps."""

    head: nn.Module

    @abstractmethod
    def maps(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [b, 3, s, s] to the last maps [b, c, h, w]."""

    @abstractmethod
    def pooled(self, maps: Tensor) -> Tensor:
        """Maps [b, c, h, w] to features [b, d]."""

    def read(self, pixels: Tensor) -> Tensor:
        """Features [b, d] of pictures."""
        return self.pooled(self.maps(pixels))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits [b, k] of pictures."""
        logits: Tensor = self.head(self.read(pixels))
        return logits


class SmallCnn(PictureNetwork):
    """Blocks of two 3x3 convolutions with batch normalisation, each followed by halving the side; then the mean of each map."""

    def __init__(self, *, labels: int, depth: int, width: int, activation_name: str, dropout: float) -> None:
        """``width`` channels in the first of ``depth`` blocks, doubled by each."""
        super().__init__()
        blocks, before = [], 3
        for level in range(depth):
            after = width << level
            layers: list[nn.Module] = []
            for channels in (before, after):
                layers += [
                    nn.Conv2d(channels, after, 3, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    activation(activation_name),
                ]
            blocks.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
            before = after
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(before, labels))

    def maps(self, pixels: Tensor) -> Tensor:
        """See :meth:`PictureNetwork.maps`."""
        for block in self.blocks:
            pixels = block(pixels)
        return pixels

    def pooled(self, maps: Tensor) -> Tensor:
        """See :meth:`PictureNetwork.pooled`."""
        return maps.mean(dim=(2, 3))


class TimmNetwork(PictureNetwork):
    """A network of timm with a head of its own."""

    def __init__(self, *, architecture: str, labels: int, activation_name: str | None, dropout: float) -> None:
        """Random weights; ``architecture`` is a key of :data:`TIMM_NAMES`, ``activation_name`` None leaves the network's own."""
        super().__init__()
        import timm

        bent = {} if activation_name is None else {"act_layer": _TIMM_ACTIVATIONS.get(activation_name, activation_name)}
        self.body = timm.create_model(TIMM_NAMES[architecture], num_classes=0, **bent)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.body.head_hidden_size, labels))

    def maps(self, pixels: Tensor) -> Tensor:
        """See :meth:`PictureNetwork.maps`."""
        maps: Tensor = self.body.forward_features(pixels)
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        """See :meth:`PictureNetwork.pooled`."""
        features: Tensor = self.body.forward_head(maps, pre_logits=True)
        return features

    def stages(self) -> list[list[nn.Module]]:
        """What can be unfrozen one after the other, the last first: each group of blocks, then the first convolution.

        What lies behind the blocks goes with the last of them.
        """
        groups: list[list[nn.Module]] = [[]]
        for name, part in self.body.named_children():
            if name == "blocks":
                groups += [[block] for block in part]
            elif name.startswith("layer"):
                groups.append([part])
            else:
                groups[-1].append(part)
        return groups[::-1]


def build_picture_network(settings: dict[str, Any]) -> PictureNetwork:
    """A network with random weights, from its ``type`` and the arguments of its class; ``size``, ``mean`` and ``std`` are for
    who reads pictures.
    """
    plain = {name: value for name, value in settings.items() if name not in {"type", "size", "mean", "std"}}
    return SmallCnn(**plain) if settings["type"] == "small-cnn" else TimmNetwork(**plain)
