"""llama.cpp as a runtime: in an environment and a process of its own, so that its crash is a sentence here."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.environments import OwnEnvironment, find_python, quiet_environment, run_script
from studio.core.errors import StudioError
from studio.models.exported import ExportRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
_LAST_LINES = 4


class LlamaProcess:
    """The process; a question at a time."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            UserError: the environment is not installed.
            StudioError: it cannot start.
        """
        python = find_python(LLAMA)
        # What native code says before it crashes goes to a file: a pipe nobody reads would fill up.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [str(python), "-u", str(PROCESS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=quiet_environment(),
        )
        about = self.ask("about")
        self.name = f"llama.cpp b{about['package'].rpartition('.')[2]} (xllamacpp {about['package']})"

    def ask(self, do: str, **question: Any) -> Any:
        """Put a question and wait for its answer; bytes where the answer is logits.

        Raises:
            StudioError: it cannot be done, or the process has crashed; llama.cpp's own words are in the message.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **question}).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise StudioError(self._crash())
        said = json.loads(line)
        if "error" in said:
            raise StudioError(said["error"])
        answer = said["answer"]
        if isinstance(answer, dict) and set(answer) == {"bytes"}:
            data = self._process.stdout.read(answer["bytes"])
            if len(data) != answer["bytes"]:
                raise StudioError(self._crash())
            return data
        return answer

    def _crash(self) -> str:
        """How the process ended, in one sentence."""
        code = self._process.wait()
        self._said.seek(0)
        lines = [line for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        how = f"was ended by signal {-code}" if code < 0 else f"ended ({code})"
        return f"llama.cpp {how} while it was asked. The end of what it said: {' / '.join(lines[-_LAST_LINES:]) or 'nothing'}"

    def close(self) -> None:
        """End the process; twice is the same as once."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()

    def __enter__(self) -> LlamaProcess:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class LlamaRuntime:
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
        self._process = LlamaProcess()
        try:
            opened = self._process.ask(
                "open", file=str(file), context=context, threads=threads(), exact=exact, lora=str(lora) if lora else None
            )
        except BaseException:
            self._process.close()
            raise
        self.name: str = self._process.name
        self.words: int = opened["words"]
        self.context: int = opened["context"]
        self.adds_bos: bool = opened["adds_bos"]
        self.template: str | None = opened["template"]

    def tokens(self, text: str) -> list[int]:
        """See :meth:`ChatRuntime.tokens`."""
        found: list[int] = self._process.ask("tokens", text=text)
        return found

    def ends(self) -> list[int]:
        """Tokens at which llama.cpp ends an answer by itself."""
        found: list[int] = self._process.ask("ends")
        return found

    def logits(self, ids: Sequence[int], last: int = 1, *, fresh: bool = False) -> NDArray[np.float32]:
        """See :meth:`ChatRuntime.logits`."""
        import numpy as np

        data = self._process.ask("logits", ids=list(ids), last=last, fresh=fresh)
        return np.frombuffer(data, dtype=np.float32).reshape(last, self.words)

    def peak_bytes(self) -> int:
        """See :meth:`ChatRuntime.peak_bytes`."""
        return int(self._process.ask("about")["peak"])

    def close(self) -> None:
        """See :meth:`ChatRuntime.close`."""
        self._process.close()

    def __enter__(self) -> LlamaRuntime:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


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


def threads() -> int:
    """Threads to compute with: those the person's OMP_NUM_THREADS allows, else one per processor of this process."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else len(os.sched_getaffinity(0))


def open_gguf(folder: Path, record: ExportRecord) -> LlamaRuntime:
    """An export ``gguf`` as ``studio export`` wrote it."""
    return LlamaRuntime(folder / str(record.extra["file"]))


def open_gguf_lora(folder: Path, record: ExportRecord) -> LlamaRuntime:
    """An export ``gguf-lora``: the adapter on the base beside it."""
    return LlamaRuntime(folder / str(record.extra["base_file"]), lora=folder / str(record.extra["file"]))
