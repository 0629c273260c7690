"""ExecuTorch with XNNPACK, which runs on phones and boards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.exports.formats.base import Format
from studio.exports.formats.onnx import first_line, quiet_export
from studio.exports.formats.torch_files import exported
from studio.exports.graph import Graph
from studio.models.runtimes.sessions import Arrays


class ExecuTorch(Format):
    """One file; all sizes are fixed."""

    name, road = "executorch", "fixed"
    packages = ("executorch", "torch")

    def write(
        self, graph: Graph, folder: Path, *, quant: str | None = None, calibration: Sequence[Arrays] = ()
    ) -> dict[str, Any]:
        """See :meth:`Format.write`."""
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        with quiet_export():
            try:
                program = to_edge_transform_and_lower(exported(graph), partitioner=[XnnpackPartitioner()]).to_executorch()
            except Exception as error:
                raise StudioError(f"ExecuTorch cannot hold this model ({first_line(error)}).") from error
        with (folder / "model.pte").open("wb") as file:
            program.write_to_file(file)
        return {}
