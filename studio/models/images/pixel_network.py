"""A small text-conditioned transformer that paints pixels, trained from scratch on a few hundred captioned pictures.

Legend: b pictures, r their side in pixels, p side of a patch, m = (r / p)^2 patches, w words of a caption, d width of a token,
k channels at full resolution, a attention heads.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import torch.utils.checkpoint
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders.peft import PeftAdapterMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

_FREQUENCIES = 128


class Block(nn.Module):
    """Attention over patches and words, then a feed-forward layer, both steered by time and caption (adaLN-zero).

    Source: DiT (arXiv 2212.09748), with normalised queries and keys (ViT-22B, arXiv 2302.05442).
    """

    def __init__(self, width: int, heads: int) -> None:
        """Both branches start closed: a new block changes nothing."""
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.steer = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.steer.weight)
        nn.init.zeros_(self.steer.bias)

    def forward(self, tokens: Tensor, steering: Tensor) -> Tensor:
        """Tokens [b, m + w, d] and steering [b, d] to tokens [b, m + w, d]."""
        scale1, move1, gate1, scale2, move2, gate2 = self.steer(steering)[:, None].chunk(6, dim=-1)  # each [b, 1, d]
        seen = _normal(tokens) * (1 + scale1) + move1
        tokens = tokens + gate1 * self.to_out(self._attend(seen))
        seen = _normal(tokens) * (1 + scale2) + move2
        result: Tensor = tokens + gate2 * self.down(functional.silu(self.up(seen)))
        return result

    def _attend(self, tokens: Tensor) -> Tensor:
        """Softmax attention [b, s, d]; on CPUs by plain products: the fused kernel takes 4 times as long backwards."""
        size = tokens.shape[-1] // self.heads
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, size)).transpose(1, 2) for layer in (self.to_q, self.to_k, self.to_v)
        )  # each [b, a, s, d / a]
        query, key = functional.rms_norm(query, (size,)), functional.rms_norm(key, (size,))
        if tokens.device.type == "cpu":
            weights = (query * size**-0.5) @ key.transpose(-1, -2)
            mixed: Tensor = weights.softmax(dim=-1).to(value.dtype) @ value
        else:
            mixed = functional.scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).flatten(2)


class PixelTransformer(ModelMixin, ConfigMixin, PeftAdapterMixin):  # type: ignore[misc]
    """Says what the clean picture is, given a noisy one, its noise level and the words of a caption.

    It answers with the picture, not with noise: pictures lie on a small manifold that a narrow network can describe, noise does
    not (Back to Basics, arXiv 2511.13720). Patches are joined by a convolution at full resolution on either side, without which
    their borders show.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["Block"]  # type: ignore[assignment]
    config: Any

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        resolution: int = 32,
        patch: int = 4,
        width: int = 256,
        depth: int = 6,
        heads: int = 4,
        channels: int = 32,
        max_words: int = 12,
        table_rows: int = 2048,
    ) -> None:
        """See :class:`studio.schema.diffusion.PixelNetwork`; ``table_rows`` is the size of the word table."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.gradient_checkpointing = False
        self.words = nn.Embedding(table_rows, width)
        nn.init.normal_(self.words.weight, std=0.5)
        self.word_places = nn.Parameter(0.02 * torch.randn(max_words, width))
        self.no_words = nn.Parameter(0.02 * torch.randn(width))
        self.time_in = nn.Sequential(nn.Linear(_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.caption_in = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.pixels_in = nn.Conv2d(3, channels, 3, padding=1)
        self.patches_in = nn.Conv2d(channels, width, patch, stride=patch)
        self.places = nn.Parameter(0.02 * torch.randn((resolution // patch) ** 2, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.steer_out = nn.Linear(width, 2 * width)
        self.patches_out = nn.Linear(width, channels * patch * patch)
        self.join = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.pixels_out = nn.Conv2d(channels, 3, 3, padding=1)
        for parameter in (*self.steer_out.parameters(), *self.pixels_out.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, pixels: Tensor, times: Tensor, word_rows: Tensor, word_mask: Tensor) -> Tensor:
        """The clean picture, [b, 3, r, r].

        Args:
            pixels: noisy, [b, 3, r, r].
            times: noise levels from 0 (clean) to 1, float [b].
            word_rows: int64 [b, w, hashes]; word_mask: bool [b, w].
        """
        side = pixels.shape[-1] // self.config.patch
        words = self.words(word_rows).sum(dim=2) * word_mask[..., None]  # [b, w, d]
        steering = functional.silu(self.time_in(_waves(times)) + self.caption_in(self._caption(words, word_mask)))  # [b, d]
        fine = functional.silu(self.pixels_in(pixels))  # [b, k, r, r]
        patches = self.patches_in(fine).flatten(2).transpose(1, 2)  # [b, m, d]
        patches = patches + self.places.to(patches.dtype)
        spoken = (words + self.word_places * word_mask[..., None]).to(patches.dtype)
        tokens = torch.cat([patches, spoken], dim=1)  # [b, m + w, d]
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = cast(Tensor, torch.utils.checkpoint.checkpoint(block, tokens, steering, use_reentrant=False))
            else:
                tokens = block(tokens, steering)
        scale, move = self.steer_out(steering)[:, None].chunk(2, dim=-1)
        patches = self.patches_out(_normal(tokens[:, : side * side]) * (1 + scale) + move)  # [b, m, k p p]
        coarse = _unpatch(patches, side, self.config.patch)  # [b, k, r, r]
        joined = functional.silu(self.join(torch.cat([coarse, fine.to(coarse.dtype)], dim=1)))
        return cast(Tensor, self.pixels_out(joined))

    def _caption(self, words: Tensor, mask: Tensor) -> Tensor:
        """Mean of the words [b, d]; a learned vector where there are none."""
        count = mask.sum(dim=1, keepdim=True)
        return torch.where(count > 0, words.sum(dim=1) / count.clamp(min=1), self.no_words)


def _normal(tokens: Tensor) -> Tensor:
    """Layer normalisation without weights of its own; the steering brings them."""
    return functional.layer_norm(tokens, tokens.shape[-1:])


def _waves(times: Tensor) -> Tensor:
    """Sines and cosines of the noise level, [b, 128]."""
    half = _FREQUENCIES // 2
    frequencies = 1000 * torch.exp(-math.log(10_000) * torch.arange(half, device=times.device) / half)
    angles = times.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _unpatch(patches: Tensor, side: int, patch: int) -> Tensor:
    """[b, side^2, k p p] to [b, k, side p, side p]."""
    count, _, inner = patches.shape
    channels = inner // patch**2
    tiles: Any = patches.view(count, side, side, channels, patch, patch)
    return cast(Tensor, tiles.permute(0, 3, 1, 4, 2, 5).reshape(count, channels, side * patch, side * patch))
