"""A model as other programs take it: a module of plain tensors, with names, shapes and meanings of what goes in and comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

    from studio.models.exported import ExportRecord

Road = Literal["onnx", "traced", "exported", "fixed"]
"""How a graph will be written. ``onnx``: sizes named by words may change, and ONNX has recurrent layers with lengths of their
own. ``traced``: sizes may change, plain layers of torch only. ``exported``: the same, but where torch unrolls a layer over the
words of a text their number is the largest. ``fixed``: one row, and the longest text."""


@dataclass(frozen=True)
class Port:
    """One tensor. shape: sizes; a word is one that may change. meaning: for whoever feeds or reads it."""

    name: str
    dtype: Literal["int64", "float32", "float64"]
    shape: tuple[int | str, ...]
    meaning: str

    @property
    def told(self) -> dict[str, Any]:
        """As ``export.json`` keeps it."""
        return {"shape": list(self.shape), "dtype": self.dtype, "meaning": self.meaning}


@dataclass(frozen=True)
class Graph:
    """What is computed.

    module: takes tensors in the order of ``inputs``; None where ``onnx`` makes the model by itself. sample: tensors that it
    takes. onnx: gives an ``onnx.ModelProto`` of an estimator that is no network. translations: what ``torch.onnx.export`` writes
    for operations of the studio's own.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    module: nn.Module | None = None
    sample: tuple[Tensor, ...] = ()
    onnx: Callable[[], Any] | None = None
    translations: Callable[[], dict[Any, Any]] | None = None

    def described(self, record: ExportRecord) -> ExportRecord:
        """The record of an export with these inputs and outputs."""
        inputs, outputs = ({port.name: port.told for port in ports} for ports in (self.inputs, self.outputs))
        return record.model_copy(update={"inputs": inputs, "outputs": outputs})
