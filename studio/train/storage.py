"""Counting what a pass keeps in memory without any memory: tensors that have shapes but no contents, and their storages."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class StorageTracker(TorchDispatchMode):
    """Counts the bytes of every storage made while it is active, from its making to its end, by the kind set at the time."""

    def __init__(self, block: int = 64) -> None:
        """``block``: sizes are rounded up to a multiple of this."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.block, self.kind = block, "activations"
        self.now, self.peak = 0, 0
        self.by_kind: Counter[str] = Counter()
        self.at_peak: dict[str, int] = {}
        self._known: dict[int, list[Any]] = {}  # id of storage -> [weak reference, bytes, kind]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count what it made."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.count(leaf)
        return result

    def ignore(self, tensors: Sequence[Tensor]) -> None:
        """Storages that were there before: weights, inputs."""
        for tensor in tensors:
            self._watch(tensor.untyped_storage(), 0)

    def count(self, tensor: Tensor) -> None:
        """Count the storage of a tensor once."""
        storage = tensor.untyped_storage()
        if id(storage) in self._known:
            return
        size = -(-storage.nbytes() // self.block) * self.block
        self._watch(storage, size)
        self.now += size
        self.by_kind[self.kind] += size
        if self.now > self.peak:
            self.peak, self.at_peak = self.now, dict(self.by_kind)

    def relabel(self, tensor: Tensor, kind: str) -> None:
        """Move a storage that is counted already to another kind."""
        entry = self._known.get(id(tensor.untyped_storage()))
        if entry is not None:
            self.by_kind[entry[2]] -= entry[1]
            self.by_kind[kind] += entry[1]
            entry[2] = kind

    def _watch(self, storage: torch.UntypedStorage, size: int) -> None:
        """Remember a storage until it is freed."""
        key = id(storage)

        def gone(_reference: Any) -> None:
            entry = self._known.pop(key, None)
            if entry is not None:
                self.now -= entry[1]
                self.by_kind[entry[2]] -= entry[1]

        self._known[key] = [weakref.ref(storage, gone), size, self.kind]


def materialise(model: nn.Module) -> None:
    """Replace meta tensors by fake ones that say they are on the CPU; tied weights stay tied."""
    made: dict[int, Tensor] = {}
    keep: list[Tensor] = []  # so that no id is used twice
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is None:
                    continue
                if id(tensor) not in made:
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
                    is_parameter = isinstance(tensor, nn.Parameter)
                    made[id(tensor)] = nn.Parameter(empty, requires_grad=tensor.requires_grad) if is_parameter else empty
                    keep.append(tensor)
                store[name] = made[id(tensor)]  # type: ignore[assignment]
