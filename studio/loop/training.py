"""The trainings of a round: opened under the round's name, so that a killed one is found again, finished or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run
from studio.schema.loading import load_yaml
from studio.schema.loop import Improve
from studio.train.kinds import preset_kind, run_kind
from studio.train.opening import Asked, find_preset

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """A training of a round. model: a run or a base. beside: folder of ``project.yaml``, where a preset may lie."""

    preset: str
    data: str
    model: str
    settings: Sequence[str]
    name: str
    beside: Path


def train(wish: Wish, workspace: Workspace, say: Say) -> str:
    """Train, or go on with, or find finished what has the wish's name; gives back ``name/time-id``.

    Raises:
        InterruptedRunError: a signal came; a checkpoint was saved.
        UserError, StudioError: preset, Dataset or training is wrong.
    """
    folder = _made_before(wish.name, workspace)
    resume = folder is not None and any((folder / "checkpoints").glob("[!.]*"))
    if folder is None or (not resume and read_run(folder).status != "finished"):
        path = preset_path(wish.preset, wish.beside, workspace)
        asked = Asked(path, wish.preset, wish.data, wish.model, wish.settings, wish.name)
        folder, resume = preset_kind(path).open(asked, workspace), False
    reference = f"{folder.parent.name}/{folder.name}"
    record = read_run(folder)
    if record.status == "finished":
        say(f"{reference} was trained before the round was interrupted")
        return reference
    say(f"{'going on with' if resume else 'training'} {reference}")
    run_kind(record).train(folder, resume=resume, processes=1, accelerate_config=None, say=say)
    return reference


def _made_before(name: str, workspace: Workspace) -> Path | None:
    """The newest readable run of a name; None without one."""
    for folder in workspace.list_runs():
        if folder.parent.name == name:
            try:
                read_run(folder)
            except StudioError:
                continue
            return folder
    return None


def preset_path(preset: str, beside: Path, workspace: Workspace) -> Path:
    """The file behind a preset's name; a file beside ``project.yaml`` is found from any folder.

    Raises:
        UserError: there is none.
    """
    own = beside / preset
    return own if own.is_file() else find_preset(preset, workspace)


def grown_rank(run: Path, rules: Improve, beside: Path, workspace: Workspace) -> int | None:
    """Rank that an adapter would have after a round that goes on from it; None where the run has no LoRA adapter."""
    config = run / "adapter" / "adapter_config.json"
    if not config.is_file():
        return None
    rank = int(json.loads(config.read_text(encoding="utf-8")).get("r") or 0)
    wanted = [(rules.sft, rules.sft_settings)] if rules.sft is not None else []
    if rules.preferences != "none":
        wanted.append((rules.dpo if rules.preferences == "dpo" else rules.kto, rules.preference_settings))
    return rank + sum(_rank_of(preset, settings, beside, workspace) for preset, settings in wanted)


def _rank_of(preset: str, settings: Sequence[str], beside: Path, workspace: Workspace) -> int:
    """The rank of a preset's LoRA; 0 where it has none."""
    path = preset_path(preset, beside, workspace)
    value: dict[str, Any] = load_yaml(path, preset_kind(path).schema, settings).model_dump()
    return int((value.get("lora") or {}).get("rank") or 0)


def base_of(run: RunRecord) -> str:
    """The base of a run as a training names it."""
    return str(run.base["path"] if run.base.get("source") == "local" else run.base["name"])
