"""Files that torch itself reads: TorchScript, which it calls deprecated, and exported programs, which follow it.

Both are made in memory first: on a full disk torch's own writer ends the whole process.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.exports.formats.base import Format
from studio.exports.formats.onnx import first_line, quiet_export
from studio.exports.graph import Graph
from studio.models.runtimes.sessions import Arrays


class TorchScript(Format):
    """A trace: what was computed for the sample, with sizes left open."""

    name, road = "torchscript", "traced"
    packages = ("torch",)

    def write(
        self, graph: Graph, folder: Path, *, quant: str | None = None, calibration: Sequence[Arrays] = ()
    ) -> dict[str, Any]:
        """See :meth:`Format.write`."""
        import torch

        assert graph.module is not None
        with quiet_export(), torch.no_grad():
            try:
                traced = torch.jit.trace(graph.module, graph.sample, check_trace=False)
            except RuntimeError as error:
                raise StudioError(f"torch cannot trace this model ({first_line(error)}). Take --to pt2.") from error
            buffer = io.BytesIO()
            torch.jit.save(traced, buffer)
        (folder / "model.ts").write_bytes(buffer.getbuffer())
        return {}


class Pt2(Format):
    """An exported program."""

    name, road = "pt2", "exported"
    packages = ("torch",)

    def write(
        self, graph: Graph, folder: Path, *, quant: str | None = None, calibration: Sequence[Arrays] = ()
    ) -> dict[str, Any]:
        """See :meth:`Format.write`."""
        import torch

        with quiet_export():
            buffer = io.BytesIO()
            torch.export.save(exported(graph), buffer)
        (folder / "model.pt2").write_bytes(buffer.getbuffer())
        return {}


def exported(graph: Graph) -> Any:
    """A graph as ``torch.export.ExportedProgram``.

    Raises:
        StudioError: torch cannot follow the model, or not for every size.
    """
    import torch

    assert graph.module is not None
    free = torch.export.Dim.DYNAMIC
    shapes = tuple({axis: free for axis, size in enumerate(port.shape) if isinstance(size, str)} for port in graph.inputs)
    with quiet_export():
        try:
            return torch.export.export(graph.module, graph.sample, dynamic_shapes=shapes if any(shapes) else None)
        except (RuntimeError, ValueError, torch._dynamo.exc.TorchDynamoException) as error:
            raise StudioError(f"torch cannot export this model ({first_line(error)}).") from error
