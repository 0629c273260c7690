"""Opening a Run: its base, its adapter, its tokenizer and its template, each checked against what the run wrote down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from studio.adapters.saved import saved_settings
from studio.core.errors import StudioError, UserError
from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.models.bases import ResolvedBase, recorded_revision, resolve_base
from studio.models.chat.loading import Quantization, load_causal_lm, load_tokenizer
from studio.models.chat.templates import ChatTemplate
from studio.models.device import pick_device, pick_dtype
from studio.models.weights import check_model_folder, check_safetensors, verify_hashes, weights_hash

ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass
class LoadedRun:
    """A Run ready to speak. ``model`` is a PeftModel, or a plain model after full tuning."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    template: ChatTemplate
    record: RunRecord
    folder: Path
    base_source: ResolvedBase
    _settings: dict[str, Any]
    _beside: bool
    _base_model: PreTrainedModel | None = None

    @contextmanager
    def base(self) -> Iterator[Any]:
        """Yield the base model: the same weights with the adapter off, or the base loaded beside.

        It is loaded beside (once) after full tuning, and where biases were trained: PEFT writes those into the base.
        """
        if not self._beside:
            with self.model.disable_adapter():
                yield self.model
            return
        if self._base_model is None:
            self._base_model = load_causal_lm(self.base_source, **self._settings)
        yield self._base_model


def load_run(
    run_folder: Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    quantization: Quantization | None = None,
) -> LoadedRun:
    """Load a finished or interrupted Run for speaking, measuring or merging.

    Args:
        dtype: None takes the number type of the training (``auto`` chosen for this device).
        quantization: None takes that of the training.
    Raises:
        UserError: the run is of another kind, or holds no finished adapter or model.
        StudioError: a file or the base differs from what the run wrote down.
    """
    record = read_run(run_folder)
    if record.kind != "chat":
        raise UserError(
            f"the run {run_folder.parent.name}/{run_folder.name} is of kind {record.kind!r}, and this takes runs of kind 'chat'. "
            "'studio runs list' shows the kind of each."
        )
    weights = checked_weights(run_folder, record)
    config = saved_settings(run_folder)
    refuse_scorer(run_folder, config)
    device = device or pick_device()
    settings: dict[str, Any] = {
        "dtype": dtype or pick_dtype(config.get("dtype") or "auto", device),
        "quantization": quantization or config.get("quantization") or "none",
        "device": device,
    }
    base = resolve_recorded_base(record)
    template = read_template(run_folder, record)
    if record.method == "full":
        own = _own_model(weights, record)
        model: Any = load_causal_lm(own, **settings)
        tokenizer = load_tokenizer(own)
    else:
        model = _with_adapter(load_causal_lm(base, **settings), weights)
        tokenizer = load_tokenizer(_tokenizer_source(base, weights))
    beside = record.method == "full" or _trained_biases(weights)
    return LoadedRun(model, tokenizer, template, record, run_folder, base, settings, beside)


def checked_weights(run_folder: Path, record: RunRecord) -> Path:
    """The folder of what a run trained, its files and the template as they were written down.

    Raises:
        UserError: there is none yet.
        StudioError: a file has changed.
    """
    weights = run_folder / ("model" if record.method == "full" else "adapter")
    if not weights.is_dir():
        raise UserError(
            f"the run {run_folder} has no {weights.name}/ yet (status: {record.status}). Let it finish, or continue it: "
            f"studio train --resume {run_folder.name}"
        )
    prefixes = (f"{weights.name}/", "chat_template.jinja")
    verify_hashes(run_folder, {name: value for name, value in record.files.items() if name.startswith(prefixes)})
    return weights


def refuse_scorer(run_folder: Path, settings: Mapping[str, Any]) -> None:
    """Go on only with a run that writes.

    Args:
        settings: of the run, as saved.
    Raises:
        UserError: it is a reward model.
    """
    if settings.get("objective") == "reward":
        run = f"{run_folder.parent.name}/{run_folder.name}"
        raise UserError(
            f"the run {run} is a reward model: it scores answers and writes none, so there is nothing to chat with, serve or "
            f"merge. Measure it with 'studio eval reward --model {run}', or let it score the answers of a model: "
            f"studio eval rewarded --model RUN --set tasks.0.reward={run}"
        )


def resolve_recorded_base(record: RunRecord) -> ResolvedBase:
    """Find the base a run was trained on, by the name and revision it wrote down, and check that it is the same.

    Raises:
        StudioError: the weights there are others.
    """
    written = record.base
    name = str(written["path"] if written.get("source") == "local" else written["name"])
    try:
        base = resolve_base(name, recorded_revision(written))
    except UserError as error:
        raise UserError(f"the base model of the run {record.id} cannot be opened: {error}") from error
    if written.get("sha256") and base.sha256 != written["sha256"]:
        raise StudioError(
            f"the base model {name} is not the one the run {record.id} was trained on: its weights have sha256 "
            f"{base.sha256[:16]}…, the run wrote down {str(written['sha256'])[:16]}…. Fetch the recorded version"
            + (f" ({written['revision']})." if written.get("revision") else ".")
        )
    return base


def read_template(run_folder: Path, record: RunRecord) -> ChatTemplate:
    """The run's chat template, byte for byte.

    Raises:
        StudioError: the file is missing or differs from its recorded hash.
    """
    path = run_folder / str(record.template.get("file") or "chat_template.jinja")
    try:
        text = path.read_bytes().decode("utf-8")
        template = ChatTemplate.from_record(text, record.template)
    except (OSError, UnicodeDecodeError) as error:
        raise StudioError(f"the run {run_folder} has no readable {path.name} ({error}).") from error
    wanted = record.template.get("sha256")
    if wanted and template.sha256 != wanted:
        raise StudioError(f"{path} is not the template the run was trained with: its hash differs from the one in run.json.")
    return template


def _own_model(folder: Path, record: RunRecord) -> ResolvedBase:
    """The fully tuned model of a run, as something the loaders take."""
    name = f"run {record.id}"
    check_model_folder(folder, name)
    return ResolvedBase(name, folder, None, weights_hash(folder, name), record.base.get("licence"), "local")


def _tokenizer_source(base: ResolvedBase, adapter: Path) -> ResolvedBase:
    """Where the tokenizer lies: beside the adapter if it was saved there, else with the base."""
    if not (adapter / "tokenizer.json").is_file():
        return base
    return ResolvedBase(base.name, adapter, base.revision, base.sha256, base.licence, base.source)


def _with_adapter(model: PreTrainedModel, folder: Path) -> Any:
    """Load a plain PEFT folder onto its base; only safetensors are opened."""
    from peft import PeftModel

    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        raise UserError(f"{folder} has no {ADAPTER_WEIGHTS}; adapters saved as .bin are pickles and are never loaded.")
    check_safetensors(path)
    return PeftModel.from_pretrained(model, str(folder), is_trainable=False, local_files_only=True).eval()


def _trained_biases(adapter: Path) -> bool:
    """True when the adapter carries biases of the base."""
    import json

    path = adapter / "adapter_config.json"
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("bias", "none") != "none"
