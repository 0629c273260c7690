"""Runs and their bases to talk to, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.apps.chat_model import ChatModel, Ending, Message, Piece, Sampling, adapter_hash
from studio.apps.run_shelf import RunShelf, Words, shows
from studio.apps.streaming import stream_from_thread
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run

if TYPE_CHECKING:
    from studio.adapters.chat.loading import LoadedRun
    from studio.evals.chat.conversation import Conversation
    from studio.models.chat.answers import Answered

BASE_MARK = "base of "
# Two tuned models side by side is what comparing needs; every further one would take the memory of a whole base.
_KEEP = 2
_WORDS = Words(
    wanted="to talk to",
    remedy="Tune one: studio quickstart",
    unfit="has no language model to talk to yet",
    choices="models",
)


class LocalShelf:
    """Runs of a workspace and their bases, in this process. A few stay loaded; one answer is written at a time."""

    at_once = 1

    def __init__(self, workspace: Workspace, reference: str | None = None, *, every_base: bool = False) -> None:
        """``reference``: the run to begin with; None takes the newest that can speak.

        Args:
            every_base: offer the bases of the other runs too, where one chooses the run on the page.
        Raises:
            UserError: no such run, or none that can speak yet.
        """
        self._workspace, self._every_base = workspace, every_base
        self._runs = RunShelf(workspace, reference, usable=_can_speak, load=_load, words=_WORDS, keep=_KEEP)

    def choices(self) -> list[str]:
        """The run to begin with and its base, then other runs."""
        first, *others = self._runs.choices()
        bases = [BASE_MARK + other for other in others] if self._every_base else []
        return [first, BASE_MARK + first, *others, *bases]

    def get(self, name: str) -> ChatModel:
        """A run, or with ``base of`` before its name the base it was tuned from.

        Raises:
            UserError: it is not among the choices.
        """
        if name not in self.choices():
            raise self._runs.unknown(name)
        return LocalModel(name, self._workspace.find_run(name.removeprefix(BASE_MARK)), self._runs)


class LocalModel:
    """A run in this process, or its base."""

    def __init__(self, name: str, folder: Path, runs: RunShelf[LoadedRun]) -> None:
        """``name``: as in the shelf's choices."""
        record = read_run(folder)
        self.name = name
        self._base = name.startswith(BASE_MARK)
        self.adapter_hash = None if self._base else adapter_hash(record.files)
        self.template_hash = record.template.get("sha256")
        self._folder, self._runs = folder, runs

    @property
    def ready(self) -> bool:
        """See :class:`ChatModel`."""
        return self._runs.is_loaded(self._folder)

    def stream(self, messages: Sequence[Message], sampling: Sampling, stop: threading.Event) -> Iterator[Piece]:
        """See :class:`ChatModel`. The answer is written in a thread of its own, which holds the lock to its end."""

        def write(tell: Callable[[Piece], None]) -> None:
            for piece in self._written(messages, sampling, stop):
                tell(piece)

        return stream_from_thread(write, stop)

    def _written(self, messages: Sequence[Message], sampling: Sampling, stop: threading.Event) -> Iterator[Piece]:
        """The growing answer; holds the lock from the first piece to the last."""
        from studio.evals.chat.conversation import Conversation
        from studio.evals.evidence import Decoding

        with self._runs.lock:
            started = time.perf_counter()
            loaded = self._runs.loaded(self._folder)
            seed = sampling.seed if sampling.seed is not None else time.time_ns() % (1 << 31)
            decoding = Decoding(sampling.max_new_tokens, sampling.temperature, sampling.top_p, seed=seed)
            system = messages[0]["content"] if messages and messages[0]["role"] == "system" else None
            history: list[dict[str, Any]] = [dict(message) for message in messages if message["role"] != "system"]
            talk = Conversation(loaded.model, loaded.tokenizer, loaded.template, decoding, system, history)
            forgotten = talk.fit()
            if self._base:
                with loaded.base() as network:
                    yield from _pieces(talk, network, stop, started, forgotten)
            else:
                yield from _pieces(talk, loaded.model, stop, started, forgotten)


def _pieces(talk: Conversation, network: Any, stop: threading.Event, started: float, forgotten: int) -> Iterator[Piece]:
    """The growing answer of a model in this process."""
    text = thought = ""
    calls: tuple[dict[str, Any], ...] = ()
    first: float | None = None
    for answer in talk.answers(network):
        text, thought, calls = said_text(answer), answer.reasoning_content or "", tuple(answer.tool_calls)
        first = first if first is not None or not (text or thought or calls) else time.perf_counter() - started
        yield Piece(text, forgotten=forgotten, thought=thought, calls=calls)
        if stop.is_set():
            break
    ending: Ending = "stopped" if stop.is_set() else "cut" if talk.cut else "ok"
    spent = time.perf_counter() - started
    yield Piece(text.strip(), ending, spent, first, talk.prompt_tokens, talk.answer_tokens, forgotten, thought, calls)


def said_text(answer: Answered) -> str:
    """The words of an answer, and below them what stands where a call should and cannot be read as one."""
    return "\n\n".join(part for part in (answer.content, "\n".join(answer.broken_calls)) if part)


def _can_speak(record: RunRecord, folder: Path) -> bool:
    """True when a run of a language model has weights."""
    return shows(record, "chat") and (folder / ("model" if record.method == "full" else "adapter")).is_dir()


def _load(folder: Path) -> LoadedRun:
    """A run's model, its tokenizer and its template."""
    from studio.adapters.chat.loading import load_run

    return load_run(folder)
