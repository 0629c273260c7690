"""A SavedModel of TensorFlow, from ONNX with fixed sizes, in an environment of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.core.environments import find_python, run_script
from studio.core.extras import require
from studio.exports.formats.base import Format
from studio.exports.formats.litert import SCRIPTS
from studio.exports.formats.onnx import write_onnx
from studio.exports.graph import Graph
from studio.models.runtimes.environments import TENSORFLOW
from studio.models.runtimes.sessions import Arrays

# The newest that onnx 1.19 of that environment and onnx2tf read.
_OPSET = 18


class SavedModel(Format):
    """A folder that TensorFlow and TensorFlow Serving load; all sizes are fixed."""

    name, road = "savedmodel", "fixed"
    packages = ("torch", "onnx", "onnxscript")
    # onnx2tf turns the axes of masks, and so fails on what fills up texts.
    texts = False

    def check(self) -> None:
        """See :meth:`Format.check`."""
        for module in ("onnx", "onnxscript"):
            require(module, feature="--to savedmodel", extra="onnx")
        super().check()

    def write(
        self, graph: Graph, folder: Path, *, quant: str | None = None, calibration: Sequence[Arrays] = ()
    ) -> dict[str, Any]:
        """See :meth:`Format.write`."""
        python = find_python(TENSORFLOW)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            place = Path(temporary)
            write_onnx(graph, place / "model.onnx", opset=_OPSET)
            question = {
                "model": str(place / "model.onnx"),
                "folder": str(place / "saved_model"),
                "work": str(place),
                "inputs": {port.name: list(port.shape) for port in graph.inputs},
                "outputs": {port.name: list(port.shape) for port in graph.outputs},
            }
            answer: dict[str, Any] = run_script(python, SCRIPTS / "convert_savedmodel.py", question, folder=place)
            for stray in (place / "saved_model").glob("*.tflite"):
                stray.unlink()
            shutil.move(place / "saved_model", folder / "saved_model")
        return answer
