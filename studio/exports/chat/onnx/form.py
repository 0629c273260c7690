"""``--to onnx`` of a chat. The work is in ``making.py``; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path

from studio.core.telling import Told
from studio.exports.forms import Export, Wishes


class Onnx(Export):
    """Base and adapter as one graph for onnxruntime-genai."""

    models = "chat"
    kinds = ("chat",)
    takes = frozenset({"quant"})
    what = "a graph with its cache for ONNX Runtime of a chat model"
    quants = ("float32", "int8", "int4")
    place = "onnx/QUANT/"

    def check(self, run_folder: Path, wishes: Wishes) -> None:  # noqa: ARG002 - every precision is held by every run
        """See :meth:`Export.check`: the packages, and that the architecture is one that was proven."""
        from studio.exports.chat.onnx.making import check

        check(run_folder)

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Build the graph, run it in onnxruntime-genai, measure what is lost."""
        from studio.exports.chat.onnx.making import export_onnx

        return export_onnx(run_folder, target, wishes.quant or self.quants[0])
