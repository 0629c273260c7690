"""``POST /v1/feedback``: what a client's people say of an answer, written into the feedback file. Standard library only.

    {"id": "chatcmpl-...", "rating": "up"}
    {"id": "chatcmpl-...", "rating": "down", "correction": "What the answer should have been.", "comment": "why"}

OpenAI's interface has no such route. The shape is the usual one of servers that have: the answer's own id, and a rating. Who said
it is the user of the key, and only answers to that user can be rated. The words of an answer are held in memory for a while,
whatever is written down of requests; they reach the disk with a judgement, because giving one is how a person hands them over.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError, UserError
from studio.feedback.answers import beside_of
from studio.feedback.store import FeedbackStore, Origin
from studio.serve.ledger import Exchange, Ledger, messages_of, read_answer
from studio.serve.limits import PREFIXES, Limits, RefusedError, only_known

logger = logging.getLogger("studio.serve")

VALUES = {"up": 1, "down": -1, "none": 0}
"""``none`` takes back what this user said of the answer before."""
_FIELDS = {"id", "rating", "correction", "comment"}
_COMMENT = 2000


@dataclass(frozen=True)
class Answered:
    """An answer that can be rated: to whom, by which model, and its words."""

    user: str
    origin: Origin
    prompt: list[dict[str, Any]]
    completion: str
    beside: dict[str, Any] | None


class Thumbs:
    """The newest answers, and the road of a judgement into the feedback file. May be called from several threads."""

    def __init__(self, feedback: Path, limits: Limits, ledger: Ledger) -> None:
        """``ledger`` knows which run stands behind a model's name."""
        self._path, self._ledger = feedback, ledger
        self._seconds, self._room = 60 * limits.feedback_minutes, limits.feedback_bytes
        self._held: OrderedDict[str, tuple[float, int, Exchange]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._store: FeedbackStore | None = None

    @property
    def wanted(self) -> bool:
        """False where the profile has switched it off."""
        return self._seconds > 0

    def remember(self, exchange: Exchange) -> None:
        """Hold an answer, as long as there is time and room for it; the oldest go first."""
        if not self.wanted or exchange.route not in PREFIXES or exchange.status != 200:
            return
        # The request is held once, as text, which is a third of what it is as objects.
        held = replace(exchange, request={}, body=[b"".join(exchange.body)])
        size = len(held.sent) + len(held.body[0])
        with self._lock:
            self._held[exchange.id] = (time.monotonic(), size, held)
            self._size += size
            self._drop_old()

    def _drop_old(self) -> None:
        """Let go of what is too old, and of the oldest where there is too much."""
        until = time.monotonic() - self._seconds
        while self._held:
            moment, size, _ = next(iter(self._held.values()))
            if moment >= until and self._size <= self._room:
                return
            self._held.popitem(last=False)
            self._size -= size

    def take(self, user: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Write down what a user says of an answer, and return what the client is told. Waits for the disk.

        Raises:
            RefusedError: it is not said in the way above, the answer was not given to this user or is too old, the disk is full.
        """
        value, correction, comment = _read(asked)
        identity = asked["id"]
        try:
            found = self._find(identity)
            if found is None or found.user != user:
                raise RefusedError(404, "answer_not_found", self._gone(identity), "id")
            store = self._opened()
            said = {"prompt": found.prompt, "completion": found.completion, "request": identity, "beside": found.beside}
            # The correction first: it is the one that can be refused, and then nothing of the request is kept.
            if correction is not None:
                _correct(store, found.origin, correction, said)
            if value is not None:
                store.rate(found.origin, value=value, comment=comment, **said)  # type: ignore[arg-type]
        except StudioError as error:
            logger.warning("a judgement could not be written down: %s", error)
            raise RefusedError(503, "not_written", "It could not be written down; try again later.", retry_after=30) from None
        told = {"object": "feedback", "id": identity, "model": found.origin.model, "rating": asked.get("rating")}
        return {**told, "corrected": correction is not None}

    def _gone(self, identity: str) -> str:
        """Why an answer cannot be rated."""
        minutes = f"{self._seconds / 60:g} minutes"
        return f"There is no answer {identity[:80]!r} to this key's user, or it is too old: an answer can be rated for {minutes}."

    def _opened(self) -> FeedbackStore:
        """The feedback file, opened with the first judgement."""
        with self._lock:
            self._store = self._store or FeedbackStore(self._path)
            return self._store

    def _find(self, identity: str) -> Answered | None:
        """An answer that is held, or one that was written down with its words."""
        with self._lock:
            self._drop_old()
            held = self._held.get(identity)
        if held is not None:
            return self._answered(held[2])
        if not self._path.is_file():
            return None
        row = self._opened().request(identity)
        if row is None or row["prompt"] is None or row["completion"] is None:
            return None
        names = ("model", "user", "app", "adapter_hash", "template_hash", "sampling")
        origin = Origin(**{name: row[name] for name in names})
        return Answered(row["user"], origin, row["prompt"], row["completion"], row["beside"])

    def _answered(self, held: Exchange) -> Answered | None:
        """An answer that is held, read; None where it has no words and calls nothing."""
        exchange = replace(held, request=json.loads(held.sent))
        found = read_answer(exchange.route, exchange.request, held.body[0])
        turn = found.get("turn") or {}
        if "text" not in found and not turn:
            return None
        beside = beside_of(turn, exchange.request.get("tools") or ())
        origin = self._ledger.origin_of(exchange)
        return Answered(exchange.user, origin, messages_of(exchange), found.get("text", ""), beside)


def _correct(store: FeedbackStore, origin: Origin, correction: str, said: dict[str, Any]) -> None:
    """Write down what an answer should have been.

    Raises:
        RefusedError: it is the answer itself.
    """
    try:
        store.correct(origin, correction=correction, **said)
    except UserError as error:
        raise RefusedError(400, "invalid_value", str(error), "correction") from None


def _read(asked: dict[str, Any]) -> tuple[int | None, str | None, str | None]:
    """Value, correction and comment of a request.

    Raises:
        RefusedError: a field is unknown or of the wrong kind, or nothing is said.
    """
    only_known(asked, _FIELDS)
    for name in sorted(_FIELDS):
        text = asked.get(name)
        if text is None and name != "id":
            continue
        if not isinstance(text, str) or not text.strip():
            raise RefusedError(
                400, "invalid_value", f"{name} must be text{' (the id of an answer)' if name == 'id' else ''}.", name
            )
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RefusedError(400, "invalid_json", "The body holds half a character (a lone surrogate).", name) from None
    rating, correction, comment = (asked.get(name) for name in ("rating", "correction", "comment"))
    if rating is not None and rating not in VALUES:
        raise RefusedError(400, "invalid_value", f"rating is {rating[:80]!r}. Allowed: {', '.join(VALUES)}.", "rating")
    if rating is None and correction is None:
        raise RefusedError(400, "invalid_value", "Say something of the answer: rating (up, down, none) or correction.", "rating")
    if comment is not None and (rating is None or len(comment) > _COMMENT):
        raise RefusedError(
            400, "invalid_value", f"A comment goes with a rating, and has at most {_COMMENT} characters.", "comment"
        )
    return None if rating is None else VALUES[rating], correction, comment
