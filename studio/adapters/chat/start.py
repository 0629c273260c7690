"""A run as the place to start from: found by its name, checked, written down, and found again when the training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.adapters.chat.loading import ADAPTER_WEIGHTS, read_template, resolve_recorded_base
from studio.adapters.saved import saved_settings
from studio.core.errors import UserError, nearest
from studio.core.files import sha256_file
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run
from studio.models.chat.templates import ChatTemplate
from studio.models.starters import STARTERS
from studio.models.weights import check_safetensors, read_object, verify_hashes
from studio.schema.adapter import ChatAdapter
from studio.schema.loading import validate

# What a template was made from; a preset that starts from a run says none of it, or the same.
_OF_TEMPLATE = ("system", "thinking", "template_arguments", "client_arguments")


@dataclass(frozen=True)
class Start:
    """A finished run with a plain adapter.

    folder: of the run. rank: of its adapter, the largest where layers differ. sha256: of the adapter's weights.
    """

    folder: Path
    run: RunRecord
    rank: int
    sha256: str

    @property
    def name(self) -> str:
        """``name/time-id``."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def adapter(self) -> Path:
        """The plain PEFT folder."""
        return self.folder / "adapter"

    def record(self) -> dict[str, Any]:
        """As it stands in ``run.json`` under ``start``."""
        return {"run": self.name, "id": self.run.id, "path": str(self.folder), "rank": self.rank, "sha256": self.sha256}

    def told(self, quantization: str) -> str:
        """Where a training starts, in a line.

        Args:
            quantization: of the base in this training.
        """
        before = saved_settings(self.folder).get("quantization", "none")
        other = f"; it was trained on a base in quantization {before}, now it is {quantization}" if before != quantization else ""
        return f"starts from the adapter of {self.name} (rank {self.rank}), which stays frozen beside the new one{other}"

    def template(self, adapter: ChatAdapter) -> ChatTemplate | None:
        """The run's chat template, which a training from it takes over; None where the preset names one.

        Raises:
            UserError: the preset asks for another way of writing the run's template.
        """
        if adapter.chat_template is not None:
            return None
        own = saved_settings(self.folder)
        for name in _OF_TEMPLATE:
            value, default = getattr(adapter, name), ChatAdapter.model_fields[name].default
            if value not in (default, own.get(name, default)):
                raise UserError(
                    f"{name} {value!r} cannot be written into the chat template of the run {self.name}, which is taken over as "
                    f"it is ({name} {own.get(name, default)!r}). Remove it, or name a template too (chat_template)."
                )
        return read_template(self.folder, self.run)


def begun(adapter: ChatAdapter, workspace: Workspace, *, model: str | None = None) -> tuple[ChatAdapter, Start | None]:
    """The preset with its base, where a run is named as the model; and the run, where it has an adapter.

    Args:
        model: what was asked for beside the preset (``--model``); the preset's own start gives way to it.
    Raises:
        UserError: the run cannot be started from, or the preset cannot train on top of it.
        StudioError: its files or its base have changed.
    """
    reference = adapter.start if model is None else None
    folder = workspace.find_run(reference) if reference else _named_run(adapter.model, workspace)
    if folder is None:
        return adapter.model_copy(update={"start": None}), None
    if read_run(folder).method == "full":
        return adapter.model_copy(update={"start": None, "model": str(folder), "revision": None}), None
    start = start_of(folder)
    base = resolve_recorded_base(start.run)
    inside = workspace.runs.resolve() in folder.resolve().parents
    changed: dict[str, Any] = {
        "start": start.name if inside else str(folder),
        "model": str(base.folder) if base.source == "local" else base.name,
        "revision": base.revision if base.source in {"hub", "modelscope"} else None,
    }
    return validate(adapter.model_dump(mode="json") | changed, ChatAdapter, source=f"starting from {start.name}"), start


def start_of(folder: Path) -> Start:
    """A run that can be started from.

    Raises:
        UserError: it is of another kind, not finished, or holds more than a plain LoRA.
        StudioError: a file differs from what the run wrote down.
    """
    run, name = read_run(folder), f"{folder.parent.name}/{folder.name}"
    if run.kind != "chat":
        raise UserError(f"the run {name} is of kind {run.kind!r}, and a chat model can only start from runs of kind 'chat'.")
    weights, config = folder / "adapter" / ADAPTER_WEIGHTS, folder / "adapter" / "adapter_config.json"
    if not weights.is_file() or not config.is_file():
        raise UserError(
            f"the run {name} has no adapter to start from yet (status: {run.status}). Let it finish, or continue it: "
            f"studio train --resume {folder.name}"
        )
    verify_hashes(folder, {path: value for path, value in run.files.items() if path.startswith("adapter/")})
    check_safetensors(weights)
    settings = read_object(config)
    _refuse_more_than_lora(name, settings)
    rank = max([int(settings["r"]), *map(int, (settings.get("rank_pattern") or {}).values())])
    return Start(folder, run, rank, sha256_file(weights))


def recorded_start(record: RunRecord, workspace: Workspace) -> Start | None:
    """What a run was started from, found again where it was or by its name; None where it started from a base.

    Raises:
        UserError: it is gone, or its adapter is another.
    """
    written = record.start
    if not written:
        return None
    gone = (
        f"the run {written['run']}, whose adapter this one started from, is no longer at {written['path']} nor in "
        f"{workspace.runs}. Bring it back, or start a new run."
    )
    folder = Path(written["path"])
    if not (folder / "run.json").is_file():
        try:
            folder = workspace.find_run(str(written["run"]))
        except UserError as error:
            raise UserError(gone) from error
    weights = folder / "adapter" / ADAPTER_WEIGHTS
    if not weights.is_file():
        raise UserError(gone)
    if (now := sha256_file(weights)) != written["sha256"]:
        raise UserError(
            f"the adapter of {written['run']} has changed since this run was started from it (sha256 {now[:12]}…, then "
            f"{written['sha256'][:12]}…). Bring the old one back, or start a new run."
        )
    return start_of(folder)


def _named_run(reference: str, workspace: Workspace) -> Path | None:
    """The run that a model's name stands for; None for a starter, a folder of weights, or a name that no run has."""
    path = Path(reference).expanduser()
    if reference in STARTERS or (path.is_dir() and not (path / "run.json").is_file()):
        return None
    try:
        return workspace.find_run(reference)
    except UserError as error:
        if "/" in reference or ":" in reference:
            return None  # an id on a hub, or a folder that is not there
        runs = [folder.parent.name for folder in workspace.list_runs()]
        guess = nearest(reference, [*STARTERS, *runs])
        raise UserError(
            f"there is no base model and no run {reference!r}.{guess} Give a starter ({', '.join(STARTERS)}), the path of a "
            f"folder, a Hub id (owner/name), ms:owner/name for ModelScope, or a run of {workspace.runs}."
        ) from error


def _refuse_more_than_lora(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse what cannot be saved as one plain LoRA together with a second one.

    Raises:
        UserError: says what it holds, and the way round.
    """
    found = {
        f"an adapter of another kind ({settings.get('peft_type')})": settings.get("peft_type") != "LORA",
        "DoRA's magnitudes": settings.get("use_dora"),
        "layers that were trained whole": settings.get("modules_to_save"),
        "biases": settings.get("bias", "none") != "none" or settings.get("lora_bias"),
        "adapters on stacked experts": settings.get("target_parameters"),
    }
    for what, held in found.items():
        if held:
            raise UserError(
                f"the run {name} holds {what}, which cannot be joined with a second adapter into one plain LoRA. Merge it first "
                f"(studio export {name} --to merged) and give the merged folder as the model."
            )
