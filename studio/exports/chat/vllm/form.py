"""``--to vllm``: a chat with smaller numbers for vLLM. The work is in ``making.py``; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from studio.core.environments import OwnEnvironment
from studio.core.telling import Told
from studio.exports.chat.vllm.environment import QUANTIZE
from studio.exports.forms import Export, Wishes


class Vllm(Export):
    """Base and adapter in one folder whose weights vLLM reads as small numbers."""

    models = "chat"
    kinds = ("chat",)
    takes = frozenset({"quant"})
    what = "a folder of smaller numbers for vLLM of a chat model"
    quants = ("w8a8", "w4a16", "gptq", "awq", "fp8")
    environment: ClassVar[OwnEnvironment | None] = QUANTIZE
    place = "vllm/QUANT/"

    def check(self, run_folder: Path, wishes: Wishes) -> None:
        """See :meth:`Export.check`: both environments, what vLLM can run here, and the sizes of the layers."""
        from studio.exports.chat.vllm.making import check

        check(run_folder, wishes.quant or self.quants[0])

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Make the numbers smaller, load the folder in vLLM, measure what is lost."""
        from studio.exports.chat.vllm.making import export_vllm

        return export_vllm(run_folder, target, wishes.quant or self.quants[0])
