"""``studio train`` for a VAE or a GAN: what is checked before a Run is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from studio.cli import output
from studio.cli.train_images import SCRATCH, find_pictures

if TYPE_CHECKING:
    from studio.core.workspace import Workspace


def new_labelled_run(
    workspace: Workspace, path: Path, *, data: str | None, model: str | None, settings: list[str], name: str | None = None
) -> Path:
    """Check everything that can be checked before training, and open the Run.

    Raises:
        UserError: preset, Dataset or setting is wrong, or a base was named.
    """
    from studio.core.errors import UserError
    from studio.schema.generative import GanAdapter, VaeAdapter
    from studio.schema.presets import load_preset
    from studio.train.record import open_run

    if model is not None:
        raise UserError(f"--model {model}: a VAE or GAN is trained from scratch and has no base. Leave it out.")
    # Quoted, because a fingerprint or a folder may look like a number.
    adapter = cast(VaeAdapter | GanAdapter, load_preset(path, [*settings, *([f"data={json.dumps(data)}"] if data else [])]))
    dataset_folder, dataset = find_pictures(workspace, adapter.data)
    workspace.check_writable()
    adapter = adapter.model_copy(update={"data": f"{dataset.name}/{dataset.fingerprint}"})
    stem = path.parent.parent.name if path.name == "config.yaml" else path.stem
    folder = open_run(
        adapter,
        workspace,
        name=name or (stem if path.name == "config.yaml" else f"{dataset.name}-{stem}"),
        dataset_folder=dataset_folder,
        dataset=dataset,
        base=SCRATCH,
        processes=1,
        method="scratch",
    )
    output.note(f"run {folder.parent.name}/{folder.name}")
    return folder
