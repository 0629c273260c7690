"""The weights in a checkpoint: written under the names that the model in memory has, and read back whole or not at all.

``save_pretrained`` writes many architectures under other names than their modules have (experts one by one, the language part of
a multimodal model), and a loader that leaves out what does not fit goes on from the base's weights without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_model
from torch import Tensor

from studio.core.errors import StudioError

_ADAPTER, _MODEL = "adapter_model.safetensors", "model.safetensors"


def write_weights(model: Any, folder: Path) -> None:
    """Write every parameter and buffer of a whole model as ``model.safetensors``, what is shared (tied) once."""
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, str(folder / _MODEL), metadata={"format": "pt"})


def read_weights(model: Any, checkpoint: Path) -> None:
    """Put the weights of a checkpoint into the model that is in memory: its adapter, or all of it.

    Raises:
        StudioError: a tensor is missing, left over or of another shape.
    """
    if (checkpoint / _ADAPTER).is_file():
        set_peft_model_state_dict(model, load_file(checkpoint / _ADAPTER))
        check_adapter(model, checkpoint)
        return
    state: dict[str, Tensor] = {}
    for shard in sorted(checkpoint.glob("model*.safetensors")):
        state |= load_file(shard)
    try:
        loaded = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise StudioError(_unfit(checkpoint, "tensors of other shapes", str(error).splitlines()[-1].strip())) from error
    refuse_unfit(checkpoint, _really_missing(model, state, loaded.missing_keys), loaded.unexpected_keys)


def check_adapter(model: Any, checkpoint: Path) -> None:
    """Make sure that the adapter in memory is that of a checkpoint, number by number.

    Raises:
        StudioError: it is not.
    """
    file = load_file(checkpoint / _ADAPTER)
    held = get_peft_model_state_dict(model, save_embedding_layers=False)
    refuse_unfit(checkpoint, sorted(held.keys() - file.keys()), sorted(file.keys() - held.keys()))
    other = [name for name, value in file.items() if not torch.equal(held[name].detach().cpu(), value.to(held[name].dtype))]
    if other:
        raise StudioError(_unfit(checkpoint, f"{len(other)} tensors that were not taken up", other[0]))


def refuse_unfit(checkpoint: Path, missing: list[str], unexpected: list[str]) -> None:
    """Stop where a checkpoint and the model do not hold the same tensors.

    Raises:
        StudioError: says how many are missing or left over, and names one.
    """
    if missing or unexpected:
        counts = f"{len(missing)} tensors too few and {len(unexpected)} that the model does not have"
        raise StudioError(_unfit(checkpoint, counts, [*missing, *unexpected][0]))


def _really_missing(model: Any, state: dict[str, Tensor], missing: list[str]) -> list[str]:
    """Names that were not in a file, less those that share their numbers with one that was."""
    if not missing:
        return []
    held = model.state_dict()
    read = {(held[name].data_ptr(), held[name].shape) for name in state if name in held}
    return [name for name in missing if (held[name].data_ptr(), held[name].shape) not in read]


def _unfit(checkpoint: Path, what: str, example: str) -> str:
    """The sentence for a checkpoint that cannot be taken up."""
    run = checkpoint.parent.parent
    return (
        f"{checkpoint} does not fit the model: it holds {what} ({example}), so going on would train from other weights. It was "
        f"written by an older version or by another model; start again with: studio train {run.parent.name}/{run.name}"
    )
