"""Plain folders of a chat's run; the work itself is in ``studio/adapters/chat/merge.py`` and ``as_lora.py``."""

from __future__ import annotations

from pathlib import Path

from studio.core.telling import Pairs, Told, size_text
from studio.exports.forms import Export, Wishes


class Merged(Export):
    """One model folder: the adapter folded into the unquantised base."""

    models = "chat"
    kinds = ("chat",)
    takes = frozenset({"dtype"})
    what = "merged safetensors of a chat model"
    place = "merged/"

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Merge, prove that it is the same model, and say by how much it differs."""
        from studio.adapters.chat.merge import export_merged

        result = export_merged(run_folder, target, dtype=wishes.dtype or "float32")
        rows: list[tuple[str, object]] = [
            ("prompts compared", f"{result.prompts} ({result.prompts_from})"),
            ("largest logit difference to base + adapter", f"{result.max_difference:.1e} (at most 1e-03)"),
        ]
        if result.rounding_difference is not None:
            rows.append(("after rounding to bfloat16", f"{result.rounding_difference:.1e}"))
        if result.quantized_difference is not None and result.quantized_agreement is not None:
            rows.append(("to the quantised base + adapter it was trained as", f"{result.quantized_difference:.1e}"))
            rows.append(("same next token as there", f"{result.quantized_agreement:.1%} of positions"))
        written = f"Merged model written to {result.folder} ({size_text(result.bytes)}, {result.dtype})."
        return Told((written, Pairs(rows), f"\nServe it: vllm serve {result.folder}"), result)


class PlainLora(Export):
    """A PEFT folder that holds nothing but a LoRA."""

    models = "chat"
    kinds = ("chat",)
    takes = frozenset({"dtype", "rank"})
    what = "a plain LoRA of a DoRA, OFT, LoHa, LoKr or VeRA adapter"
    place = "lora/"

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Cut to a rank, and say what that loses."""
        from studio.adapters.chat.as_lora import export_lora

        result = export_lora(run_folder, target, rank=wishes.rank, dtype=wishes.dtype or "float32")
        rows: list[tuple[str, object]] = [
            (
                "lost of what the adapter adds",
                f"{result.residual:.2%} of its norm (most in {result.worst.layer}: {result.worst.residual:.2%})",
            ),
            (
                "largest logit difference to the run",
                f"{result.max_difference:.1e} on {result.prompts} prompts ({result.prompts_from})",
            ),
            ("same next token as the run", f"{result.agreement:.1%} of positions"),
            ("Kullback-Leibler divergence", f"{result.divergence:.1e} nats per token"),
        ]
        if result.perplexity is not None and result.perplexity_before is not None:
            figures = f"{result.perplexity:.3f}, as trained {result.perplexity_before:.3f} ({result.rows} rows)"
            rows.append(("perplexity on held-out answers", figures))
        size = f"{size_text(result.bytes)}, {result.dtype}"
        written = f"The {result.kind} adapter was written as a LoRA of rank {result.rank} to {result.folder} ({size})."
        flags = f"--enable-lora --max-lora-rank {result.served_rank} --lora-modules NAME={result.folder}"
        return Told((written, Pairs(rows), f"\nServe it: vllm serve BASE {flags}"), result)
