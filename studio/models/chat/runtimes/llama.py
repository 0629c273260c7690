"""llama.cpp as a runtime: in an environment and a process of its own, so that its crash is a sentence here."""

from __future__ import annotations

from pathlib import Path

from studio.core.environments import OwnEnvironment, find_python, quiet_environment, run_script, threads
from studio.models.chat.runtimes.process import ProcessRuntime, RuntimeProcess
from studio.models.exported import ExportRecord

XLLAMACPP, CYLLAMA = "2026.10.11549", "0.2.18"
"""xllamacpp has all of llama.cpp in its wheel (34 MB) and exports its C interface; the last number is llama.cpp's build. cyllama
(16 MB) has the function that makes a file smaller. Both are wheels for Linux from glibc 2.17 on; nothing is built."""
LLAMA = OwnEnvironment(
    name="llama",
    version=f"{XLLAMACPP}-{CYLLAMA}",
    installs=(("--only-binary=:all:", f"xllamacpp=={XLLAMACPP}", f"cyllama=={CYLLAMA}"),),
    proof="import xllamacpp, cyllama.llama.llama_cpp",
    needs=300_000_000,
    command="studio export --install llama",
    feature="running a GGUF file in llama.cpp",
)
PROCESS, QUANTISE = (Path(__file__).with_name(name) for name in ("llama_process.py", "llama_quantise.py"))
K_QUANTS = ("q6_k", "q5_k_m", "q4_k_m")
"""Kinds of numbers that llama.cpp itself writes; rows that do not divide by 256 get another kind, which it chooses."""
CONTEXT = 4096
"""Tokens for which memory is kept unless the model knows fewer."""


class LlamaRuntime(ProcessRuntime):
    """A GGUF file opened; a :class:`studio.models.chat.runtimes.ChatRuntime`."""

    def __init__(self, file: Path, *, context: int = CONTEXT, exact: bool = False, lora: Path | None = None) -> None:
        """Open a file.

        Args:
            context: tokens at most, prompt and answer together.
            exact: keys and values in float32, for comparing with float32 elsewhere.
            lora: an adapter as GGUF.
        Raises:
            UserError: the environment is not installed.
            StudioError: llama.cpp cannot load it.
        """
        process = RuntimeProcess("llama.cpp", find_python(LLAMA), PROCESS, quiet_environment())
        adapter = str(lora) if lora else None
        super().__init__(process, file=str(file), context=context, threads=threads(), exact=exact, lora=adapter)
        self.adds_bos: bool = self.opened["adds_bos"]
        self.template: str | None = self.opened["template"]

    def ends(self) -> list[int]:
        """Tokens at which llama.cpp ends an answer by itself."""
        found: list[int] = self._process.ask("ends")
        return found


def quantised(source: Path, target: Path, to: str, folder: Path) -> str:
    """Write a GGUF file anew with the smaller numbers of ``q4_k_m``, ``q5_k_m`` or ``q6_k``; gives back what did it.

    Args:
        folder: an existing one for the question and the answer.
    Raises:
        UserError: the environment is not installed.
        StudioError: llama.cpp could not; its last words are in the message.
    """
    question = {"source": str(source), "target": str(target), "to": to, "threads": threads()}
    return str(run_script(find_python(LLAMA), QUANTISE, question, folder=folder)["by"])


def open_gguf(folder: Path, record: ExportRecord) -> LlamaRuntime:
    """An export ``gguf`` as ``studio export`` wrote it."""
    return LlamaRuntime(folder / str(record.extra["file"]))


def open_gguf_lora(folder: Path, record: ExportRecord) -> LlamaRuntime:
    """An export ``gguf-lora``: the adapter on the base beside it."""
    return LlamaRuntime(folder / str(record.extra["base_file"]), lora=folder / str(record.extra["file"]))
