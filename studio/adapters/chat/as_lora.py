"""A Run's adapter as a plain LoRA, for servers that load no other: cut to a rank, and what that loses is measured.

Legend: o outputs and i inputs of a layer, r rank, v vocabulary. D [o, i] is what the adapter adds to a layer's weight; it becomes
B A with B [o, r] and A [r, i], the closest of that rank (Eckart and Young, 1936).
"""

from __future__ import annotations

import gc
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from studio.adapters.chat.held_out import held_out_loss, held_out_rows
from studio.adapters.chat.loading import ADAPTER_WEIGHTS, LoadedRun, load_run
from studio.adapters.chat.merge import agreement, comparison_prompts, largest, prompt_logits
from studio.adapters.chat.vllm import MAX_LORA_RANKS
from studio.core.errors import UserError
from studio.core.files import folder_size, new_folder, write_json
from studio.core.workspace import read_run
from studio.models.chat.loading import load_causal_lm

# Without a wish the rank is the smallest that vLLM takes which keeps this share of the squares of D over all layers.
KEPT = 0.99
LARGEST = 256
RESIDUALS = "residuals.json"


@dataclass(frozen=True)
class LayerResidual:
    """What one layer loses: the norm of D - B A as a share of the norm of D."""

    layer: str
    residual: float


@dataclass(frozen=True)
class LoraExport:
    """An adapter written as a plain LoRA.

    kind: what it was: dora, oft, loha, lokr, vera.
    residual: norm of all that is lost as a share of the norm of all D; worst: the layer that loses most.
    max_difference: largest absolute difference of a logit to the run on ``prompts`` prompts, in float32.
    divergence: mean Kullback-Leibler divergence of the next-token distributions there, in nats.
    agreement: share of positions with the same most likely token.
    perplexity, perplexity_before: of ``rows`` held-out rows' answers with this LoRA and with the run; None without such rows.
    """

    folder: Path
    kind: str
    rank: int
    dtype: str
    layers: list[LayerResidual]
    residual: float
    worst: LayerResidual
    prompts: int
    prompts_from: str
    max_difference: float
    divergence: float
    agreement: float
    rows: int
    perplexity_before: float | None
    perplexity: float | None
    bytes: int

    @property
    def served_rank(self) -> int:
        """Smallest ``--max-lora-rank`` of vLLM that covers it; its own where none does."""
        return next((limit for limit in MAX_LORA_RANKS if limit >= self.rank), self.rank)


@dataclass(frozen=True)
class _Factors:
    """D's best factors, ``b`` [o, k] and ``a`` [k, i], for the largest rank k asked for; ``squares`` of all singular values."""

    b: Tensor
    a: Tensor
    squares: Tensor


def export_lora(
    run_folder: Path,
    target: Path,
    *,
    rank: int | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
    device: torch.device | None = None,
) -> LoraExport:
    """Write a DoRA, OFT, LoHa, LoKr or VeRA adapter as a plain LoRA and measure what is lost.

    Args:
        target: must not exist.
    Raises:
        UserError: the target exists. Others as :func:`write_lora`.
    """
    with new_folder(target.expanduser()) as partial:
        result = write_lora(run_folder, partial, rank=rank, dtype=dtype, device=device)
    return replace(result, folder=target)


def write_lora(
    run_folder: Path,
    folder: Path,
    *,
    rank: int | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
    device: torch.device | None = None,
) -> LoraExport:
    """The same into an empty folder that is there, which the caller puts into view.

    Args:
        rank: None takes the smallest of vLLM's ranks that keeps 99% of the squares of what the adapters add, 256 at most.
    Raises:
        UserError: the run has no such adapter, or the rank is larger than a layer.
    """
    kind = _convertible(run_folder)
    run = load_run(run_folder, dtype=torch.float32, device=device, quantization="none")
    config = run.model.peft_config["default"]
    prompts, source = comparison_prompts(run)
    rows = held_out_rows(run)
    before, loss_before = prompt_logits(run.model, prompts), held_out_loss(run.model, rows)
    with torch.no_grad():
        factors = {name: _factors(delta, rank or LARGEST) for name, delta in _deltas(run.model)}
    chosen = rank or _enough(factors)
    _refuse_rank(chosen, factors)
    _write(folder, run, config, factors, chosen, dtype)
    del run.model
    gc.collect()
    base = load_causal_lm(run.base_source, dtype=torch.float32, device=device)
    plain = PeftModel.from_pretrained(base, str(folder), local_files_only=True).eval()
    after, loss_after = prompt_logits(plain, prompts), held_out_loss(plain, rows)
    layers = [LayerResidual(name, _residual([each], chosen)) for name, each in factors.items()]
    write_json(folder / RESIDUALS, {"rank": chosen, "layers": {each.layer: each.residual for each in layers}})
    return LoraExport(
        folder=folder,
        kind=kind,
        rank=chosen,
        dtype=dtype,
        layers=layers,
        residual=_residual(list(factors.values()), chosen),
        worst=max(layers, key=lambda each: each.residual),
        prompts=len(prompts),
        prompts_from=source,
        max_difference=largest(before, after),
        divergence=_divergence(before, after),
        agreement=agreement(before, after),
        rows=len(rows),
        perplexity_before=None if loss_before is None else math.exp(loss_before),
        perplexity=None if loss_after is None else math.exp(loss_after),
        bytes=folder_size(folder),
    )


