"""Plain folders of a chat's run; the work itself is in ``studio/adapters/chat/merge.py`` and ``as_lora.py``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.files import folder_size
from studio.core.telling import Told
from studio.exports.forms import Export, Wishes

# Help texts are made of forms, and these import nothing heavy.
if TYPE_CHECKING:
    from studio.adapters.chat.as_lora import LoraExport
    from studio.adapters.chat.merge import ExportResult
    from studio.models.exported import ExportRecord


class Merged(Export):
    """One model folder: the adapter folded into the unquantised base."""

    models = "chat"
    kinds = ("chat",)
    takes = frozenset({"dtype"})
    what = "merged safetensors of a chat model"
    place = "merged/"

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Merge, prove that it is the same model, and say by how much it differs."""
        from studio.adapters.chat.merge import LIMIT, write_merged
        from studio.exports.writing import finish_export, new_export, told

        with new_export(target) as folder:
            result = write_merged(run_folder, folder, dtype=wishes.dtype or "float32")
            names = (
                "prompts",
                "prompts_from",
                "max_difference",
                "rounding_difference",
                "quantized_difference",
                "quantized_agreement",
            )
            record = _record(run_folder, "merged", ("transformers", "torch", "peft"), result, names, {"max_difference": LIMIT})
            words = words_of_merging(result)
            finish_export(folder, record, words, "```sh\nvllm serve THIS_FOLDER\n```\n\ntransformers opens it as any model.")
            size = folder_size(folder)
        return told(run_folder, target, record, words, size, f"vllm serve {target}")


class PlainLora(Export):
    """A PEFT folder that holds nothing but a LoRA."""

    models = "chat"
    kinds = ("chat",)
    takes = frozenset({"dtype", "rank"})
    what = "a plain LoRA of a DoRA, OFT, LoHa, LoKr or VeRA adapter"
    place = "lora/"

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Cut to a rank, and say what that loses."""
        from studio.adapters.chat.as_lora import write_lora
        from studio.exports.writing import finish_export, new_export, told

        with new_export(target) as folder:
            result = write_lora(run_folder, folder, rank=wishes.rank, dtype=wishes.dtype or "float32")
            names = ("rank", "residual", "prompts", "prompts_from", "max_difference", "divergence", "agreement")
            record = _record(
                run_folder,
                "lora",
                ("peft", "transformers", "torch"),
                result,
                (*names, "rows", "perplexity", "perplexity_before"),
                {},
            )
            words = words_of_cutting(result)
            flags = f"--enable-lora --max-lora-rank {result.served_rank} --lora-modules NAME="
            use = (
                f"```sh\nvllm serve BASE {flags}THIS_FOLDER\n```\n\nIt is a {result.kind} adapter cut to rank {result.rank}, and "
                "not the same model as the run. What each layer loses is in `residuals.json`."
            )
            finish_export(folder, record, words, use)
            size = folder_size(folder)
        return told(run_folder, target, record, words, size, f"vllm serve BASE {flags}{target}")


def _record(
    run_folder: Path, form: str, packages: tuple[str, ...], result: Any, names: tuple[str, ...], limits: dict[str, float]
) -> ExportRecord:
    """The record of a folder of safetensors; the first package reads it. names: figures of the proof."""
    from studio.exports.writing import described, versions_of
    from studio.models.exported import ExportRecord

    versions = versions_of(*packages)
    return ExportRecord(
        form=form,
        kind="chat",
        run=described(run_folder),
        runtime=f"{packages[0]} {versions[packages[0]]}",
        proof={name: getattr(result, name) for name in names},
        limits=limits,
        versions=versions,
        extra={"dtype": result.dtype},
    )


def words_of_merging(result: ExportResult) -> list[tuple[str, str]]:
    """The proof of a merged model for people."""
    words = [
        ("numbers", result.dtype),
        ("prompts compared", f"{result.prompts} ({result.prompts_from})"),
        ("largest logit difference to base + adapter", f"{result.max_difference:.1e} (at most 1e-03)"),
    ]
    if result.rounding_difference is not None:
        words.append(("after rounding to bfloat16", f"{result.rounding_difference:.1e}"))
    if result.quantized_difference is not None and result.quantized_agreement is not None:
        words.append(("to the quantised base + adapter it was trained as", f"{result.quantized_difference:.1e}"))
        words.append(("same next token as there", f"{result.quantized_agreement:.1%} of positions"))
    return words


def words_of_cutting(result: LoraExport) -> list[tuple[str, str]]:
    """What an adapter lost as a LoRA, for people."""
    lost = f"{result.residual:.2%} of its norm (most in {result.worst.layer}: {result.worst.residual:.2%})"
    differs = f"{result.max_difference:.1e} on {result.prompts} prompts ({result.prompts_from})"
    words = [
        ("adapter", f"{result.kind}, as a LoRA of rank {result.rank}, {result.dtype}"),
        ("lost of what the adapter adds", lost),
        ("largest logit difference to the run", differs),
        ("same next token as the run", f"{result.agreement:.1%} of positions"),
        ("Kullback-Leibler divergence", f"{result.divergence:.1e} nats per token"),
    ]
    if result.perplexity is not None and result.perplexity_before is not None:
        figures = f"{result.perplexity:.3f}, as trained {result.perplexity_before:.3f} ({result.rows} rows)"
        words.append(("perplexity on held-out answers", figures))
    return words
