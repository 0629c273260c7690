"""Llama-3-8B's shape on one GPU: tokens per second, share of the card's peak and memory of bfloat16 LoRA and of QLoRA.

    python benchmarks/gpu_llama.py [--sequences 1] [--steps 20] [--checkpointing] [--json] [--write-docs]

LoRA r16 on all linear layers, rows packed to 4,096 tokens, every token a target. The weights are random (neither time nor memory
depends on them) and built on the card; everything after that is the studio's own: its adapters, trainer, loss, packing and
compiled layers. Without a CUDA GPU it says so, measures nothing and exits 0. Exits 1 when LoRA misses the figures to beat on an
H100 (NVIDIA NeMo AutoModel: 12,473 tokens/s, 40.6% of peak at 4 FLOP per parameter and token).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import docs

Method = Literal["lora", "qlora"]

LENGTH, ROWS_PER_SEQUENCE, WARM_UP = 4096, 4, 4
TO_BEAT_TOKENS, TO_BEAT_SHARE = 12_473, 0.406

# Dense bfloat16 FLOP/s with float32 sums, from NVIDIA's data sheets; the first name found in the card's name counts.
PEAKS = {
    "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12,
    "A100": 312e12, "L40S": 362e12, "A10": 125e12, "4090": 165e12, "5090": 210e12,
}  # fmt: skip

LLAMA_3_8B: dict[str, Any] = {
    "vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192, "rope_theta": 500_000.0,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "use_cache": False,
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One way of tuning. step: median seconds after the warm-up; memory: most bytes PyTorch had allocated (0 on a CPU)."""

    method: str
    parameters: int
    tokens_per_step: int
    step: float
    memory: int
    losses: list[float]

    @property
    def tokens_per_second(self) -> float:
        """All tokens that went through the model."""
        return self.tokens_per_step / self.step

    @property
    def flops(self) -> float:
        """FLOP/s at 4 per parameter and token, embeddings and adapters counted, as the figure to beat is counted."""
        return 4 * self.parameters * self.tokens_per_second


def build_model(shape: dict[str, Any], method: Method, device: Any) -> Any:
    """A Llama of that shape with random bfloat16 weights on the device, its linear layers in nf4 for QLoRA."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device(device):
        model: Any = LlamaForCausalLM._from_config(LlamaConfig(**shape), dtype=torch.bfloat16)
    if method == "qlora":
        _quantise(model)
    return model


def _quantise(model: Any) -> None:
    """Replace every linear layer but the head by bitsandbytes' nf4 layer with double quantisation, one after the other."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, layer in list(model.named_modules()):
        if not isinstance(layer, torch.nn.Linear) or name == "lm_head":
            continue
        device = layer.weight.device
        small = Linear4bit(
            layer.in_features, layer.out_features, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4", device="meta"
        )
        small.weight = Params4bit(
            layer.weight.data.cpu(), requires_grad=False, compress_statistics=True, quant_type="nf4", module=small
        )
        model.set_submodule(name, small.to(device))
        layer.weight = None  # frees the card before the next layer comes
    model.is_loaded_in_4bit = True  # what PEFT and the Trainer ask for


def packed_rows(shape: dict[str, Any], sequences: int, length: int) -> list[Any]:
    """Rows of random words, four of which fill a sequence, every token a target."""
    import torch

    from studio.models.chat.encoding import EncodedRow

    generator = torch.Generator().manual_seed(0)
    size = length // ROWS_PER_SEQUENCE
    rows = []
    for _ in range(sequences * ROWS_PER_SEQUENCE):
        ids = torch.randint(0, shape["vocab_size"], (size,), generator=generator).tolist()
        rows.append(EncodedRow(ids, [True] * size, [size - 1], 1, size))
    return rows


