"""OpenVINO's own form, from ONNX."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.extras import require
from studio.exports.formats.base import Format
from studio.exports.formats.onnx import first_line, write_onnx
from studio.exports.graph import Graph
from studio.models.runtimes.sessions import Arrays


class OpenVino(Format):
    """Two files: what is computed, and numbers."""

    name, road = "openvino", "exported"  # OpenVINO reads texts of unequal length wrongly backwards where ONNX knows their lengths
    packages = ("openvino", "torch", "onnx", "onnxscript")

    def check(self) -> None:
        """See :meth:`Format.check`."""
        for module in ("onnx", "onnxscript", "openvino"):
            require(module, feature="--to openvino", extra="openvino")
        super().check()

    def write(
        self, graph: Graph, folder: Path, *, quant: str | None = None, calibration: Sequence[Arrays] = ()
    ) -> dict[str, Any]:
        """See :meth:`Format.write`."""
        import openvino

        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            path = Path(temporary) / "model.onnx"
            write_onnx(graph, path)
            try:
                model = openvino.convert_model(path)
            except Exception as error:
                raise StudioError(f"OpenVINO cannot read this model ({first_line(error)}).") from error
            openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
        return {}
