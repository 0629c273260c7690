"""How much memory a served model takes: weights, cache of keys and values, and what is allowed for the rest.

Weights and cache are counted from the model's own files. What the processes take besides is an allowance, named as one in the
README: the CUDA context is the plan's figure (``studio.train.plan_baseline``), the rest was seen with vLLM's CPU build.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.train.plan_baseline import ASSUMED_CUDA_CONTEXT

GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}
# vLLM's three processes (HTTP server, engine, worker) took 3.3 GiB of memory of their own with the CPU build 0.32.0, 0.5 GiB of
# weights and a cache of 1 GiB among them (tests/deploy/test_live.py prints it); CUDA's libraries are larger. Rounded up.
_PROCESSES = 4 * GIB
# Activations of a batch and vLLM's graphs, on the GPU.
_ACTIVATIONS = 2 * GIB


@dataclass(frozen=True)
class Figures:
    """Bytes. weights: in the number type that is served. files: of the weights on disk. per_token: of the cache, for one token.

    context: tokens of the longest conversation. build: cpu or cuda. cache: bytes of the CPU build's cache.
    """

    weights: int
    files: int
    per_token: int
    context: int
    build: str
    cache: int

    @property
    def gpu(self) -> int:
        """Least memory of the GPUs together: weights, the cache of one longest conversation, activations, context."""
        return self.weights + self.per_token * self.context + _ACTIVATIONS + ASSUMED_CUDA_CONTEXT

    @property
    def memory(self) -> int:
        """Memory of the machine for the server's container."""
        if self.build == "cpu":
            return self.weights + self.cache + _PROCESSES
        return self.files + _PROCESSES

    @property
    def memory_gib(self) -> int:
        """The same in whole GiB, rounded up."""
        return math.ceil(self.memory / GIB)

    @property
    def gpu_gib(self) -> int:
        """GPU memory in whole GiB, rounded up."""
        return math.ceil(self.gpu / GIB)

    @property
    def storage_gib(self) -> int:
        """Room for the model's files in whole GiB, with a quarter to spare."""
        return max(1, math.ceil(self.files * 1.25 / GIB))


def read_model_config(model: Path) -> dict[str, Any]:
    """``config.json`` of a model folder.

    Raises:
        StudioError: the folder is not a model's.
    """
    try:
        found: dict[str, Any] = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudioError(
            f"{model} has no readable config.json ({error}). Export it again: studio export RUN --to merged"
        ) from error
    return found


def context_of(config: dict[str, Any]) -> int:
    """Tokens that a model sees at once."""
    return int(_text(config).get("max_position_embeddings") or 4096)


def figures_of(model: Path, *, dtype: str, build: str, cpu_cache_gib: float, max_model_len: int | None) -> Figures:
    """Count a model folder.

    Args:
        dtype: number type that is served. max_model_len: the server's own limit of a conversation, in tokens.
    Raises:
        StudioError: the folder is not a model's.
    """
    config = read_model_config(model)
    shards = sorted(model.glob("*.safetensors"))
    width = _BYTES.get(dtype, 2)
    longest = context_of(config)
    return Figures(
        weights=sum(_numbers(shard) for shard in shards) * width,
        files=sum(shard.stat().st_size for shard in shards),
        per_token=_cache_per_token(config, width),
        context=min(longest, max_model_len or longest),
        build=build,
        cache=round(cpu_cache_gib * GIB),
    )


def _text(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that describes the language model."""
    return config.get("text_config") or config


def _cache_per_token(config: dict[str, Any], width: int) -> int:
    """Bytes of keys and values of one token: 2 x layers x heads of keys x width of a head. Sliding windows take less."""
    text = _text(config)
    layers = int(text.get("num_hidden_layers") or text.get("n_layer") or 0)
    heads = int(text.get("num_attention_heads") or text.get("n_head") or 1)
    hidden = int(text.get("hidden_size") or text.get("n_embd") or 0)
    size = int(text.get("head_dim") or hidden // heads)
    return 2 * layers * int(text.get("num_key_value_heads") or heads) * size * width


def _numbers(shard: Path) -> int:
    """How many numbers a safetensors file holds, from its header."""
    with shard.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
