"""From the name of an optimizer in a preset to the optimizer, where transformers does not make it; and what each remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from studio.core.errors import UserError
from studio.core.extras import require
from studio.schema.adapter import ChatAdapter
from studio.schema.optimizers import OF_THE_STUDIO, PROJECTING

_BETAS, _EPS = (0.9, 0.999), 1e-8  # transformers' defaults
_RANK = {"galore_adamw": 128, "apollo_adamw": 128, "apollo_mini": 1}
_SCALE = {"galore_adamw": 0.25, "apollo_adamw": 1.0, "apollo_mini": 128**0.5}
# bitsandbytes leaves tensors of fewer numbers in 32 bits (``min_8bit_size``), and keeps a float32 per block of 256 numbers;
# transformers has it keep embeddings in 32 bits too.
_SMALL, _BLOCK = 4096, 256
# Moments that bitsandbytes keeps in a byte a number, and those that others keep in the numbers' own type.
_BYTES = {"adamw_8bit": 2, "paged_adamw_8bit": 2, "lion_8bit": 1, "ademamix_8bit": 3}
_WHOLE = {
    "adamw_torch": 2, "adamw_torch_fused": 2, "sgd": 0, "lion_32bit": 1, "ademamix": 3, "stable_adamw": 2,
    "schedule_free_adamw": 2, "prodigy": 4, "muon": 2, "galore_adamw": 2, "apollo_adamw": 2, "apollo_mini": 2,
}  # fmt: skip

Group = dict[str, Any]


def check_optimizer(adapter: ChatAdapter) -> None:
    """Refuse an optimizer whose package is missing before anything is loaded.

    Raises:
        MissingExtraError: names the extra.
    """
    if adapter.optimizer in {"prodigy", "schedule_free_adamw", "stable_adamw"}:
        require("pytorch_optimizer", feature=f"optimizer: {adapter.optimizer}", extra="optimizers")


def own_optimizer(adapter: ChatAdapter) -> Callable[..., torch.optim.Optimizer] | None:
    """What makes the optimizer of a preset out of a model and the names of what decays; None where transformers does."""
    if adapter.optimizer not in OF_THE_STUDIO:
        return None

    def make(model: nn.Module, decaying: Iterable[str], *, sharded: bool) -> torch.optim.Optimizer:
        if sharded:
            raise UserError(
                f"optimizer: {adapter.optimizer} looks at whole matrices, and this accelerate configuration shards them. Use "
                "adamw_torch, or --processes without sharding."
            )
        return _made(adapter, model, set(decaying))

    return make


def _made(adapter: ChatAdapter, model: nn.Module, decaying: set[str]) -> torch.optim.Optimizer:
    """The optimizer over what trains."""
    name, rate = adapter.optimizer, adapter.learning_rate
    apart = special(adapter, model)
    trained = [(key, weight) for key, weight in model.named_parameters() if weight.requires_grad]
    matrices = _groups([pair for pair in trained if pair[0] in apart], decaying, adapter.weight_decay)
    others = _groups([pair for pair in trained if pair[0] not in apart], decaying, adapter.weight_decay)
    if name == "muon":
        from studio.train.chat.optimizers.muon import MuonWithAdamW

        return MuonWithAdamW(matrices, others, lr=rate, betas=_BETAS, eps=_EPS)
    if name in PROJECTING:
        from studio.train.chat.optimizers.low_rank import LowRankAdamW

        kind: Any = name.removesuffix("_adamw")
        groups = [*({**group, "projected": True} for group in matrices), *others]
        rest: dict[str, Any] = {"every": adapter.projection.every, "seed": adapter.seed}
        rest["scale"] = adapter.projection.scale or _SCALE[name]
        return LowRankAdamW(groups, kind=kind, rank=projected_rank(adapter), lr=rate, betas=_BETAS, eps=_EPS, **rest)
    package: Any = require("pytorch_optimizer", feature=f"optimizer: {name}", extra="optimizers")
    if name == "schedule_free_adamw":
        from studio.train.chat.optimizers.schedule_free import ExactScheduleFreeAdamW

        free: torch.optim.Optimizer = ExactScheduleFreeAdamW(others, lr=rate, betas=_BETAS, eps=_EPS)
        return free
    made = package.Prodigy if name == "prodigy" else package.StableAdamW
    steady: torch.optim.Optimizer = made(others, lr=rate, betas=_BETAS, eps=_EPS)
    return steady


def _groups(pairs: list[tuple[str, Tensor]], decaying: set[str], decay: float) -> list[Group]:
    """What decays, and what does not; a group without weights is left out."""
    groups = [
        {"params": [weight for key, weight in pairs if key in decaying], "weight_decay": decay},
        {"params": [weight for key, weight in pairs if key not in decaying], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def projected_rank(adapter: ChatAdapter) -> int:
    """Rank of the space that GaLore and APOLLO keep their moments in."""
    return adapter.projection.rank or _RANK[adapter.optimizer]


def special(adapter: ChatAdapter, model: nn.Module) -> set[str]:
    """Names of the trained matrices that Muon takes, or that GaLore and APOLLO project; empty for all other optimizers.

    Those are matrices of hidden layers: embeddings and the output layer, which are tables of words, are not among them
    (https://kellerjordan.github.io/posts/muon/), nor are stacked experts, which are no matrices.
    """
    if adapter.optimizer != "muon" and adapter.optimizer not in PROJECTING:
        return set()
    least = projected_rank(adapter) if adapter.optimizer in PROJECTING else 0
    whole: Any = model
    inner = whole.get_base_model() if hasattr(whole, "get_base_model") else whole
    tables = {id(weight) for module in (inner.get_input_embeddings(), inner.get_output_embeddings()) if module is not None
              for weight in module.parameters()}  # fmt: skip
    tables |= {id(module.weight) for module in inner.modules() if isinstance(module, nn.Embedding)}
    return {
        name
        for name, weight in model.named_parameters()
        if weight.requires_grad
        and weight.dim() == 2
        and min(weight.shape) > least
        and id(weight) not in tables
        and "lora_embedding" not in name
    }


def state_bytes(adapter: ChatAdapter, model: nn.Module) -> int:
    """Bytes of optimizer state for what trains of a model, on the meta device or loaded, after the first step."""
    apart = special(adapter, model)
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return sum(
        _state(adapter, weight, apart=name in apart, table=id(weight) in tables)
        for name, weight in model.named_parameters()
        if weight.requires_grad
    )


def _state(adapter: ChatAdapter, weight: Tensor, *, apart: bool, table: bool) -> int:
    """Bytes for one tensor; single numbers (step counts, norms) are left out.

    Args:
        apart: it is one of :func:`special`.
        table: it is an embedding.
    """
    name, numbers, size = adapter.optimizer, weight.numel(), weight.element_size()
    if name == "adafactor":  # a row and a column per matrix (https://arxiv.org/abs/1804.04235); vectors whole
        return 4 * (weight.shape[0] + weight.shape[1] if weight.dim() == 2 else numbers)
    if name in _BYTES:
        moments = _BYTES[name]
        return moments * (4 * numbers if numbers < _SMALL or table else numbers + 4 * -(-numbers // _BLOCK))
    if apart and name == "muon":
        return numbers * size
    if apart:
        rank, large, little = projected_rank(adapter), max(weight.shape), min(weight.shape)
        kept = 4 * rank * little if name == "galore_adamw" else 0  # APOLLO draws its projection again from the seed
        return 2 * rank * large * size + kept
    return _WHOLE[name] * numbers * size
