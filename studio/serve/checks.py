"""Will this run be served rightly? Answered before vLLM is started, with a remedy, not by a crash in its log.

Source of what vLLM refuses: vLLM 0.32 and 0.33, ``lora/peft_helper.py``, ``lora/lora_model.py`` and ``config/lora.py``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from studio.adapters.chat.loading import ADAPTER_WEIGHTS, read_template, refuse_scorer, resolve_recorded_base
from studio.adapters.chat.speech import Speech, read_speech
from studio.adapters.chat.vllm import MAX_LORA_RANKS
from studio.adapters.saved import saved_settings
from studio.core.errors import StudioError, UserError
from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.models.bases import ResolvedBase
from studio.models.chat.loading import load_tokenizer
from studio.models.device import pick_device, pick_dtype
from studio.models.weights import check_model_folder, check_safetensors, verify_hashes, weights_hash
from studio.serve.kinds import check_kind
from studio.serve.servable import Servable

_MERGE = "Merged it always loads: studio export {run} --to merged, then studio serve {run} --merged"
_SUBSPACE_INITS = {"pissa", "olora", "loftq", "corda", "eva", "lora_ga"}


def check_run(folder: Path, *, name: str, merged: bool = False, max_lora_rank: int | None = None) -> Servable:
    """Check everything about a run that can make vLLM refuse it, or answer as another model would.

    Args:
        folder: the run.
        merged: serve ``merged/`` inside the run rather than its adapter.
        max_lora_rank: what the server holds at most; None means that it can still be chosen.
    Raises:
        UserError: it cannot be served as it is; the message has the remedy.
        StudioError: a file, the base or the template differs from what the run wrote down.
    """
    record = read_run(folder)
    run = f"{folder.parent.name}/{folder.name}"
    check_kind(record, run)
    if record.kind != "chat":
        return check_pooled_run(folder, record, name=name, merged=merged)
    refuse_scorer(folder, saved_settings(folder))
    whole = record.method == "full" or merged
    weights = folder / ("merged" if merged and record.method != "full" else "model" if whole else "adapter")
    if not weights.is_dir():
        remedy = f"studio export {run} --to merged" if merged else f"studio train --resume {run}"
        raise UserError(f"the run {run} has no {weights.name}/ to serve (status: {record.status}). Make it: {remedy}")
    prefixes = (f"{weights.name}/", "chat_template.jinja")
    verify_hashes(folder, {file: value for file, value in record.files.items() if file.startswith(prefixes)})
    template = read_template(folder, record)
    base = resolve_recorded_base(record)
    rank, notes = 0, []
    modules: tuple[str, ...] = ()
    if whole:
        check_model_folder(weights, run)
        digest = weights_hash(weights, run)
    else:
        rank = check_adapter(weights, run=run, max_lora_rank=max_lora_rank)
        modules = adapted_by(weights)
        digest = record.files.get(f"adapter/{ADAPTER_WEIGHTS}") or weights_hash(weights, run)
    settings = saved_settings(folder)
    if settings.get("quantization", "none") != "none" and not merged:
        notes.append(
            f"{name} was trained on a base in {settings['quantization']} and is served on the unquantised one: answers differ "
            "slightly (studio export --to merged measures by how much)."
        )
    return Servable(
        name=name,
        run=run,
        folder=str(folder),
        kind="model" if whole else "adapter",
        path=str(weights),
        rank=rank,
        adapter_hash=digest,
        template=str(folder / str(record.template.get("file") or "chat_template.jinja")),
        template_hash=template.sha256,
        base={"name": base.name, "path": str(base.folder), "sha256": base.sha256},
        dtype=str(pick_dtype(settings.get("dtype") or "auto", pick_device())).removeprefix("torch."),
        notes=tuple(notes),
        modules=modules,
        speech=_speech(folder, record, weights if whole else base.folder),
    )


def check_pooled_run(folder: Path, record: RunRecord, *, name: str, merged: bool) -> Servable:
    """Check a run of embeddings or a reranker: a whole model, whose files are those that were written.

    Raises:
        UserError: it is not finished, or was asked for merged. StudioError: its files have changed.
    """
    run = f"{folder.parent.name}/{folder.name}"
    if merged:
        raise UserError(f"--merged serves a chat run's merged model, and {run} is a whole model already. Leave it out.")
    weights = folder / "model"
    if not weights.is_dir():
        raise UserError(f"the run {run} has no model/ to serve (status: {record.status}). Make it: studio train --resume {run}")
    verify_hashes(folder, {file: value for file, value in record.files.items() if file.startswith("model/")})
    check_model_folder(weights, run)
    settings = saved_settings(folder)
    prompts = [str(settings.get(key)) for key in ("query_prompt", "passage_prompt") if settings.get(key)]
    notes = [f"{name} was trained with {', '.join(map(repr, prompts))} before questions or passages: clients write that."]
    digest = weights_hash(weights, run)
    return Servable(
        name=name,
        run=run,
        folder=str(folder),
        kind="embedding" if record.kind == "embedding" else "reranker",
        path=str(weights),
        rank=0,
        adapter_hash=digest,
        template="",
        template_hash="",
        base={"name": name, "path": str(weights), "sha256": digest},
        dtype=str(settings.get("dtype") or "float32"),
        notes=tuple(notes if prompts else ()),
        read=settings.get("max_length"),
        cuts=tuple(settings.get("matryoshka") or ()),
    )


def _speech(folder: Path, record: RunRecord, weights: Path) -> Speech:
    """What the run's template does, with the tokenizer that vLLM will have."""
    tokenizer = load_tokenizer(ResolvedBase(str(record.base.get("name")), weights, None, "", None, "local"))
    try:
        config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}  # told with its reason when the weights are loaded
    return read_speech(read_template(folder, record), tokenizer, str(config.get("model_type", "")))


