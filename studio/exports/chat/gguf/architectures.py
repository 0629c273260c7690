"""Which models GGUF can hold here: what each architecture's file says of itself, and how its weights lie in it.

An architecture is in the table once a model of it has been read back by llama.cpp with the same logits (tests/exports/chat/gguf).
Sources: llama.cpp's conversion scripts, and ``gguf.constants`` for the names of keys and tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Config = Mapping[str, Any]
"""``config.json`` of a model."""


@dataclass(frozen=True)
class Architecture:
    """One kind of model.

    name: in GGUF. interleaved: rotary halves of queries and keys lie interleaved in the file. shifted_norms: the file holds
    1 + weight of each norm. activation: the only one that llama.cpp computes. exact: in float32 its logits are the run's to 1e-3;
    not where ggml looks GELU up in a table of 16-bit numbers. windows: of how many layers in a row all but the
    last see a window only; 0 where every layer sees everything. check: what else it cannot hold, as the end of a sentence.
    """

    name: str
    interleaved: bool = False
    shifted_norms: bool = False
    activation: str = "silu"
    exact: bool = True
    windows: int = 0
    check: Callable[[Config], str | None] = lambda _config: None


def _own_scale(config: Config) -> str | None:
    """Gemma's attention is scaled by the width of a head in llama.cpp."""
    scale = config.get("query_pre_attn_scalar")
    return None if scale in {None, head_size(config)} else f"a query_pre_attn_scalar of {scale}"


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("llama", interleaved=True),
    "mistral": Architecture("llama", interleaved=True),
    "qwen2": Architecture("qwen2"),
    "qwen3": Architecture("qwen3"),
    "gemma2": Architecture(
        "gemma2", shifted_norms=True, activation="gelu_pytorch_tanh", exact=False, windows=2, check=_own_scale
    ),
    "gemma3_text": Architecture(
        "gemma3", shifted_norms=True, activation="gelu_pytorch_tanh", exact=False, windows=6, check=_own_scale
    ),
}
"""``model_type`` of transformers to how it is written."""
_ROPES = ("default", "llama3", "linear")


def architecture_of(config: Config, base: str) -> Architecture:
    """The architecture of a model, all of its settings looked at.

    Args:
        base: its name, for messages.
    Raises:
        UserError: it is not in the table, or has a setting that its GGUF cannot say.
    """
    kind = str(config.get("model_type"))
    if kind not in ARCHITECTURES:
        raise UserError(
            f"--to gguf cannot hold {base}: its architecture {kind!r} has not been proven. Proven are: "
            f"{', '.join(ARCHITECTURES)}. Export it with --to merged and convert it with llama.cpp's own script."
        )
    found = ARCHITECTURES[kind]
    if (reason := _unsayable(config, found)) is not None:
        raise UserError(f"--to gguf cannot hold {base}: {reason} cannot be said in GGUF for {kind}. Export it with --to merged.")
    return found


def _unsayable(config: Config, found: Architecture) -> str | None:
    """What a file of this architecture cannot say, None where it can say everything."""
    activation = config.get("hidden_act") or config.get("hidden_activation") or found.activation
    if activation != found.activation:
        return f"the activation {activation!r}"
    rope = _rope(config)
    if rope.get("rope_type", "default") not in _ROPES:
        return f"the rotary scaling {rope['rope_type']!r}"
    if config.get("partial_rotary_factor") not in {None, 1.0}:
        return "a rotation of a part of each head"
    if found.windows and config.get("layer_types") and list(config["layer_types"]) != _layers(config, found.windows):
        return "this order of layers with and without a window"
    if not found.windows and config.get("use_sliding_window"):
        return "a sliding window in some layers"
    return found.check(config)


def _layers(config: Config, every: int) -> list[str]:
    """Kinds of layers as llama.cpp takes them: the last of each group sees everything."""
    count = int(config["num_hidden_layers"])
    return ["full_attention" if (index + 1) % every == 0 else "sliding_attention" for index in range(count)]


def _rope(config: Config) -> Mapping[str, Any]:
    """Rotary settings, also of configurations written before transformers 5; of several kinds, those of full layers."""
    found: Mapping[str, Any] = config.get("rope_parameters") or {}
    if "full_attention" in found:
        found = found["full_attention"]
    if not found:
        old = config.get("rope_scaling") or {}
        found = {"rope_theta": config.get("rope_theta", 10000.0), **old}
        found = {"rope_type": old.get("type", "default"), **found}
    return found


def head_size(config: Config) -> int:
    """Numbers of one head."""
    return int(config.get("head_dim") or int(config["hidden_size"]) // int(config["num_attention_heads"]))


def context_length(config: Config) -> int:
    """Positions that the model knows; of Mistral those that lie in its window, beyond which its file would answer otherwise."""
    length = int(config["max_position_embeddings"])
    window = config.get("sliding_window") if config.get("model_type") == "mistral" else None
    return min(length, int(window)) if window else length


def describe(writer: Any, config: Config, found: Architecture) -> None:
    """Write the settings of a model into a ``gguf.GGUFWriter`` of its architecture."""
    rope, heads = _rope(config), int(config["num_attention_heads"])
    writer.add_context_length(context_length(config))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
    writer.add_rope_dimension_count(head_size(config))
    writer.add_key_length(head_size(config))
    writer.add_value_length(head_size(config))
    writer.add_vocab_size(int(config["vocab_size"]))
    if rope.get("rope_type") == "linear":
        from gguf import RopeScalingType

        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if found.windows:
        writer.add_sliding_window(int(config["sliding_window"]))
    if config.get("attn_logit_softcapping"):
        writer.add_attn_logit_softcapping(float(config["attn_logit_softcapping"]))
    if config.get("final_logit_softcapping"):
        writer.add_final_logit_softcapping(float(config["final_logit_softcapping"]))


def rope_factors(config: Config) -> NDArray[np.float32] | None:
    """By what each rotary frequency is divided, [head / 2], for Llama 3.1 and later; None where they are left as they are.

    Source: ``_compute_llama3_parameters`` of transformers; the file holds them as the tensor ``rope_freqs.weight``.
    """
    rope = _rope(config)
    if rope.get("rope_type") != "llama3":
        return None
    import numpy as np

    size, base, factor = head_size(config), float(rope["rope_theta"]), float(rope["factor"])
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    known = float(rope["original_max_position_embeddings"])
    found = []
    for index in range(0, size, 2):
        length = 2 * math.pi * base ** (index / size)
        smooth = (known / length - low) / (high - low)
        share = min(max(smooth, 0.0), 1.0)
        found.append(1 / ((1 - share) / factor + share))
    return np.array(found, dtype=np.float32)


def laid(name: str, weight: NDArray[np.float32], config: Config, found: Architecture) -> NDArray[np.float32]:
    """A weight as the file holds it.

    Args:
        name: in transformers. weight: [o, i] or [o].
    """
    if found.shifted_norms and name.endswith("norm.weight"):
        return weight + 1
    if found.interleaved and ".self_attn." in name:
        heads = int(config["num_attention_heads"])
        if ".q_proj." in name:
            return interleave(weight, heads)
        if ".k_proj." in name:
            return interleave(weight, int(config.get("num_key_value_heads") or heads))
    return weight


def interleave(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Outputs of each head from two halves to pairs, as llama.cpp rotates them: [heads * 2 * h, ...] of the same shape."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)
