"""Something to talk to, behind one interface: a run or a base in this process, or a model behind an OpenAI-compatible address."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from studio.core.errors import StudioError, UserError
from studio.core.files import sha256_json
from studio.core.workspace import Workspace, read_run
from studio.feedback.store import Origin

if TYPE_CHECKING:
    from studio.adapters.chat.loading import LoadedRun
    from studio.evals.chat.conversation import Conversation

Message = dict[str, str]
Ending = Literal["ok", "cut", "stopped"]

BASE_MARK = "base of "
LOADING_NOTE = "Loading the model …"


class ModelDownError(StudioError):
    """The model cannot be reached or broke off; the message says what to do."""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. max_new_tokens: longest answer; temperature 0 is greedy; seed None draws anew each time."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Piece:
    """An answer so far. ending: None while it is written. forgotten: oldest turns the model no longer saw."""

    text: str
    ending: Ending | None = None
    seconds: float = 0.0
    first_token_seconds: float | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    forgotten: int = 0


class ChatModel(Protocol):
    """A model to talk to. template_hash and adapter_hash are None where they cannot be known from outside."""

    name: str
    adapter_hash: str | None
    template_hash: str | None

    @property
    def ready(self) -> bool:
        """False while the next answer has to wait until the model is loaded."""
        ...

    def stream(self, messages: Sequence[Message], sampling: Sampling, stop: threading.Event) -> Iterator[Piece]:
        """Yield the growing answer; the last piece has an ending. Setting ``stop`` ends it soon, with what there is.

        Raises:
            UserError: the last question alone is too long.
            ModelDownError: the model cannot be reached or broke off.
        """
        ...


def origin_of(model: ChatModel, sampling: Sampling, *, user: str, app: str) -> Origin:
    """Who answers whom, for the feedback store."""
    return Origin(model.name, user, app, model.adapter_hash, model.template_hash, asdict(sampling))


class Shelf(Protocol):
    """The models one can choose from."""

    at_once: int

    def choices(self) -> list[str]:
        """Names, the preferred one first.

        Raises:
            ModelDownError: the address does not answer.
        """
        ...

    def get(self, name: str) -> ChatModel:
        """The model of a name, opened when it was not yet."""
        ...


@dataclass
class _Open:
    """A loaded run and the lock that lets one answer at a time through it."""

    loaded: LoadedRun
    used: float = field(default_factory=time.monotonic)


class LocalShelf:
    """Runs of a workspace and their bases, in this process. A few stay loaded; one answer is written at a time."""

    at_once = 1
    # Two tuned models side by side is what comparing needs; every further one would take the memory of a whole base.
    _KEEP = 2

    def __init__(self, workspace: Workspace, reference: str | None = None) -> None:
        """``reference``: the run to begin with; None takes the newest that can speak.

        Raises:
            UserError: no such run, or none that can speak yet.
        """
        self._workspace = workspace
        self._lock = threading.Lock()
        self._open: dict[Path, _Open] = {}
        known = _speaking_runs(workspace)
        if reference is not None:
            folder = workspace.find_run(reference)
            if not _can_speak(folder):
                record = read_run(folder)
                raise UserError(
                    f"the run {folder.parent.name}/{folder.name} is of kind {record.kind!r} and {record.status}: it has no "
                    "language model to talk to yet. Choose another (studio runs list)."
                )
            known = [folder, *(other for other in known if other != folder)]
        if not known:
            raise UserError(f"there is no run to talk to in {workspace.runs} yet. Tune one: studio quickstart")
        self._first = known[0]

    def choices(self) -> list[str]:
        """The run to begin with and its base, then other runs."""
        others = [folder for folder in _speaking_runs(self._workspace) if folder != self._first]
        first = _reference(self._first)
        return [first, BASE_MARK + first, *(_reference(folder) for folder in others)]

    def get(self, name: str) -> ChatModel:
        """A run, or with ``base of`` before its name the base it was tuned from.

        Raises:
            UserError: it is not among the choices.
        """
        if name not in self.choices():
            raise UserError(f"{name!r} is not among the models here. Choose another from the list.")
        folder = self._workspace.find_run(name.removeprefix(BASE_MARK))
        return LocalModel(name, folder, self)

    def loaded(self, folder: Path) -> LoadedRun:
        """A run's model, loaded once; the one not used for longest goes when there are too many. Call with the lock held."""
        from studio.adapters.chat.loading import load_run

        if folder not in self._open:
            while len(self._open) >= self._KEEP:
                del self._open[min(self._open, key=lambda key: self._open[key].used)]
            self._open[folder] = _Open(load_run(folder))
        entry = self._open[folder]
        entry.used = time.monotonic()
        return entry.loaded

    def is_loaded(self, folder: Path) -> bool:
        """True when a run's model lies in memory."""
        return folder in self._open

    @property
    def lock(self) -> threading.Lock:
        """Held while a model is loaded or writes: switching an adapter off reaches everyone who uses it."""
        return self._lock


