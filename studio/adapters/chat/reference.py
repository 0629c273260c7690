"""Training on from a run's adapter: it lies frozen beside the new one, and alone it is the model as it started.

Legend: r ranks of the two, i inputs and o outputs of a layer. The model computes W x + s0 B0 A0 x + s1 B1 A1 x; the base W and
the start's A0 and B0 are frozen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

from studio.core.errors import UserError

TRAINED, START = "default", "start"


def attach_start(model: PeftModel, adapter_folder: Path) -> None:
    """Put a run's adapter, frozen and without dropout, beside the one that trains.

    Args:
        model: carries the adapter that trains, see :func:`studio.adapters.chat.attach.attach_lora`.
        adapter_folder: a plain PEFT folder, see :func:`studio.adapters.chat.start.refuse_start`.
    Raises:
        UserError: the new adapter is on stacked experts.
    """
    _refuse_experts(model)
    # Empty at first, so that the random numbers of the training are those of one without a start.
    model.load_adapter(
        str(adapter_folder),
        START,
        is_trainable=False,
        torch_device=str(model.device),
        low_cpu_mem_usage=True,
        local_files_only=True,
    )
    _join(model)


def attach_start_shape(model: PeftModel, adapter_folder: Path) -> None:
    """The same on a model without contents, for a plan."""
    _refuse_experts(model)
    config = LoraConfig.from_pretrained(str(adapter_folder))
    config.init_lora_weights = True
    model.add_adapter(START, config)
    _join(model)


def has_start(model: Any) -> bool:
    """True where a model was started from a run's adapter."""
    return START in getattr(model, "peft_config", {})


def start_rank(model: Any) -> int:
    """The largest rank of the adapter that a model was started from; 0 without one."""
    return max(
        (int(module.r[START]) for module in model.modules() if isinstance(module, LoraLayer) and START in module.r), default=0
    )


@contextmanager
def as_it_started(model: Any) -> Iterator[Any]:
    """The model as it was before the first step: the trained adapter off, and that of the start on where there is one.

    Not of PiSSA, which moves a part of the base's weights into the adapter, nor where biases train: there the base alone is not
    the start. Nothing of what trains is changed, nor whether it does, as PEFT's own switches would.
    """
    layers: list[Any] = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer | AuxiliaryTrainingWrapper)]
    before = [(layer._disable_adapters, layer._active_adapter) for layer in layers]
    for layer in layers:
        if START in getattr(layer, "lora_A", {}):
            layer._active_adapter = [START]
        else:
            layer._disable_adapters = True
    try:
        yield model
    finally:
        for layer, (disabled, active) in zip(layers, before, strict=True):
            layer._disable_adapters, layer._active_adapter = disabled, active


def _refuse_experts(model: PeftModel) -> None:
    """Stacked experts keep their ranks in another order than layers do."""
    if model.peft_config[TRAINED].target_parameters:
        raise UserError(
            f"an adapter on the stacked experts of {model.config.model_type} cannot be trained on top of a run's adapter. Set "
            "lora.target_modules=attention, or merge the run first (studio export RUN --to merged) and give the merged folder."
        )


def _join(model: PeftModel) -> None:
    """Both adapters compute, the trained one learns."""
    model.base_model.set_adapter([TRAINED, START])
    for module in model.modules():
        dropout = getattr(module, "lora_dropout", None)
        if isinstance(dropout, nn.ModuleDict) and START in dropout:
            dropout[START] = nn.Identity()  # the start is a part of the frozen model, whose answers do not waver
    for name, parameter in model.named_parameters():
        if f".{START}." in name or name.endswith(f".{START}"):
            parameter.requires_grad_(False)
