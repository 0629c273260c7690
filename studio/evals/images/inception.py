"""Inception-v3 as the 2015-12-05 TensorFlow graph computed it, which is what published Inception Scores and FIDs were made with.

Shapes: b pictures, h x w pixels, k classes (1,008).

Source: torch-fidelity 0.4 (`feature_extractor_inceptionv3.py`) and pytorch-fid, both Apache-2.0, whose converted weights this
module reads. Three things differ from torchvision's Inception-v3: average pools leave the padding out of the mean, the last block
pools by maximum, and pictures are resized as TensorFlow 1 did it (no half-pixel shift, no antialiasing).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from studio.core.errors import UserError
from studio.core.files import sha256_file
from studio.core.workspace import cache_folder

SIDE = 299
FEATURES = 2048
CLASSES = 1008
# The file's own name carries the start of its sha256, as torch.hub checks it.
REFERENCE_FILES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
REFERENCE_SHA256 = "6726825d"
WEIGHTS_VARIABLE = "STUDIO_INCEPTION_WEIGHTS"


def find_weights(chosen: str | Path | None = None) -> Path | None:
    """The weights file: the one asked for, else ``STUDIO_INCEPTION_WEIGHTS``, else the reference file in a cache; else None.

    Nothing is downloaded. The caches are the studio's own and torch.hub's, where torch-fidelity and pytorch-fid keep theirs.

    Raises:
        UserError: a file was asked for and does not exist.
    """
    asked = chosen or os.environ.get(WEIGHTS_VARIABLE)
    if asked:
        path = Path(asked).expanduser()
        if not path.is_file():
            place = "--inception-weights" if chosen else WEIGHTS_VARIABLE
            raise UserError(f"{place} names {asked}, which is no file. Give the path of {REFERENCE_FILES[0]}, or leave it out.")
        return path
    torch_home = Path(os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch")
    folders = (cache_folder() / "inception", torch_home.expanduser() / "hub" / "checkpoints")
    candidates = [folder / name for folder in folders for name in REFERENCE_FILES]
    return next((path for path in candidates if path.is_file()), None)


def is_reference(sha256: str) -> bool:
    """True for the hash of the weights that published scores were made with."""
    return sha256.startswith(REFERENCE_SHA256)


def load_inception(path: Path) -> tuple[InceptionV3, str]:
    """Read the network and its file's sha256, in evaluation mode and without gradients.

    A pickle is opened only when its hash is the reference's, and only for tensors; other weights come as safetensors.

    Raises:
        UserError: another pickle, a damaged file, or weights of another network.
    """
    sha256 = sha256_file(path)
    try:
        state = _read_state(path, sha256)
        # `meta` skips drawing 24 million start values that would be thrown away.
        with torch.device("meta"):
            network = InceptionV3()
        network.load_state_dict(state, strict=True, assign=True)
    except (RuntimeError, OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path} does not hold the Inception-v3 of the scores ({reason}). Use {REFERENCE_FILES[0]} of torch-fidelity."
        ) from error
    return network.eval().requires_grad_(False), sha256


def _read_state(path: Path, sha256: str) -> dict[str, Tensor]:
    """Named tensors of a weights file."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if not is_reference(sha256):
        raise UserError(
            f"{path} has sha256 {sha256[:8]}…, not {REFERENCE_SHA256}… of the reference Inception weights, and a pickle from "
            "elsewhere is not opened. Use the reference file, or save the tensors as .safetensors."
        )
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def resize_like_tensorflow(pictures: Tensor, side: int) -> Tensor:
    """Bilinear resize as TensorFlow 1 did with ``align_corners=False``: source place = target place x scale, no half-pixel shift.

    Args:
        pictures: float [b, 3, h, w].
    Returns:
        float [b, 3, side, side].
    Source: tensorflow/core/kernels/resize_bilinear_op.cc; torch-fidelity `interpolate_compat_tensorflow.py` ("slow").
    """
    top, bottom, down = _places(pictures.shape[2], side, pictures)
    left, right, across = _places(pictures.shape[3], side, pictures)
    # The upper and lower row, [b, 3, side, w], then across both.
    upper, lower = pictures[:, :, top], pictures[:, :, bottom]
    first = upper[..., left] + (upper[..., right] - upper[..., left]) * across
    second = lower[..., left] + (lower[..., right] - lower[..., left]) * across
    return first + (second - first) * down[:, None]


