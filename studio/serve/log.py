"""What vLLM's log says: how far a start has come, and why it ended."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import TextIO

from studio.core.progress import clock_text

# What stands in vLLM's log while it starts -> what to tell a person.
_STAGES = (
    ("Initializing a V1 LLM engine", "starting the engine"),
    ("Loading safetensors", "loading weights"),
    ("Starting to load model", "loading weights"),
    ("KV cache size", "warming up"),
    ("Capturing", "capturing graphs"),
    ("Supported tasks", "loading adapters"),
    ("Starting vLLM server", "opening the port"),
)
_CAUSE = re.compile(r"(?:^|\s)((?:\w+\.)*(?:\w*Error|\w*Exception)|[\w.]+: error): (.+)$")


def stage_of(log: Path) -> str:
    """What vLLM is at, from its log."""
    text = _tail(log, 1 << 20)
    found = "loading vLLM"
    place = -1
    for mark, words in _STAGES:
        at = text.rfind(mark)
        if at > place:
            place, found = at, words
    return found


def log_end(log: Path, lines: int = 12) -> str:
    """The last lines of a log, each cut to a readable length."""
    told = [line for line in _tail(log, 1 << 16).splitlines() if line.strip(" ^~")][-lines:]
    return "\n".join("  " + (line if len(line) <= 240 else line[:239] + "…") for line in told)


def cause_of_death(log: Path, code: int) -> str:
    """Why vLLM ended, in one sentence: the last error of its log that is not about another one."""
    told = ""
    lines = _tail(log, 1 << 20).splitlines()
    for number, line in enumerate(lines):
        found = _CAUSE.search(line)
        if found and not re.search(r"root cause|Engine core initialization failed|EngineDeadError", line):
            # pydantic names the field on the next line.
            more = lines[number + 1] if "validation error" in found[2] and number + 1 < len(lines) else ""
            told = more.strip().partition(" [type=")[0] or f"{found[1].rpartition('.')[2]}: {found[2].strip()}"
    if told:
        return told if told.endswith(".") else told + "."
    if code == -signal.SIGKILL:
        return "it was killed (signal 9), usually because the machine ran out of memory."
    return f"it left with signal {-code}." if code < 0 else f"it left with exit code {code} and named no error."


def _tail(path: Path, size: int) -> str:
    """The last bytes of a file as text; empty when it is not there."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - size))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


class WaitingLine:
    """One moving line on a terminal, a line per stage in a log."""

    def __init__(self, what: str, stream: TextIO) -> None:
        self._what, self._stream = what, stream
        self._started = time.monotonic()
        self._last = ""

    def show(self, stage: str, *, last: bool = False) -> None:
        """Say what is going on."""
        text = f"{self._what}  {clock_text(time.monotonic() - self._started)}  {stage}"
        if self._stream.isatty():
            print(f"\r\x1b[2K{text}", end="\n" if last else "", file=self._stream, flush=True)
        elif stage != self._last:
            print(text, file=self._stream, flush=True)
        self._last = stage
