"""LSTM and GRU over texts of any length without packed sequences, which no exporter follows.

Legend: b texts, s words of the longest, e numbers per word, w width, r directions, g gates (LSTM 4, GRU 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from studio.models.predictors.text_layers import RecurrentNetwork

# From torch's order of gates to that of ONNX: input, forget, cell, output to input, output, forget, cell; reset, update, new to
# update, reset, new (https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html).
_GATES: dict[str, Sequence[int]] = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}


class PlainLayers(nn.Module):
    """The same recurrent layers, each direction by itself; the second reads every text turned round within its own length."""

    def __init__(self, recurrent: nn.LSTM | nn.GRU) -> None:
        """With the weights of ``recurrent``."""
        super().__init__()
        self.layers = nn.ModuleList()
        for level in range(recurrent.num_layers):
            ways = nn.ModuleList()
            for suffix in _suffixes(recurrent):
                size = getattr(recurrent, f"weight_ih_l{level}{suffix}").shape[1]
                one = type(recurrent)(size, recurrent.hidden_size, batch_first=True)
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(one, f"{name}_l0").data.copy_(getattr(recurrent, f"{name}_l{level}{suffix}"))
                ways.append(one)
            self.layers.append(ways)

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """[b, s, e] and bool [b, s] to [b, s, r w]; what stands behind a text's end means nothing."""
        lengths = mask.sum(dim=1, keepdim=True)
        places = torch.arange(mask.shape[1], device=mask.device)[None]
        turned = torch.where(places < lengths, lengths - 1 - places, places)[:, :, None]  # [b, s, 1]
        for ways in self.layers:
            found = [ways[0](embedded)[0]]  # type: ignore[index]
            for backwards in list(ways)[1:]:  # type: ignore[call-overload]
                read = backwards(torch.gather(embedded, 1, turned.expand(-1, -1, embedded.shape[2])))[0]
                found.append(torch.gather(read, 1, turned.expand(-1, -1, read.shape[2])))
            embedded = torch.cat(found, dim=2)
        return embedded


class NamedLayers(nn.Module):
    """The same recurrent layers, each one operation of ONNX, which knows lengths and directions. It is exported, not run."""

    def __init__(self, recurrent: nn.LSTM | nn.GRU) -> None:
        """With the weights of ``recurrent`` in the order of ONNX."""
        super().__init__()
        self.cell = "lstm" if isinstance(recurrent, nn.LSTM) else "gru"
        self.width, self.depth, self.ways = recurrent.hidden_size, recurrent.num_layers, len(_suffixes(recurrent))

        def ordered(name: str) -> Tensor:
            parts = getattr(recurrent, name).detach().chunk(len(_GATES[self.cell]))
            return torch.cat([parts[place] for place in _GATES[self.cell]])

        for level in range(self.depth):
            ends = [f"l{level}{suffix}" for suffix in _suffixes(recurrent)]
            self.register_buffer(f"inputs_{level}", torch.stack([ordered(f"weight_ih_{end}") for end in ends]))  # [r, g w, e]
            self.register_buffer(f"states_{level}", torch.stack([ordered(f"weight_hh_{end}") for end in ends]))  # [r, g w, w]
            biases = [torch.cat([ordered(f"bias_ih_{end}"), ordered(f"bias_hh_{end}")]) for end in ends]
            self.register_buffer(f"biases_{level}", torch.stack(biases))  # [r, 2 g w]

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """[b, s, e] and bool [b, s] to [b, s, r w]."""
        read = torch.ops.studio.lstm if self.cell == "lstm" else torch.ops.studio.gru
        lengths = mask.sum(dim=1)
        for level in range(self.depth):
            weights = [getattr(self, f"{name}_{level}") for name in ("inputs", "states", "biases")]
            embedded = read(embedded, lengths, *weights, self.width, self.ways)
        return embedded


class TextGraph(nn.Module):
    """A text network over recurrent layers that can be exported: features as :class:`RecurrentNetwork` makes them."""

    def __init__(self, network: RecurrentNetwork, layers: nn.Module) -> None:
        """``layers``: :class:`PlainLayers` or :class:`NamedLayers` of the network's own."""
        super().__init__()
        self.embeddings, self.layers, self.head = network.embeddings, layers, network.head

    def forward(self, numbers: Tensor, mask: Tensor) -> Tensor:
        """int64 and bool [b, s] to logits [b, k]."""
        read = self.layers(self.embeddings(numbers), mask)
        logits: Tensor = self.head(read.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1))
        return logits


def _suffixes(recurrent: nn.LSTM | nn.GRU) -> list[str]:
    """Ends of the names of weights, one for each direction."""
    return ["", "_reverse"] if recurrent.bidirectional else [""]


def _never(*_: Any) -> Tensor:
    """Stands where torch wants something that can be run.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("this operation is made for export alone")


def _shape_of(read: Tensor, lengths: Tensor, inputs: Tensor, states: Tensor, biases: Tensor, width: int, ways: int) -> Tensor:  # noqa: ARG001
    """What comes out, without numbers."""
    return read.new_empty(read.shape[0], read.shape[1], width * ways)


_SCHEMA = "(Tensor read, Tensor lengths, Tensor inputs, Tensor states, Tensor biases, int width, int ways) -> Tensor"
for _cell in _GATES:
    torch.library.custom_op(f"studio::{_cell}", _never, mutates_args=(), schema=_SCHEMA).register_fake(_shape_of)


def onnx_translations() -> dict[Any, Any]:
    """What ``torch.onnx.export`` writes for the operations of :class:`NamedLayers`."""
    from onnxscript import opset20 as op

    # Attributes of ONNX are told apart from tensors by their annotations.
    def lstm(read, lengths, inputs, states, biases, width: int, ways: int):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        way = "bidirectional" if ways == 2 else "forward"
        turned, counts = op.Transpose(read, perm=[1, 0, 2]), op.Cast(lengths, to=6)
        found, _, _ = op.LSTM(turned, inputs, states, biases, counts, hidden_size=width, direction=way)
        return op.Reshape(op.Transpose(found, perm=[2, 0, 1, 3]), op.Constant(value_ints=[0, 0, -1]))

    def gru(read, lengths, inputs, states, biases, width: int, ways: int):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        way = "bidirectional" if ways == 2 else "forward"
        turned, counts = op.Transpose(read, perm=[1, 0, 2]), op.Cast(lengths, to=6)
        # torch multiplies the state by its weights before it is reset.
        found, _ = op.GRU(turned, inputs, states, biases, counts, hidden_size=width, direction=way, linear_before_reset=1)
        return op.Reshape(op.Transpose(found, perm=[2, 0, 1, 3]), op.Constant(value_ints=[0, 0, -1]))

    return {torch.ops.studio.lstm.default: lstm, torch.ops.studio.gru.default: gru}
