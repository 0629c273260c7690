"""What image models of every family share when a Run is opened: their presets, pictures and bases."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.errors import UserError
from studio.core.records import DatasetRecord
from studio.core.workspace import Workspace
from studio.schema.diffusion import DiffusionAdapter
from studio.schema.loading import load_yaml
from studio.train.opening import Asked, find_rows

if TYPE_CHECKING:
    from studio.models.bases import ResolvedBase


def read_image_preset(asked: Asked, workspace: Workspace) -> DiffusionAdapter:
    """Read a diffusion preset with what the command line changes; ``model`` may name a run.

    Raises:
        ConfigError: the file or a setting is wrong.
        UserError: a base is needed and not named.
    """
    adapter = load_yaml(asked.preset, DiffusionAdapter, asked.overrides)
    if adapter.method != "scratch" and adapter.model is None:
        raise UserError("which base? Add --model: a run made with diffusion/pixel, a folder in diffusers' layout, or a Hub id.")
    if adapter.model is not None and not Path(adapter.model).expanduser().is_dir():
        with suppress(UserError):  # a Hub id, or a name that the resolver will refuse in better words
            adapter = adapter.model_copy(update={"model": str(workspace.find_run(adapter.model))})
    return adapter


def find_pictures(reference: str | None, workspace: Workspace) -> tuple[Path, DatasetRecord]:
    """The Dataset of pictures to train on and its record; raises as :func:`studio.train.opening.find_rows`."""
    return find_rows(reference, workspace, kind="image", rows="pictures", example="image/openmoji-small")


def find_base(adapter: DiffusionAdapter) -> ResolvedBase | None:
    """The base of a preset, None for one from scratch."""
    from studio.models.images.bases import resolve_image_base

    return resolve_image_base(adapter.model, adapter.revision) if adapter.model is not None else None


def base_record(base: ResolvedBase) -> dict[str, Any]:
    """As ``ResolvedBase.record``; a base that is a run of the studio's goes by the run's name."""
    run = base.folder.parent
    name = f"{run.parent.name}/{run.name}" if base.source == "local" and (run / "run.json").is_file() else base.name
    return {**base.record(), "name": name}


def refuse_processes(processes: int) -> None:
    """Several processes cannot share an image model's training.

    Raises:
        UserError: more than one is asked for.
    """
    if processes > 1:
        raise UserError(f"--processes {processes}: image models train in one process. Leave it out.")
