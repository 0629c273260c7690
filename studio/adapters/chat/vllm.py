"""Will a stock vLLM load what this preset makes of this base? Answered before training.

Source: vLLM 0.33, ``vllm/config/lora.py`` (ranks), ``vllm/lora/peft_helper.py`` (what it refuses) and ``lora_model.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from studio.adapters.chat.layers import Covered, unpacked
from studio.adapters.chat.vllm_models import READS_STACKED_EXPERTS, REFUSED_LAYERS, UNKNOWN, WITHOUT_ADAPTERS
from studio.schema.adapter import ChatAdapter

# Values that the server's --max-lora-rank accepts; it starts with 16.
MAX_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
DEFAULT_MAX_LORA_RANK = 16

_EMBEDDINGS = {"embed_tokens", "lm_head", "wte", "embed_in", "embed_out", "tok_embeddings", "output"}


def served_rank(adapter: ChatAdapter, start_rank: int = 0) -> int:
    """Rank of the adapter as it is saved: PiSSA and CorDA are converted to a plain LoRA of twice the rank, and that of a
    run which is trained on (``start_rank``) is joined with the new one.
    """
    return start_rank + adapter.lora.rank * (2 if adapter.lora.moves_base else 1)


def needed_max_lora_rank(adapter: ChatAdapter, start_rank: int = 0) -> int | None:
    """Smallest ``--max-lora-rank`` that covers the saved adapter; None where vLLM has none that large."""
    return next((limit for limit in MAX_LORA_RANKS if limit >= served_rank(adapter, start_rank)), None)


def stock_vllm_verdict(
    adapter: ChatAdapter,
    architecture: str | None = None,
    covered: Sequence[Covered] = (),
    layers: Collection[str] = (),
    *,
    start_rank: int = 0,
) -> list[str]:
    """Reasons why an unpatched vLLM will not load the result, each with what to change; empty means that it loads.

    Full tuning gives a plain model, which loads wherever vLLM knows the architecture. So does a merged export.

    Args:
        architecture: class of the base, as its ``config.json`` names it; None judges the preset alone.
        covered: what trains of it, by kind of layer.
        layers: last names of the layers that carry adapters, see :func:`studio.adapters.chat.layers.adapted_layers`.
        start_rank: of the adapter of the run that is trained on, 0 for a base.
    """
    if adapter.objective == "reward":
        return ["a reward model scores answers and writes none, and the studio serves models that write."]
    if architecture in UNKNOWN:
        return [f"vLLM has no class {architecture}, so it serves neither base nor result: use 'studio chat', or another base."]
    if adapter.method == "full":
        return []
    if adapter.method != "lora":
        return [
            f"method {adapter.method}: vLLM loads LoRA only: write it as one with 'studio export RUN --to lora', which tells "
            "what is lost, or merge it."
        ]
    lora = adapter.lora
    reasons = _by_architecture(architecture, covered, layers) if architecture else []
    rank = served_rank(adapter, start_rank)
    if needed_max_lora_rank(adapter, start_rank) is None:
        doubled = f" (lora.rank {lora.rank}, doubled because {lora.init} is saved as a plain LoRA)" if rank != lora.rank else ""
        joined = f" (lora.rank {lora.rank} joined with rank {start_rank} of the run it starts from)" if start_rank else doubled
        lower = f"lower lora.rank to {MAX_LORA_RANKS[-1] * lora.rank // rank} or less."
        if start_rank:
            lower = "merge the run first (studio export RUN --to merged) and give the merged folder as the model."
        reasons.append(f"rank {rank}{joined} is above {MAX_LORA_RANKS[-1]}, the largest that vLLM takes: {lower}")
    if lora.dora:
        reasons.append(
            "lora.dora: vLLM refuses DoRA: write it as a LoRA with 'studio export RUN --to lora', or set lora.dora=false."
        )
    if lora.bias != "none":
        reasons.append(f"lora.bias {lora.bias!r}: vLLM refuses trained biases: set lora.bias=none.")
    if lora.modules_to_save:
        reasons.append(
            f"lora.modules_to_save {', '.join(lora.modules_to_save)}: vLLM refuses layers saved whole: empty the list, or add a "
            "low-rank adapter to them with lora.target_modules."
        )
    if isinstance(lora.target_modules, list):
        embeddings = [name for name in lora.target_modules if name.rpartition(".")[2] in _EMBEDDINGS]
        if embeddings:
            reasons.append(
                f"lora.target_modules {', '.join(embeddings)}: vLLM loads adapters on embeddings and head for few architectures "
                "only: leave them out."
            )
    return reasons


def _by_architecture(architecture: str, covered: Sequence[Covered], layers: Collection[str]) -> list[str]:
    """Reasons that lie in the base's class: no adapters at all, or none on what this preset adapts."""
    if architecture in WITHOUT_ADAPTERS:
        return [f"vLLM's {architecture} takes no adapters: merge it into the base with 'studio export RUN --to merged'."]
    reasons = []
    if refused := REFUSED_LAYERS.get(architecture, frozenset()) & set(layers):
        reasons.append(
            f"vLLM's {architecture} refuses adapters on {', '.join(sorted(refused))}: name the other layers in "
            "lora.target_modules, or merge with 'studio export RUN --to merged'."
        )
    adapted = {each.kind for each in covered if each.adapted}
    if "experts" in adapted and architecture not in READS_STACKED_EXPERTS:
        reasons.append(
            f"vLLM's {architecture} asks for one adapter per expert, and PEFT stacks them: leave the experts out with "
            "lora.target_modules=attention, or merge with 'studio export RUN --to merged'."
        )
    if "vision" in adapted:
        reasons.append(
            "vLLM ignores adapters in the vision tower unless it is started with --enable-tower-connector-lora: leave its layers "
            "out of lora.target_modules."
        )
    return reasons


