"""TensorFlow Lite by LiteRT's own converter, which lives in an environment of its own."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.environments import find_python, run_script
from studio.exports.formats.base import Format
from studio.exports.formats.onnx import quiet_export
from studio.exports.formats.torch_files import exported
from studio.exports.graph import Graph
from studio.models.runtimes.environments import LITERT
from studio.models.runtimes.sessions import Arrays

SCRIPTS = Path(__file__).parent / "scripts"


class TfLite(Format):
    """One file for phones and small boards; all sizes are fixed."""

    name, road = "tflite", "fixed"
    packages = ("torch",)

    def write(
        self, graph: Graph, folder: Path, *, quant: str | None = None, calibration: Sequence[Arrays] = ()
    ) -> dict[str, Any]:
        """See :meth:`Format.write`."""
        import torch

        python = find_python(LITERT)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            place = Path(temporary)
            buffer = io.BytesIO()
            with quiet_export():
                torch.export.save(exported(graph), buffer)
            (place / "program.pt2").write_bytes(buffer.getbuffer())
            question = {
                "program": str(place / "program.pt2"),
                "sample": str(write_sample(graph, place)),
                "inputs": [port.name for port in graph.inputs],
                "outputs": [port.name for port in graph.outputs],
                "model": str((folder / "model.tflite").resolve()),
            }
            answer: dict[str, Any] = run_script(python, SCRIPTS / "convert_tflite.py", question, folder=place)
        return answer


def write_sample(graph: Graph, folder: Path) -> Path:
    """The tensors that a graph is followed with, as a file."""
    path = folder / "sample.npz"
    arrays = {port.name: value.numpy() for port, value in zip(graph.inputs, graph.sample, strict=True)}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path
