"""What a checked run is, and which of them fit into one server. Imports nothing heavy: the process that watches vLLM needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from studio.adapters.chat.speech import Speech
from studio.adapters.chat.vllm import MAX_LORA_RANKS
from studio.core.errors import UserError

# What most decoders call the layers inside their blocks: adapters on any of them can be loaded later.
_USUAL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Servable:
    """A run that may be served: an adapter on a base, a whole model of its own, an embedding model, or a reranker.

    run: ``name/time-id``. path: the adapter's or the model's folder. rank: largest rank of the adapter, 0 for a model.
    adapter_hash: sha256 of the adapter's weights, or of the model's. dtype: number type of the training.
    modules: names of the layers that the adapter changes, such as ``q_proj``. speech: what its template does. read: tokens of a
    text that go into a vector or a score. cuts: lengths to which vectors may be cut.
    """

    name: str
    run: str
    folder: str
    kind: Literal["adapter", "model", "embedding", "reranker"]
    path: str
    rank: int
    adapter_hash: str
    template: str
    template_hash: str
    base: dict[str, str]
    dtype: str
    notes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    speech: Speech = field(default_factory=Speech)
    read: int | None = None
    cuts: tuple[int, ...] = ()

    @property
    def pools(self) -> bool:
        """True for what gives vectors or scores, and writes no answers."""
        return self.kind in {"embedding", "reranker"}

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Servable:
        """What ``asdict`` and JSON have made of one."""
        speech: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in entry["speech"].items()
        }
        told = {"notes": tuple(entry["notes"]), "modules": tuple(entry["modules"]), "speech": Speech(**speech)}
        told["cuts"] = tuple(entry.get("cuts", ()))
        return cls(**{**entry, **told})


def check_together(servables: Sequence[Servable]) -> None:
    """One process serves one base with one template; refuse what does not go together.

    Raises:
        UserError: names the two that clash, and the remedy.
    """
    first = servables[0]
    for other in servables[1:]:
        apart = "Serve them in two processes: studio serve RUN --set port=8001"
        if {first.kind, other.kind} != {"adapter"}:
            whole = first if first.kind != "adapter" else other
            raise UserError(f"{whole.run} is a whole model, not an adapter, so nothing else fits beside it. {apart}")
        if other.base["sha256"] != first.base["sha256"]:
            raise UserError(
                f"{first.run} was trained on {first.base['name']} ({first.base['sha256'][:12]}…) and {other.run} on "
                f"{other.base['name']} ({other.base['sha256'][:12]}…); one process has one base. {apart}"
            )
        if other.template_hash != first.template_hash:
            raise UserError(
                f"{first.run} and {other.run} were trained with different chat templates ({first.template_hash[:12]}…, "
                f"{other.template_hash[:12]}…), and vLLM has one for all adapters. {apart}"
            )


def needed_rank(servables: Sequence[Servable]) -> int:
    """Smallest ``--max-lora-rank`` of vLLM's that holds all adapters, at least 16 so that another can be loaded later."""
    largest = max([16, *(servable.rank for servable in servables)])
    return next(limit for limit in MAX_LORA_RANKS if limit >= largest)


def adapted_modules(servables: Sequence[Servable]) -> list[str]:
    """Names of the layers that vLLM is to prepare for adapters (``--lora-target-modules``).

    Left alone it prepares the output layer too, and then a request for log-probabilities of the prompt ends the engine: the CPU
    build of vLLM 0.32 has adapter indices for the sampled positions only (``lora/punica_wrapper/punica_cpu.py``,
    ``add_lora_logits``; seen here, tests/evals/chat/test_endpoint_vllm.py).
    """
    return sorted({*_USUAL, *(name for servable in servables for name in servable.modules)})


def scores_prompts(kind: str, modules: Sequence[str] | None) -> bool:
    """True where log-probabilities of a prompt can be asked for without ending the engine.

    Args:
        kind: of what is served. modules: what vLLM prepares for adapters; None where it chooses.
    """
    return kind == "model" or (modules is not None and not any("lm_head" in name for name in modules))