class LocalModel:
    """A run in this process, or its base."""

    def __init__(self, name: str, folder: Path, shelf: LocalShelf) -> None:
        """``name``: as in the shelf's choices."""
        record = read_run(folder)
        self.name = name
        self._base = name.startswith(BASE_MARK)
        self.adapter_hash = None if self._base else adapter_hash(record.files)
        self.template_hash = record.template.get("sha256")
        self._folder, self._shelf = folder, shelf

    @property
    def ready(self) -> bool:
        """See :class:`ChatModel`."""
        return self._shelf.is_loaded(self._folder)

    def stream(self, messages: Sequence[Message], sampling: Sampling, stop: threading.Event) -> Iterator[Piece]:
        """See :class:`ChatModel`.

        The answer is written in a thread of its own: whoever reads it may go away between two pieces, and the lock of the shelf
        must not go with them.
        """
        return _from_thread(lambda: self._written(messages, sampling, stop), stop)

    def _written(self, messages: Sequence[Message], sampling: Sampling, stop: threading.Event) -> Iterator[Piece]:
        """The growing answer; holds the lock from the first piece to the last."""
        from studio.evals.chat.conversation import Conversation
        from studio.evals.chat.generation import Decoding

        with self._shelf.lock:
            started = time.perf_counter()
            loaded = self._shelf.loaded(self._folder)
            seed = sampling.seed if sampling.seed is not None else time.time_ns() % (1 << 31)
            decoding = Decoding(sampling.max_new_tokens, sampling.temperature, sampling.top_p, seed=seed)
            system = messages[0]["content"] if messages and messages[0]["role"] == "system" else None
            history = [dict(message) for message in messages if message["role"] != "system"]
            talk = Conversation(loaded.model, loaded.tokenizer, loaded.template, decoding, system, history)
            forgotten = talk.fit()
            if self._base:
                with loaded.base() as network:
                    yield from _pieces(talk, network, stop, started, forgotten)
            else:
                yield from _pieces(talk, loaded.model, stop, started, forgotten)


def _from_thread(make: Callable[[], Iterator[Piece]], stop: threading.Event) -> Iterator[Piece]:
    """Pieces of an iterator that runs in a thread; a reader that goes away stops it."""
    line: queue.SimpleQueue[Piece | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            for piece in make():
                line.put(piece)
        except BaseException as error:
            line.put(error)
        finally:
            line.put(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (found := line.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        stop.set()


def _pieces(talk: Conversation, network: Any, stop: threading.Event, started: float, forgotten: int) -> Iterator[Piece]:
    """The growing answer of a model in this process."""
    text = ""
    first: float | None = None
    for part in talk.pieces(network):
        text += part
        first = first if first is not None else time.perf_counter() - started
        yield Piece(text, forgotten=forgotten)
        if stop.is_set():
            break
    ending: Ending = "stopped" if stop.is_set() else "cut" if talk.cut else "ok"
    spent = time.perf_counter() - started
    yield Piece(text.strip(), ending, spent, first, talk.prompt_tokens, talk.answer_tokens, forgotten)


def adapter_hash(files: dict[str, str]) -> str | None:
    """One hash over the weights a run wrote down (its adapter, or its model after full tuning)."""
    weights = {name: value for name, value in sorted(files.items()) if name.endswith(".safetensors")}
    return sha256_json(weights) if weights else None


def open_shelf(workspace: Workspace, reference: str | None) -> Shelf:
    """The models behind a run's name or an ``http(s)://`` address.

    Raises:
        UserError: no such run.
    """
    if reference is not None and reference.startswith(("http://", "https://")):
        from studio.apps.endpoint import EndpointShelf

        return EndpointShelf(reference, workspace)
    return LocalShelf(workspace, reference)


def _reference(folder: Path) -> str:
    """``name/time-id`` of a run folder."""
    return f"{folder.parent.name}/{folder.name}"


def _can_speak(folder: Path) -> bool:
    """True when a run of a language model has weights."""
    try:
        record = read_run(folder)
    except StudioError:
        return False
    return record.kind == "chat" and (folder / ("model" if record.method == "full" else "adapter")).is_dir()


def _speaking_runs(workspace: Workspace) -> list[Path]:
    """Runs of language models that have weights, newest first."""
    return [folder for folder in workspace.list_runs() if _can_speak(folder)]


def with_system(messages: Sequence[Message], system: str | None) -> list[Message]:
    """A talk with a system turn before it, at every turn anew; an empty one adds none."""
    first = [{"role": "system", "content": system.strip()}] if system and system.strip() else []
    return [*first, *({"role": turn["role"], "content": turn["content"]} for turn in messages if turn["role"] != "system")]


def drawn_anew(sampling: Sampling) -> Sampling:
    """The same settings for a second try: a greedy answer would come out the same, so it is drawn at a low temperature."""
    return sampling if sampling.temperature else replace(sampling, temperature=0.7, top_p=0.95)
