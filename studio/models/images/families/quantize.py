"""4-bit and 8-bit frozen layers for tuning big image models (QLoRA, https://arxiv.org/abs/2305.14314), on GPUs and CPUs alike.

diffusers' own quantiser refuses machines without a GPU, so the layers are replaced here; what comes out is the same bitsandbytes
layer, which PEFT knows how to put adapters on.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from studio.core.extras import require


def quantize_blocks(network: Any, quantization: Literal["nf4", "int8"], *, dtype: torch.dtype, device: torch.device) -> None:
    """Replace every linear layer inside a network's blocks, one after the other; embeddings and the last layer stay exact.

    Args:
        dtype: number type of the arithmetic.
        device: where the quantised layers go, one by one, so that a GPU never holds the whole network unquantised.
    """
    bitsandbytes = require("bitsandbytes", feature=f"'quantization: {quantization}'")
    for name, layer in list(network.named_modules()):
        if not isinstance(layer, nn.Linear) or "block" not in name:
            continue
        bias = layer.bias is not None
        if quantization == "nf4":
            small = bitsandbytes.nn.Linear4bit(
                layer.in_features, layer.out_features, bias=bias, compute_dtype=dtype, quant_type="nf4", device="meta"
            )
            small.weight = bitsandbytes.nn.Params4bit(
                layer.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4", module=small
            )
        else:
            small = bitsandbytes.nn.Linear8bitLt(
                layer.in_features, layer.out_features, bias=bias, has_fp16_weights=False, device="meta"
            )
            small.weight = bitsandbytes.nn.Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
        if bias:
            small.bias = nn.Parameter(layer.bias.data, requires_grad=False)
        # The quantisation happens on the way to a device, also from the CPU to itself.
        network.set_submodule(name, small.to(device))
        del layer.weight  # frees it before the next layer comes
    # What PEFT asks for before it picks the kind of adapter layer.
    setattr(network, "is_loaded_in_4bit" if quantization == "nf4" else "is_loaded_in_8bit", True)
