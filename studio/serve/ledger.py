"""What the guard keeps count of: figures for Prometheus, and rows for the feedback store. Standard library only.

Rows are written by a thread of their own, so that a slow disk never stands between a person and an answer.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.feedback.answers import beside_of
from studio.feedback.store import FeedbackStore, Origin, RequestRow, Status
from studio.language.lists import LISTED_SCRIPTS
from studio.language.phrases import is_refusal
from studio.language.scripts import script_of
from studio.serve.limits import CHAT, RESPONSES
from studio.serve.responses import read_response, talk_of

logger = logging.getLogger("studio.serve")

_SETTINGS = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "seed",
    "repetition_penalty",
)  # fmt: skip
_TURN_FIELDS = ("name", "tool_calls", "tool_call_id", "reasoning_content")
_BATCH = 64
_WAITING = 10_000


@dataclass
class Exchange:
    """One request on its way: what was asked, and what came back so far. Times are seconds from the arrival.

    sent: the request as vLLM gets it.
    """

    id: str
    route: str
    user: str
    model: str
    request: dict[str, Any]
    created: float
    status: int = 0
    stopped: bool = False
    seconds: float = 0.0
    first: float | None = None
    body: list[bytes] = field(default_factory=list)
    sent: bytes = b""


class Ledger:
    """Counters, and the thread that writes rows when that is switched on."""

    def __init__(self, feedback: Path, record: str, models: Any) -> None:
        """``record`` is none, figures or texts; ``models()`` gives name -> entry of the models file."""
        self._path, self._record, self._models = feedback, record, models
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._lost = 0
        self._waiting: queue.Queue[Exchange | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None

    @property
    def wants_bodies(self) -> bool:
        """True when answers have to be kept until they are written down."""
        return self._record != "none"

    def refused(self, model: str, reason: str) -> None:
        """Count a request that was not passed on."""
        self._refusals[model, reason] += 1

    def finished(self, exchange: Exchange) -> None:
        """Count an answer, and hand it to the writing thread."""
        outcome = "stopped" if exchange.stopped else "ok" if exchange.status < 400 else "error"
        self._requests[exchange.model, exchange.route, outcome] += 1
        # Whole microseconds: a counter of integers does not drift.
        self._seconds[exchange.model] += round(exchange.seconds * 1e6)
        if not self.wants_bodies:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="studio-ledger", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(exchange)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what is waiting, for at most 10 seconds."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._waiting.put(None, timeout=5)
            self._thread.join(timeout=10)

    def metrics(self) -> str:
        """The guard's own figures in Prometheus' text format; reads the feedback file, so call it in a thread."""
        lines = ["# HELP studio_requests_total Requests passed on, by model and outcome.", "# TYPE studio_requests_total counter"]
        lines += [_line("studio_requests_total", n, model=m, route=r, outcome=o) for (m, r, o), n in self._requests.items()]
        lines += ["# HELP studio_request_seconds_total Time spent answering.", "# TYPE studio_request_seconds_total counter"]
        lines += [_line("studio_request_seconds_total", n / 1e6, model=m) for m, n in self._seconds.items()]
        lines += ["# HELP studio_refusals_total Requests refused by the guard.", "# TYPE studio_refusals_total counter"]
        lines += [_line("studio_refusals_total", n, model=m, reason=r) for (m, r), n in self._refusals.items()]
        lines += [
            "# HELP studio_unrecorded_total Requests that could not be written down.",
            "# TYPE studio_unrecorded_total counter",
        ]
        lines += [_line("studio_unrecorded_total", self._lost)]
        lines += ["# HELP studio_feedback What users hold of the answers now.", "# TYPE studio_feedback gauge"]
        lines += [_line("studio_feedback", n, model=m, kind=k) for (m, k), n in self._feedback().items()]
        return "\n".join(lines) + "\n"

    def _feedback(self) -> Counter[tuple[str, str]]:
        """Thumbs and corrections per model, from the feedback file if there is one."""
        found: Counter[tuple[str, str]] = Counter()
        if not self._path.is_file():
            return found
        try:
            store = FeedbackStore(self._path)
        except StudioError as error:
            logger.warning("the feedback file cannot be read: %s", error)
            return found
        try:
            found.update((row["model"], "up" if row["value"] > 0 else "down") for row in store.current_ratings())
            found.update((row["model"], "correction") for row in store.rows("corrections"))
        finally:
            store.close()
        return found

    def _write(self) -> None:
        """Take what is waiting, as much as there is, and write it in one transaction."""
        store: FeedbackStore | None = None
        while True:
            item = self._waiting.get()
            batch: list[Exchange] = []
            while item is not None and len(batch) < _BATCH:
                batch.append(item)
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
            else:
                if item is not None:
                    batch.append(item)
            try:
                store = store or FeedbackStore(self._path)
                store.record_requests([self._row(exchange) for exchange in batch])
            except (StudioError, ValueError, TypeError) as error:
                self._lost += len(batch)
                logger.warning("%d requests could not be written down: %s", len(batch), error)
            if item is None:
                return

    def origin_of(self, exchange: Exchange) -> Origin:
        """Who was answered, by which run's files, and how."""
        entry = self._models().get(exchange.model) or {}
        return Origin(
            model=exchange.model,
            user=exchange.user,
            app="serve",
            adapter_hash=entry.get("adapter_hash"),
            template_hash=entry.get("template_hash"),
            sampling={name: exchange.request[name] for name in _SETTINGS if exchange.request.get(name) is not None},
        )

    def _row(self, exchange: Exchange) -> RequestRow:
        """An exchange as the feedback store keeps it."""
        answer = read_answer(exchange.route, exchange.request, b"".join(exchange.body))
        status: Status = "ok" if exchange.status < 400 else "error"
        if exchange.stopped:
            status = "stopped"
        elif answer.get("finish") == "length":
            status = "cut"
        text = answer.get("text")
        texts = self._record == "texts"
        return RequestRow(
            self.origin_of(exchange),
            status,
            id=exchange.id,
            created=exchange.created,
            seconds=exchange.seconds,
            first_token_seconds=exchange.first if exchange.request.get("stream") else None,
            prompt_tokens=answer.get("prompt_tokens"),
            completion_tokens=answer.get("completion_tokens"),
            characters=len(text) if text is not None else None,
            prompt=messages_of(exchange) if texts else None,
            completion=text if texts else None,
            beside=beside_of(answer.get("turn") or {}, exchange.request.get("tools") or ()) if texts else None,
            **_signals(text),
        )


