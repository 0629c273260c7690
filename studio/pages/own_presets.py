"""Presets of one's own: the file that says what was chosen, and where it is kept."""

from __future__ import annotations

from pathlib import Path

import yaml

from studio.core.content import list_content
from studio.core.errors import UserError
from studio.core.files import disk_errors
from studio.schema.loading import Settings


def own_preset(preset: Settings) -> str:
    """The file that says what was chosen: what stands in the preset and what was changed, nothing else."""
    said = preset.model_dump(mode="json", exclude_unset=True, exclude={"data", "search"})
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=120)


def save_preset(preset: Settings, name: str, description: str) -> str:
    """Write a preset of one's own into the folder where the studio was started, and give back its name.

    Raises:
        UserError: the name cannot be one, or is taken.
        StudioError: it cannot be written.
    """
    if not name or not all(part and part.strip(".") and part.replace("-", "").replace("_", "").isalnum() for part in [name]):
        raise UserError(f"{name!r} cannot name a preset. Use letters, digits, '-' and '_'.")
    full = f"{_folder_of(preset)}/{name}"
    taken = list_content("adapters").get(full)
    file = Path.cwd() / "adapters" / f"{full}.yaml"
    if taken is not None or file.exists():
        raise UserError(f"there is a preset {full} already ({taken or file}), and it stays as it is. Choose another name.")
    text = own_preset(preset.model_copy(update={"description": description, "why": ""}) if description else preset)
    with disk_errors("the preset", file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    return full


def _folder_of(preset: Settings) -> str:
    """Where presets of a kind lie."""
    folders = {"classifier": "classify", "regressor": "regress", "clusters": "cluster", "vae": "image", "gan": "image"}
    kind = str(getattr(preset, "kind", "chat"))
    return folders.get(kind, "embed" if kind in {"embedding", "reranker"} else kind)
