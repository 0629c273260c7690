"""``--to gguf`` and ``--to gguf-lora``: a chat for llama.cpp and Ollama. The work is in ``making.py`` and ``lora.py``; nothing
heavy is imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from studio.core.environments import OwnEnvironment
from studio.core.telling import Told
from studio.exports.forms import Export, Wishes
from studio.models.chat.runtimes.llama import K_QUANTS, LLAMA


class Gguf(Export):
    """Base and adapter in one GGUF file, with a Modelfile for Ollama."""

    models = "chat"
    kinds = ("chat",)
    takes = frozenset({"quant"})
    what = "one GGUF file for llama.cpp and Ollama of a chat model"
    quants = ("q8_0", "f32", "f16", "bf16", *K_QUANTS, "q5_1", "q5_0", "q4_1", "q4_0")
    environment: ClassVar[OwnEnvironment | None] = LLAMA
    place = "gguf/QUANT/"

    def check(self, run_folder: Path, wishes: Wishes) -> None:
        """See :meth:`Export.check`: architecture, settings and tokenizer, read off the base's files."""
        from studio.exports.chat.gguf.making import check

        check(run_folder, self._quant(wishes))

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Write, read back in transformers and in llama.cpp, measure what is lost."""
        from studio.exports.chat.gguf.making import export_gguf

        return export_gguf(run_folder, target, self._quant(wishes))

    def _quant(self, wishes: Wishes) -> str:
        """What was asked for, else the usual one."""
        return wishes.quant or self.quants[0]


class GgufLora(Export):
    """The adapter alone as GGUF, with its base as GGUF beside it."""

    models = "chat"
    kinds = ("chat",)
    takes = frozenset({"quant"})
    what = "an adapter for llama.cpp and Ollama beside the GGUF file of its base, which other adapters can share"
    quants = ("q8_0", "f32", "f16", "bf16")
    environment: ClassVar[OwnEnvironment | None] = LLAMA
    place = "gguf-lora/QUANT/"

    def check(self, run_folder: Path, wishes: Wishes) -> None:
        """See :meth:`Export.check`: as for a whole model, and that the adapter is a plain LoRA."""
        from studio.exports.chat.gguf.lora import check

        check(run_folder, wishes.quant or self.quants[0])

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Write the adapter, and its base where no other export has it, and run both in llama.cpp."""
        from studio.exports.chat.gguf.lora import export_lora

        return export_lora(run_folder, target, wishes.quant or self.quants[0])
