"""The model as it started, in the one that trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper

START = "start"
"""Name of the frozen adapter that a training began from, where it did."""


@contextmanager
def as_it_started(model: Any) -> Iterator[None]:
    """Within the block the adapter that trains is switched off; that from which the training began, if any, stays on.

    The base's weights must be untouched (not so with PiSSA, with biases that train, or in full tuning). Nothing of what trains is
    changed, nor whether it does.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer | AuxiliaryTrainingWrapper)]
    before = [(layer._disable_adapters, layer._active_adapter) for layer in layers]
    for layer in layers:
        if START in getattr(layer, "lora_A", {}):
            layer._active_adapter = [START]
        else:
            layer._disable_adapters = True
    try:
        yield
    finally:
        for layer, (disabled, active) in zip(layers, before, strict=True):
            layer._disable_adapters, layer._active_adapter = disabled, active