def check_adapter(folder: Path, *, run: str, max_lora_rank: int | None = None) -> int:
    """Check a PEFT folder against what an unpatched vLLM loads; returns the largest rank in it.

    The configuration and the tensors are both looked at: a configuration that says less than the file holds would be applied
    half.

    Raises:
        UserError: vLLM would refuse it, or load only a part.
    """
    merge = _MERGE.format(run=run)
    config = _config(folder, run)
    reasons = _refusals(config)
    if reasons:
        raise UserError(f"vLLM does not load the adapter of {run}: {'; '.join(reasons)}. {merge}")
    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        raise UserError(
            f"the adapter of {run} has no {ADAPTER_WEIGHTS}; adapters saved as .bin are pickles and are never loaded."
        )
    check_safetensors(path)
    shapes = _shapes(path)
    strange = sorted(name for name in shapes if not re.search(r"\.lora_[AB](\.\w+)?\.weight$", name))
    if strange:
        raise UserError(
            f"the adapter of {run} holds {len(strange)} tensors that are no low-rank matrices (first: {strange[0]}), which vLLM "
            f"refuses. {merge}"
        )
    rank = max((shape[0] for name, shape in shapes.items() if ".lora_A" in name), default=0)
    if not rank:
        raise UserError(f"the adapter of {run} holds no low-rank matrices. Train it again, or serve another run.")
    limit = max_lora_rank or MAX_LORA_RANKS[-1]
    if rank > limit:
        if max_lora_rank is None or rank > MAX_LORA_RANKS[-1]:
            raise UserError(f"the adapter of {run} has rank {rank}, and vLLM takes at most {limit}. {merge}")
        needed = next(value for value in MAX_LORA_RANKS if value >= rank)
        raise UserError(
            f"the adapter of {run} has rank {rank}, and the server holds ranks up to {limit}. "
            f"Start it with --set max_lora_rank={needed}, or serve the run merged."
        )
    return rank


def adapted_by(folder: Path) -> tuple[str, ...]:
    """Names of the layers that an adapter's file changes; the configuration may name more than there are."""
    names = {name.partition(".lora_A")[0] for name in _shapes(folder / ADAPTER_WEIGHTS) if ".lora_A" in name}
    # Experts are one layer in vLLM, whatever the file calls their parts.
    return tuple(sorted({"experts" if ".experts." in name else name.rpartition(".")[2] for name in names}))


def _refusals(config: dict[str, Any]) -> list[str]:
    """What in an adapter's configuration an unpatched vLLM refuses, in a reader's words."""
    reasons = []
    if str(config.get("peft_type", "LORA")).upper() != "LORA":
        reasons.append(f"it is a {config['peft_type']} adapter, and only LoRA is loaded")
    if config.get("use_dora"):
        reasons.append("it is DoRA (magnitudes beside the low-rank matrices)")
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        reasons.append("it carries trained biases")
    if config.get("modules_to_save"):
        reasons.append(f"layers are saved whole (modules_to_save: {', '.join(config['modules_to_save'])})")
    if config.get("trainable_token_indices"):
        reasons.append("it trains rows of the embedding (trainable_token_indices)")
    start = str(config.get("init_lora_weights", True)).lower()
    if any(start.startswith(name) for name in _SUBSPACE_INITS):
        reasons.append(f"it was saved with init_lora_weights {start!r}, which changes the base as well")
    for name in ("alora_invocation_tokens", "layer_replication", "use_qalora", "use_bdlora", "arrow_config"):
        if config.get(name):
            reasons.append(f"it uses {name}")
    return reasons


def _config(folder: Path, run: str) -> dict[str, Any]:
    """The adapter's configuration."""
    try:
        value = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudioError(f"the adapter of {run} has no readable adapter_config.json ({error}).") from error
    if not isinstance(value, dict):
        raise StudioError(f"the adapter of {run} has a damaged adapter_config.json.")
    return value


def _shapes(path: Path) -> dict[str, list[int]]:
    """Tensor name to shape, from the header alone."""
    with path.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