def _convertible(run_folder: Path) -> str:
    """What the run's adapter is.

    Raises:
        UserError: it has none, it is a plain LoRA already, or it holds what no LoRA can.
    """
    import json

    name = f"{run_folder.parent.name}/{run_folder.name}"
    if read_run(run_folder).method == "full":
        raise UserError(f"the run {name} tuned every weight and has no adapter. Export it with --to merged.")
    path = run_folder / "adapter" / "adapter_config.json"
    if not path.is_file():
        raise UserError(f"the run {name} has no adapter/ yet. Let it finish, or continue it: studio train --resume {name}")
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if config.get("bias", "none") != "none" or config.get("modules_to_save"):
        raise UserError(
            f"the run {name} trained biases or whole layers beside its adapter, which a LoRA cannot hold. Export it "
            "with --to merged."
        )
    kind = str(config.get("peft_type", "LORA")).lower()
    if kind == "lora" and not config.get("use_dora"):
        raise UserError(f"the adapter of the run {name} is a plain LoRA already: {run_folder / 'adapter'} loads as it is.")
    return "dora" if kind == "lora" else kind


def _deltas(model: Any) -> Any:
    """Each adapted layer's name in the base, and D [o, i] in float64; the model is of no use afterwards."""
    for name, module in list(model.named_modules()):
        if not isinstance(module, BaseTunerLayer):
            continue
        layer = module.get_base_layer()
        short = name.removeprefix("base_model.model.")
        if not isinstance(layer, nn.Linear | Conv1D):
            raise UserError(
                f"the adapter on {short}, which is no linear layer, cannot become a LoRA. Export it with --to merged."
            )
        module.double()  # a difference of two weights in float32 would have noise of full rank
        before = layer.weight.detach().clone()
        module.merge()
        delta = layer.weight.detach() - before
        module.to(torch.float32)
        yield short, delta.T if isinstance(layer, Conv1D) else delta


def _factors(delta: Tensor, most: int) -> _Factors:
    """The closest B A for every rank up to ``most``: project onto the largest eigenvectors on the smaller side."""
    tall = delta.shape[0] > delta.shape[1]
    gram = delta.T @ delta if tall else delta @ delta.T
    squares, vectors = torch.linalg.eigh(gram)  # ascending
    squares, vectors = squares.flip(0).clamp(min=0), vectors.flip(1)[:, :most]
    if tall:
        return _Factors(delta @ vectors, vectors.T, squares)
    return _Factors(vectors, vectors.T @ delta, squares)


def _enough(factors: dict[str, _Factors]) -> int:
    """The smallest of vLLM's ranks that keeps enough of all layers, 256 at most."""
    ranks = [rank for rank in MAX_LORA_RANKS if rank <= min(_highest(factors), LARGEST)]
    return next((rank for rank in ranks if _residual(list(factors.values()), rank) ** 2 <= 1 - KEPT), ranks[-1])


def _highest(factors: dict[str, _Factors]) -> int:
    """The largest rank that any layer can have."""
    return max(len(each.squares) for each in factors.values())


def _refuse_rank(rank: int, factors: dict[str, _Factors]) -> None:
    """Refuse a rank that no layer has.

    Raises:
        UserError: names the largest.
    """
    if not 1 <= rank <= _highest(factors):
        raise UserError(f"--rank {rank} is not possible: the adapted layers of this model allow 1 to {_highest(factors)}.")


def _residual(factors: list[_Factors], rank: int) -> float:
    """Norm of what a rank leaves out as a share of the norm of the whole; 0 where nothing was added."""
    lost = sum(float(each.squares[rank:].sum()) for each in factors)
    whole = sum(float(each.squares.sum()) for each in factors)
    return math.sqrt(lost / whole) if whole else 0.0


def _write(partial: Path, run: LoadedRun, config: Any, factors: dict[str, _Factors], rank: int, dtype: str) -> None:
    """The plain PEFT folder, with tokenizer and template beside it."""
    kind = getattr(torch, dtype)
    tensors: dict[str, Tensor] = {}
    for name, each in factors.items():
        a, b = each.a[:rank].to("cpu", kind), each.b[:, :rank].to("cpu", kind)
        missing = rank - len(a)  # a layer with fewer inputs or outputs than the rank is filled up with zeros
        tensors[f"base_model.model.{name}.lora_A.weight"] = nn.functional.pad(a, (0, 0, 0, missing)).contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = nn.functional.pad(b, (0, missing)).contiguous()
    save_file(tensors, partial / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    transposed = any(isinstance(module, Conv1D) for module in run.model.modules())
    LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=rank,  # a scale of 1: it is in the numbers
        target_modules=_targets(run.model, set(factors)),
        base_model_name_or_path=config.base_model_name_or_path,
        fan_in_fan_out=transposed,
        inference_mode=True,
    ).save_pretrained(str(partial))
    run.tokenizer.chat_template = run.template.text
    run.tokenizer.save_pretrained(partial)


def _targets(model: Any, adapted: set[str]) -> list[str]:
    """Last names of the layers where no other layer is called so, as servers like them; else full names."""
    last = {name.rpartition(".")[2] for name in adapted}
    others = {
        name.removeprefix("base_model.model.")
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and not name.endswith(".base_layer")
    } - adapted
    return sorted(adapted) if any(name.rpartition(".")[2] in last for name in others) else sorted(last)


def _divergence(before: list[Tensor], after: list[Tensor]) -> float:
    """Mean over positions of the Kullback-Leibler divergence of two sets of logits [n, v], in nats."""
    found = [
        nn.functional.kl_div(two.log_softmax(-1), one.log_softmax(-1), reduction="none", log_target=True).sum(-1)
        for one, two in zip(before, after, strict=True)
    ]
    return float(torch.cat(found).mean())
