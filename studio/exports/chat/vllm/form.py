"""``--to vllm``: a chat with smaller numbers for vLLM. The work is in ``making.py``; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from studio.core.environments import OwnEnvironment
from studio.core.telling import Told
from studio.exports.forms import Export, Wishes

LLMCOMPRESSOR, TRANSFORMERS, TORCH = "0.14.0.1", "5.17.0", "2.13.0"
"""What was tried together: llmcompressor takes transformers up to 5.17, and training is ahead of it."""
QUANTIZE = OwnEnvironment(
    name="quantize",
    version=f"llmcompressor-{LLMCOMPRESSOR}",
    installs=(
        (f"torch=={TORCH}",),
        (f"torch=={TORCH}", f"transformers=={TRANSFORMERS}", f"llmcompressor=={LLMCOMPRESSOR}"),
    ),
    proof="import llmcompressor.modifiers.quantization, llmcompressor.modifiers.awq",
    needs=3_000_000_000,
    command="studio export --install quantize",
    feature="making the numbers of a model smaller for vLLM",
)


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