def serving_notes(adapter: ChatAdapter, reasons: Sequence[str] | None = None, *, start_rank: int = 0) -> list[str]:
    """What to know when serving it: the flags, and what vLLM does not take from the adapter's folder.

    Args:
        reasons: those of :func:`stock_vllm_verdict`; None takes the preset's own.
        start_rank: as there.
    """
    if reasons is None:
        reasons = stock_vllm_verdict(adapter, start_rank=start_rank)
    if any(reason.startswith("vLLM has no class") for reason in reasons):
        return []
    if adapter.method == "full":
        return ["Full tuning gives a plain model: serve the folder model/ itself."]
    if reasons:
        convertible = adapter.method != "lora" or adapter.lora.dora
        as_lora = "; as a plain LoRA, with what is lost measured: studio export RUN --to lora" if convertible else ""
        return [f"Not as an adapter. Merged it always loads: studio export RUN --to merged{as_lora}"]
    notes: list[str] = []
    limit = needed_max_lora_rank(adapter, start_rank)
    twice = f", twice lora.rank because {adapter.lora.init} is saved as a plain LoRA"
    doubled = twice if served_rank(adapter) != adapter.lora.rank else ""
    doubled = f", lora.rank and rank {start_rank} of the run it starts from" if start_rank else doubled
    flag = f" --max-lora-rank {limit}" if limit != DEFAULT_MAX_LORA_RANK else ""
    notes.append(f"vllm serve BASE --enable-lora{flag} (rank {served_rank(adapter, start_rank)}{doubled}).")
    if adapter.quantization != "none":
        notes.append(
            f"Trained on a base in {adapter.quantization}, served on the unquantised one: answers differ slightly. "
            "'studio export RUN --to merged' measures by how much."
        )
    notes.append("vLLM ignores the adapter folder's chat template: give it the run's with --chat-template chat_template.jinja.")
    return notes


def expert_notes(adapter: ChatAdapter, covered: list[Covered]) -> list[str]:
    """What to know where a model has stacked experts: what quantisation leaves, and that servers differ in what they read."""
    notes = [note for note in [unpacked(covered, adapter.quantization)] if note]
    if adapter.method == "lora" and any(each.kind == "experts" and each.adapted for each in covered):
        notes.append(
            "The experts' adapters are stacked as PEFT writes them: 'studio serve' compares answers before it opens, and "
            "'studio export RUN --to merged' loads in any case."
        )
    return notes
