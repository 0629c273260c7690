"""Settings of the adapters that are no LoRA, and which settings of a preset go with which adapter."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from studio.schema.loading import Settings

Method = Literal["lora", "full", "oft", "loha", "lokr", "vera"]
OTHER_ADAPTERS = ("oft", "loha", "lokr", "vera")
"""Methods that train an adapter other than LoRA, each with a block of settings of its name."""
# PEFT multiplies with the weight's own shape in them, which a packed base does not have.
_UNPACKED = frozenset({"loha", "lokr"})


class TargetedSettings(Settings):
    """What all adapters have."""

    target_modules: Literal["all-linear", "attention"] | list[str] = "all-linear"
    """Which layers get an adapter: every linear layer but the head, the attention projections, or names as in the model."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout while training: of inputs (VeRA), of what is added to outputs (LoHa, LoKr), or of whole blocks (OFT)."""


class OftSettings(TargetedSettings):
    """Orthogonal fine-tuning: each layer's inputs are rotated in blocks (https://arxiv.org/abs/2306.07280)."""

    block_size: Annotated[int, Field(gt=1)] = 32
    """Inputs that are rotated together; must divide the inputs of every adapted layer. Larger trains more numbers."""


class LohaSettings(TargetedSettings):
    """The element-wise product of two low-rank updates (https://arxiv.org/abs/2108.06098)."""

    rank: Annotated[int, Field(gt=0)] = 8
    """Rank r of each of the two; their product can have rank r * r."""
    alpha: Annotated[float, Field(gt=0)] = 16
    """Scale: the update is multiplied by alpha / rank."""


class LokrSettings(TargetedSettings):
    """A Kronecker product of two small matrices (https://arxiv.org/abs/2309.14859)."""

    rank: Annotated[int, Field(gt=0)] = 8
    """Rank of the second matrix where it is large enough to be split; small ones train whole."""
    alpha: Annotated[float, Field(gt=0)] = 16
    """Scale: where a matrix is split, the update is multiplied by alpha / rank."""
    factor: Annotated[int, Field(gt=0)] | None = None
    """Side of the first matrix; None makes both as square as can be."""
    decompose_both: bool = False
    """Split the first matrix into ranks too."""


class VeraSettings(TargetedSettings):
    """Two vectors per layer around random matrices that all layers share (https://arxiv.org/abs/2310.11454)."""

    rank: Annotated[int, Field(gt=0)] = 256
    """Rank of the shared random matrices, which do not train; they are saved with the adapter, for random numbers differ from
    machine to machine."""
    d_initial: Annotated[float, Field(gt=0)] = 0.1
    """Start value of the vector between the two matrices."""


def refuse_method(method: str, blocks: dict[str, Any], *, quantization: str, loraplus: bool) -> None:
    """Refuse settings that have no meaning with a method.

    Args:
        blocks: the block of settings of each adapter, by the name of its method.
        loraplus: the B matrices are to learn faster.
    Raises:
        ValueError: one sentence with the remedy.
    """
    for name, block in blocks.items():
        if name != method and block != type(block)():
            raise ValueError(f"'{name}' has no meaning with 'method: {method}'. Remove it, or use 'method: {name}'.")
    if method == "full" and quantization != "none":
        raise ValueError("full tuning cannot train quantised weights. Use 'method: lora' or 'quantization: none'.")
    if method in _UNPACKED and quantization != "none":
        raise ValueError(
            f"'method: {method}' cannot be used on a base in {quantization}. Use lora, oft or vera, or 'quantization: none'."
        )
    if method != "lora" and loraplus:
        raise ValueError("'loraplus_ratio' needs 'method: lora'. Remove it or change the method.")
