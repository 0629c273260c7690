"""The machine's matmul rate, and the size of the model that the share is counted for. Prints one JSON line.

Run it: ``python benchmarks/peers/matmul.py --model FOLDER --rank 16 [--seconds 4]``
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch

CUBE = 2048


def best_rate(dtype: torch.dtype, seconds: float) -> float:
    """Best FLOP/s of products of two 2048 x 2048 matrices, one after the other for some seconds."""
    a, b = torch.randn(CUBE, CUBE).to(dtype), torch.randn(CUBE, CUBE).to(dtype)
    out = torch.empty(CUBE, CUBE, dtype=dtype)
    for _ in range(3):
        torch.mm(a, b, out=out)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - started)
    return 2 * CUBE**3 / best


def sizes(model: str, rank: int) -> dict[str, int]:
    """Parameters that every token passes (no embeddings, no head; adapters of that rank included) and the head's."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model)
    with torch.device("meta"):
        base: Any = AutoModelForCausalLM.from_config(config)
        tuned = get_peft_model(base, LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))
    body = sum(parameter.numel() for parameter in tuned.get_base_model().get_decoder().parameters())
    return {
        "body_parameters": body - base.get_input_embeddings().weight.numel(),
        "head_parameters": base.get_output_embeddings().weight.numel(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    found: dict[str, float] = {}
    for name in ("float32", "bfloat16"):
        found[name] = best_rate(getattr(torch, name), options.seconds)
    print(json.dumps({"rates": found, **(sizes(options.model, options.rank) if options.model else {})}))


if __name__ == "__main__":
    main()