def measure(
    method: Method,
    tokenizer: Any,
    *,
    shape: dict[str, Any] = LLAMA_3_8B,
    length: int = LENGTH,
    sequences: int = 1,
    steps: int = 20,
    checkpointing: bool = False,
) -> Measured:
    """Train some steps with the studio's trainer and time them.

    Args:
        tokenizer: only its padding token is used.
        length: tokens of a packed sequence.
        sequences: of them in an optimizer step.
        steps: timed steps, after :data:`WARM_UP` others (the first compiles).
    """
    import torch

    from studio.adapters.chat.attach import attach_lora
    from studio.models.device import pick_device
    from studio.schema.adapter import ChatAdapter, LoraSettings
    from studio.train.chat.probe import step_clock
    from studio.train.chat.run import _compile_layers
    from studio.train.chat.settings import trainer_settings, uses_compile
    from studio.train.chat.trainer import ChatTrainer

    device, dtype, total = pick_device(), torch.bfloat16, WARM_UP + steps
    quantized = method == "qlora"
    adapter = ChatAdapter(
        kind="chat",
        dtype="bfloat16",
        quantization="nf4" if quantized else "none",
        lora=LoraSettings(rank=16, alpha=32),
        packing=True,
        max_length=length,
        batch_size=sequences,
        gradient_checkpointing=checkpointing,
        save_every=100_000,
        eval_every=100_000,
    )
    model: Any = build_model(shape, method, device)
    parameters = shape_parameters(shape)
    model = attach_lora(model, adapter.lora, quantized=quantized, gradient_checkpointing=checkpointing)
    parameters += sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if uses_compile(adapter, device):
        _compile_layers(model.get_base_model(), dynamic=False)
    rows = packed_rows(shape, sequences, length)
    packed = [list(range(start, start + ROWS_PER_SEQUENCE)) for start in range(0, len(rows), ROWS_PER_SEQUENCE)]
    clock = step_clock()
    with tempfile.TemporaryDirectory(prefix="gpu-benchmark-") as folder:
        arguments = trainer_settings(
            adapter,
            Path(folder),
            device=device,
            dtype=dtype,
            steps=total,
            steps_per_epoch=total,
            processes=1,
            validation=False,
        )
        arguments.save_strategy = "no"
        trainer = ChatTrainer(
            model=model.train(),
            args=arguments,
            tokenizer=tokenizer,
            rows=rows,
            sequences=packed,
            windows=[list(range(sequences))] * total,
            validation=[],
            packed=True,
            keep_checkpoints=1,
            loraplus_ratio=None,
            callbacks=[clock],
        )
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    losses = [float(line["loss"]) for line in trainer.state.log_history if "loss" in line]
    return Measured(method, parameters, sequences * length, statistics.median(clock.seconds[WARM_UP:]), memory, losses)


def shape_parameters(shape: dict[str, Any]) -> int:
    """Parameters of the shape before anything is quantised, embeddings and head counted."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in LlamaForCausalLM(LlamaConfig(**shape)).parameters())


def plain_tokenizer() -> Any:
    """A tokenizer of one word; the rows are ids already."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<pad>", unk_token="<pad>")


def peak_of(card: str) -> float | None:
    """Data-sheet peak of a card in FLOP/s, None for one that is not in the table."""
    return next((peak for name, peak in PEAKS.items() if name in card), None)


def table(results: list[Measured], card: str) -> str:
    """One row per way of tuning."""
    peak = peak_of(card)
    lines = ["| method | tokens/s | step | TFLOP/s at 4N | share of peak | memory |", "|---|---:|---:|---:|---:|---:|"]
    for result in results:
        share = f"{result.flops / peak:.1%}" if peak else "peak unknown"
        lines.append(
            f"| {result.method} | {result.tokens_per_second:,.0f} | {result.step:.3f} s | {result.flops / 1e12:.0f} | {share} | "
            f"{result.memory / 1e9:.1f} GB |"
        )
    known = f" ({peak / 1e12:.0f} TFLOP/s dense bfloat16)" if peak else ""
    lines.append(
        f"\n{card}{known}. Packed {LENGTH:,}, LoRA r16 on all linear layers, every token a target, random weights. N counts all "
        f"parameters and adapters. To beat: {TO_BEAT_TOKENS:,} tokens/s and {TO_BEAT_SHARE:.1%} with bfloat16 LoRA on one H100."
    )
    return "\n".join(lines)


def main() -> int:
    """Measure both ways on the first GPU, or say that there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=1, help="packed sequences in a step")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations")
    parser.add_argument("--only", choices=["lora", "qlora"])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    docs.add_option(parser)
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        text = (
            "Not measured: this machine has no CUDA GPU. To beat: "
            f"{TO_BEAT_TOKENS:,} tokens/s and {TO_BEAT_SHARE:.1%} of peak with bfloat16 LoRA r16, packed 4,096, on one H100.\n\n"
            "| method | tokens/s | share of peak | memory |\n|---|---:|---:|---:|\n"
            "| lora | not measured | | |\n| qlora | not measured | | |"
        )
        print(json.dumps({"measured": False, "reason": "no CUDA GPU"}) if options.json else text)
        if options.write_docs:
            docs.write_section("gpu-llama", text)
        return 0
    card = torch.cuda.get_device_name(0)
    results = []
    methods: list[Method] = [options.only] if options.only else ["lora", "qlora"]
    for method in methods:
        results.append(
            measure(
                method, plain_tokenizer(), sequences=options.sequences, steps=options.steps, checkpointing=options.checkpointing
            )
        )
        torch.cuda.empty_cache()
    text = table(results, card)
    if options.json:
        print(json.dumps({"measured": True, "card": card, "results": [asdict(result) for result in results]}, indent=2))
    else:
        print(text)
    if options.write_docs:
        docs.write_section("gpu-llama", text)
    lora = next((result for result in results if result.method == "lora"), None)
    if lora is None or "H100" not in card:
        return 0
    return 0 if lora.tokens_per_second >= TO_BEAT_TOKENS and lora.flops / (peak_of(card) or 1) >= TO_BEAT_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