def _places(source: int, target: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each of ``target`` places: index below, index above, and how far between them it lies; each [target]."""
    places = torch.arange(target, dtype=like.dtype, device=like.device)
    places = places * torch.tensor(source / target, dtype=torch.float32, device=like.device)
    low = places.long()
    return low, (low + 1).clamp_max(source - 1), places - low.to(like.dtype)


class InceptionV3(nn.Module):
    """Pictures to pooled features and logits; the names of its parts are those of the weights file."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3)
        self.Mixed_5b = BlockA(192, pooled=32)
        self.Mixed_5c = BlockA(256, pooled=64)
        self.Mixed_5d = BlockA(288, pooled=64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(768, inner=128)
        self.Mixed_6c = BlockC(768, inner=160)
        self.Mixed_6d = BlockC(768, inner=160)
        self.Mixed_6e = BlockC(768, inner=192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b = BlockE(1280, pool_by_maximum=False)
        self.Mixed_7c = BlockE(2048, pool_by_maximum=True)
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits of a batch.

        Args:
            pictures: uint8 [b, 3, h, w], any size.
        Returns:
            features float [b, 2048]; logits float [b, 1008] without the bias, as the Inception Score takes them.
        """
        x = resize_like_tensorflow(pictures.to(self.fc.weight.dtype), SIDE)  # [b, 3, 299, 299]
        x = (x - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # [b, 64, 147, 147]
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))  # [b, 192, 71, 71]
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # [b, 288, 35, 35]
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # [b, 768, 17, 17]
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # [b, 2048, 8, 8]
        features = functional.adaptive_avg_pool2d(x, 1).flatten(1)  # [b, 2048]
        return features, features @ self.fc.weight.T


class Convolution(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, size: int | tuple[int, int], *, stride: int = 1, padding: int | tuple[int, int] = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """[b, inputs, h, w] -> [b, outputs, h', w']."""
        return functional.relu(self.bn(self.conv(x)), inplace=True)


def _mean_pool(x: Tensor) -> Tensor:
    """3 x 3 mean whose padding does not count, as in TensorFlow."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _chain(x: Tensor, parts: Sequence[nn.Module]) -> Tensor:
    """The parts one after another."""
    for part in parts:
        x = part(x)
    return x


class BlockA(nn.Module):
    """1x1, 5x5, double 3x3 and pooled branches at 35 x 35."""

    def __init__(self, inputs: int, *, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(inputs, 64, 1)
        self.branch5x5_1 = Convolution(inputs, 48, 1)
        self.branch5x5_2 = Convolution(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Convolution(inputs, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, padding=1)
        self.branch_pool = Convolution(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[b, inputs, 35, 35] -> [b, 224 + pooled, 35, 35]."""
        wide = _chain(x, (self.branch5x5_1, self.branch5x5_2))
        double = _chain(x, (self.branch3x3dbl_1, self.branch3x3dbl_2, self.branch3x3dbl_3))
        return torch.cat([self.branch1x1(x), wide, double, self.branch_pool(_mean_pool(x))], 1)


class BlockB(nn.Module):
    """From 35 x 35 to 17 x 17."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = Convolution(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1 = Convolution(inputs, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[b, inputs, 35, 35] -> [b, 480 + inputs, 17, 17]."""
        double = _chain(x, (self.branch3x3dbl_1, self.branch3x3dbl_2, self.branch3x3dbl_3))
        return torch.cat([self.branch3x3(x), double, functional.max_pool2d(x, 3, stride=2)], 1)


class BlockC(nn.Module):
    """7x7 convolutions taken apart into rows and columns, at 17 x 17."""

    def __init__(self, inputs: int, *, inner: int) -> None:
        super().__init__()

        def row(channels_in: int, channels_out: int) -> Convolution:
            return Convolution(channels_in, channels_out, (1, 7), padding=(0, 3))

        def column(channels_in: int, channels_out: int) -> Convolution:
            return Convolution(channels_in, channels_out, (7, 1), padding=(3, 0))

        self.branch1x1 = Convolution(inputs, 192, 1)
        self.branch7x7_1 = Convolution(inputs, inner, 1)
        self.branch7x7_2 = row(inner, inner)
        self.branch7x7_3 = column(inner, 192)
        self.branch7x7dbl_1 = Convolution(inputs, inner, 1)
        self.branch7x7dbl_2 = column(inner, inner)
        self.branch7x7dbl_3 = row(inner, inner)
        self.branch7x7dbl_4 = column(inner, inner)
        self.branch7x7dbl_5 = row(inner, 192)
        self.branch_pool = Convolution(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[b, inputs, 17, 17] -> [b, 768, 17, 17]."""
        single = _chain(x, (self.branch7x7_1, self.branch7x7_2, self.branch7x7_3))
        parts = (self.branch7x7dbl_1, self.branch7x7dbl_2, self.branch7x7dbl_3, self.branch7x7dbl_4, self.branch7x7dbl_5)
        return torch.cat([self.branch1x1(x), single, _chain(x, parts), self.branch_pool(_mean_pool(x))], 1)


class BlockD(nn.Module):
    """From 17 x 17 to 8 x 8."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1 = Convolution(inputs, 192, 1)
        self.branch3x3_2 = Convolution(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Convolution(inputs, 192, 1)
        self.branch7x7x3_2 = Convolution(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Convolution(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Convolution(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[b, inputs, 17, 17] -> [b, 512 + inputs, 8, 8]."""
        small = _chain(x, (self.branch3x3_1, self.branch3x3_2))
        large = _chain(x, (self.branch7x7x3_1, self.branch7x7x3_2, self.branch7x7x3_3, self.branch7x7x3_4))
        return torch.cat([small, large, functional.max_pool2d(x, 3, stride=2)], 1)


class BlockE(nn.Module):
    """Branches that fork into a row and a column, at 8 x 8. The graph's last block pools by maximum, the one before by mean."""

    def __init__(self, inputs: int, *, pool_by_maximum: bool) -> None:
        super().__init__()
        self.pool_by_maximum = pool_by_maximum
        self.branch1x1 = Convolution(inputs, 320, 1)
        self.branch3x3_1 = Convolution(inputs, 384, 1)
        self.branch3x3_2a = Convolution(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Convolution(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = Convolution(inputs, 448, 1)
        self.branch3x3dbl_2 = Convolution(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Convolution(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Convolution(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Convolution(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[b, inputs, 8, 8] -> [b, 2048, 8, 8]."""
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = functional.max_pool2d(x, 3, stride=1, padding=1) if self.pool_by_maximum else _mean_pool(x)
        forks = [self.branch3x3_2a(single), self.branch3x3_2b(single), self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([self.branch1x1(x), *forks, self.branch_pool(pooled)], 1)
