"""``--to openvino`` of a chat. The work is in ``making.py``; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path

from studio.core.telling import Told
from studio.exports.forms import Export, Wishes


class OpenVino(Export):
    """Base and adapter as one model for openvino-genai."""

    models = "chat"
    kinds = ("chat",)
    takes = frozenset({"quant"})
    what = "OpenVINO of a chat model"
    quants = ("float32", "int8")
    place = "openvino/QUANT/"

    def check(self, run_folder: Path, wishes: Wishes) -> None:  # noqa: ARG002 - both kinds of numbers are held by every run
        """See :meth:`Export.check`: the packages, and that the architecture is one that was proven."""
        from studio.exports.chat.openvino.making import check

        check(run_folder)

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Write the model, run it in openvino-genai, measure what is lost."""
        from studio.exports.chat.openvino.making import export_openvino

        return export_openvino(run_folder, target, wishes.quant or self.quants[0])
