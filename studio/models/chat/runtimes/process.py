"""A runtime in a process of its own, in whatever environment it needs: its crash is a sentence here, its memory is its own.

The process runs one of the scripts beside this module, which import nothing of the studio. Each question is a line of JSON with
``do``; each answer is a line of JSON, for logits followed by that many bytes of float32. An ``error`` in an answer is one
sentence, and the process goes on.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from studio.core.errors import StudioError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LAST_LINES = 4


class RuntimeProcess:
    """The process; a question at a time."""

    def __init__(self, program: str, python: Path, script: Path, environment: Mapping[str, str]) -> None:
        """Start it.

        Args:
            program: its name in messages. python: of the environment. environment: variables of the process.
        """
        self._program = program
        # What native code says before it crashes goes to a file: a pipe nobody reads would fill up.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [str(python), "-u", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=dict(environment),
        )

    def ask(self, do: str, **question: Any) -> Any:
        """Put a question and wait for its answer; bytes where the answer is logits.

        Raises:
            StudioError: it cannot be done, or the process has crashed; the program's own words are in the message.
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
        return (
            f"{self._program} {how} while it was asked. The end of what it said: {' / '.join(lines[-_LAST_LINES:]) or 'nothing'}"
        )

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


class ProcessRuntime:
    """An export opened in such a process; a :class:`studio.models.chat.runtimes.ChatRuntime`."""

    def __init__(self, process: RuntimeProcess, **opening: Any) -> None:
        """Open an export.

        Args:
            opening: what the script's ``open`` takes; it answers with ``name``, ``words``, ``context`` and what else it knows.
        Raises:
            StudioError: the program cannot load it.
        """
        self._process = process
        try:
            self.opened: dict[str, Any] = process.ask("open", **opening)
        except BaseException:
            process.close()
            raise
        self.name: str = self.opened["name"]
        self.words: int = self.opened["words"]
        self.context: int = self.opened["context"]

    def tokens(self, text: str) -> list[int]:
        """See :meth:`ChatRuntime.tokens`."""
        found: list[int] = self._process.ask("tokens", text=text)
        return found

    def logits(self, ids: Sequence[int], last: int = 1, *, fresh: bool = False) -> NDArray[np.float32]:
        """See :meth:`ChatRuntime.logits`."""
        import numpy as np

        data = self._process.ask("logits", ids=list(ids), last=last, fresh=fresh)
        return np.frombuffer(data, dtype=np.float32).reshape(last, self.words)

    def peak_bytes(self) -> int:
        """See :meth:`ChatRuntime.peak_bytes`."""
        return int(self._process.ask("peak"))

    def close(self) -> None:
        """See :meth:`ChatRuntime.close`."""
        self._process.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class AnsweringRuntime(ProcessRuntime):
    """One whose program also renders conversations and writes answers by itself."""

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a conversation as the program's own chat endpoint makes them: its template, its tokenizer."""
        found: list[int] = self._process.ask("prompt", messages=[dict(message) for message in messages])
        return found

    def write(self, ids: Sequence[int], limit: int) -> list[int]:
        """The program's own greedy answer of at most ``limit`` tokens, the one that ended it included."""
        found: list[int] = self._process.ask("write", ids=list(ids), limit=limit)
        return found