def read_answer(route: str, request: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Text, end and token counts of the first choice of an answer, whole or streamed; what is not there is left out.

    ``turn`` holds its thought and its calls (of chats only).
    """
    found: dict[str, Any] = {}
    texts: list[str] = []
    turn: dict[str, Any] = {}
    documents = [body]
    if request.get("stream"):
        documents = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    for document in documents:
        try:
            value = json.loads(document)
        except ValueError:
            continue
        if route == RESPONSES:
            found |= read_response(value)
            continue
        usage = value.get("usage") or {}
        found |= {name: usage[name] for name in ("prompt_tokens", "completion_tokens") if isinstance(usage.get(name), int)}
        for choice in value.get("choices") or []:
            if choice.get("index", 0):
                continue
            part = choice.get("delta") or choice.get("message") or {}
            piece = part.get("content") if route == CHAT else choice.get("text")
            texts += [piece] if isinstance(piece, str) else []
            grow(turn, part)
            if choice.get("finish_reason"):
                found["finish"] = choice["finish_reason"]
    if texts:
        found["text"] = "".join(texts)
    if turn:
        found["turn"] = turn
    if request.get("stream") and route != RESPONSES and "completion_tokens" not in found and len(documents) > 2:
        # Without a usage line: each event with text carries at least one token, so this is the least it can have been.
        found["completion_tokens"] = sum(1 for text in texts if text)
    return found


def grow(turn: dict[str, Any], part: dict[str, Any]) -> None:
    """Add the thought and the calls of an answer, or of a piece of it, to a turn."""
    thought = part.get("reasoning_content") or part.get("reasoning")
    if isinstance(thought, str):
        turn["reasoning_content"] = turn.get("reasoning_content", "") + thought
    for place, call in enumerate(part.get("tool_calls") or ()):
        calls = turn.setdefault("tool_calls", [])
        index = call.get("index", place)
        while len(calls) <= index:
            calls.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
        function = call.get("function") or {}
        calls[index]["id"] = call.get("id") or calls[index]["id"]
        for key in ("name", "arguments"):
            calls[index]["function"][key] += function.get(key) or ""


def messages_of(exchange: Exchange) -> list[dict[str, Any]]:
    """The prompt as messages; a plain prompt is one user turn."""
    if exchange.route in {CHAT, RESPONSES}:
        turns = talk_of(exchange.request) if exchange.route == RESPONSES else exchange.request.get("messages") or []
        return [
            {
                "role": str(turn.get("role")),
                "content": _plain(turn.get("content")),
                **{key: turn[key] for key in _TURN_FIELDS if turn.get(key)},
            }
            for turn in turns
            if isinstance(turn, dict)
        ]
    return [{"role": "user", "content": _plain(exchange.request.get("prompt"))}]


def _plain(content: Any) -> str:
    """Content as text: text itself, or its parts one after the other."""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return "".join(str(part.get("text", "")) for part in content)
    return (content or "") if isinstance(content, str | None) else json.dumps(content, ensure_ascii=False)


def _signals(text: str | None) -> dict[str, Any]:
    """Whether an answer refuses, where its script has lists; its language is told later: vLLM's environment lacks the package."""
    return {} if text is None else {"refusal": is_refusal(text) if script_of(text) in LISTED_SCRIPTS else None}


def _line(name: str, value: float, **labels: str) -> str:
    """One sample, label values escaped as the text format wants it."""
    if not labels:
        return f"{name} {value}"
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value}"


def _escaped(text: str) -> str:
    """A label value between quotes."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
