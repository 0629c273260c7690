"""The guard: ASGI middleware that vLLM loads inside its own process (``--middleware``). Standard library only.

Everything a client sends comes through here, once, in memory, without a second hop: who it is, which route, how much, which
model. What is not known to be allowed is refused. Routes:

=============================== ============ ==========================================================
POST /v1/chat/completions       a key        checked, alias resolved, passed on
POST /v1/completions            a key        the same
POST /v1/responses              a key        the same; nothing is kept between two of them
POST /v1/embeddings             a key        in place of these three where an embedding run is served
POST /v1/rerank, /v1/score      a key        in place of them where a reranker is served
POST /v1/feedback               a key        a thumb or a correction for an answer that this user got
GET  /v1/models (and /NAME)     a key        models and aliases, without paths
GET  /healthz                   nobody       200 when ready, 503 before and while draining
GET  /metrics                   operator     vLLM's figures and the guard's
POST /tokenize                  operator     token ids of a conversation, for the parity check
GET  /studio/state              operator     models, aliases, requests in progress
POST /studio/load               operator     an adapter by the name it has in the models file, never by a path
POST /studio/open, /drain       operator     let clients in; let nobody in any more
=============================== ============ ==========================================================

Anything else is 401 without a key and 404 with one.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from studio.serve.aliases import alias_reader, model_entries
from studio.serve.asgi import Headers, Message, Receive, Send, answer, dressed, inner_headers, inner_message
from studio.serve.blocked import FILE_NAME as BLOCKED
from studio.serve.blocked import blocked_reader
from studio.serve.bodies import named_in, read_body, read_object
from studio.serve.books import Watched
from studio.serve.connections import Doors
from studio.serve.keys import Key, KeyReader
from studio.serve.ledger import Exchange, Ledger
from studio.serve.limits import (
    CHAT,
    COMPLETIONS,
    FEEDBACK,
    RESPONSES,
    Limits,
    Meter,
    RefusedError,
    check_request,
    check_turns,
    read_request,
)
from studio.serve.limits import PREFIXES as ANSWERS
from studio.serve.pooled import PREFIXES as POOLED
from studio.serve.pooled import ROUTES, check_pooled
from studio.serve.requests import as_trained
from studio.serve.responses import check_response, response_as_trained
from studio.serve.thumbs import Thumbs

CONFIG = "STUDIO_GUARD"
PREFIXES = {**ANSWERS, **POOLED}


class Guard:
    """See the module. One instance lives in the one process that serves HTTP."""

    def __init__(self, app: Any) -> None:
        """``app`` is vLLM's; the configuration is the JSON file named by ``STUDIO_GUARD``."""
        config = json.loads(Path(os.environ[CONFIG]).read_text(encoding="utf-8"))
        self.app = app
        self._limits = Limits(**config["limits"])
        self._prompt_scores = bool(config["prompt_scores"])
        self._routes = ROUTES.get(config.get("pooled"), (CHAT, COMPLETIONS, RESPONSES))
        self._keys = KeyReader(Path(config["keys"]), [Key(**entry) for entry in config["fixed_keys"]])
        self._blocked = blocked_reader(Path(config["keys"]).with_name(BLOCKED))
        self._aliases = alias_reader(Path(config["aliases"]))
        self._models: Watched[dict[str, Any]] = Watched(Path(config["models"]), lambda book: dict(book["models"]), {"models": {}})
        self._loaded: set[str] = set(config["serving"])
        self._meter = Meter(self._limits)
        self._doors = Doors(self._limits.connections, self._limits.header_seconds)
        self._ledger = Ledger(Path(config["feedback"]), config["record"], self._models.value)
        self._thumbs = Thumbs(Path(config["feedback"]), self._limits, self._ledger)
        # In a container nobody is beside it to let clients in: it opens by itself, and /healthz still waits for the engine.
        self._state = "open" if config.get("open") else "starting"
        self._running = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection's worth of ASGI."""
        if scope["type"] == "lifespan":
            self._doors.hang(scope)
            await self.app(scope, self._closing(receive), send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _closing(self, receive: Receive) -> Receive:
        """Lifespan events, with the ledger written out before the server's own shutdown."""

        async def wrapped() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await asyncio.to_thread(self._ledger.close)
            return message

        return wrapped

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; every refusal leaves through here."""
        identity = uuid.uuid4().hex
        try:
            await self._route(scope, receive, send, identity)
        except RefusedError as refused:
            self._ledger.refused(refused.model, refused.code)
            error = {"message": refused.message, "type": refused.kind, "param": refused.param, "code": refused.code}
            extra: Headers = [(b"retry-after", str(refused.retry_after).encode())] if refused.retry_after else []
            if refused.status == 401:
                extra.append((b"www-authenticate", b"Bearer"))
            await answer(send, refused.status, {"error": error}, identity, extra)

    async def _route(self, scope: Message, receive: Receive, send: Send, identity: str) -> None:
        """Who is it, and where to."""
        method, path = scope["method"], scope["path"]
        if path == "/healthz" and method == "GET":
            await self._health(scope, send, identity)
            return
        key = self._authenticate(scope)
        if key.role != "operator" and key.user in self._blocked.value():
            raise RefusedError(403, "user_blocked", "The owner of this server has blocked this user.")
        client: Any = self._generate if method == "POST" and path in self._routes else None
        if method == "GET" and (path == "/v1/models" or path.startswith("/v1/models/")):
            client = self._list_models
        if method == "POST" and path == FEEDBACK and self._thumbs.wanted and CHAT in self._routes:
            client = self._feedback
        operator = {
            ("GET", "/metrics"): self._metrics,
            ("POST", "/tokenize"): self._tokenize,
            ("GET", "/studio/state"): self._show_state,
            ("POST", "/studio/load"): self._load,
            ("POST", "/studio/open"): self._open,
            ("POST", "/studio/drain"): self._drain,
        }.get((method, path))
        if client is not None:
            if self._state != "open" and key.role != "operator":
                raise RefusedError(503, self._state, f"The server is {self._state}; try again soon.", retry_after=5)
            await self._metered(client, scope, receive, send, identity, key)
        elif operator is not None and key.role == "operator":
            await operator(scope, receive, send, identity, key)
        else:
            raise RefusedError(404, "not_found", "There is no such route.")

    async def _metered(self, route: Any, scope: Message, receive: Receive, send: Send, identity: str, key: Key) -> None:
        """Answer a client within its share; an operator has no limits of number."""
        if key.role == "operator":
            await route(scope, receive, send, identity, key)
            return
        self._meter.enter(key.id)
        try:
            await route(scope, receive, send, identity, key)
        finally:
            self._meter.leave(key.id)

    def _authenticate(self, scope: Message) -> Key:
        """The key of a request.

        Raises:
            RefusedError: none was sent, or it is unknown or revoked; the answer is the same.
        """
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, text = value.decode("latin-1").partition(" ")
                key = self._keys.find(text.strip()) if scheme.lower() == "bearer" else None
                if key is not None:
                    return key
        raise RefusedError(401, "invalid_api_key", "A valid API key is needed: Authorization: Bearer KEY.")

    # -- what clients use ----------------------------------------------------------------------------------------

    async def _generate(self, scope: Message, receive: Receive, send: Send, identity: str, key: Key) -> None:
        """Check a request for an answer, and pass it on under the real model's name."""
        arrived, created = time.perf_counter(), time.time()
        self._running += 1
        try:
            route = scope["path"]
            body = await read_body(scope, receive, self._limits.body_bytes)
            try:
                request = self._checked(route, read_request(body), identity, key.user)
            except RefusedError as refused:
                refused.model = refused.model or self._served(named_in(body))
                raise
            exchange = Exchange(PREFIXES[route] + identity, route, key.user, request["model"], request, created)
            try:
                await self._pass_on(scope, receive, send, exchange, arrived)
            finally:
                exchange.seconds = time.perf_counter() - arrived
                self._ledger.finished(exchange)
        finally:
            self._running -= 1

    def _checked(self, route: str, request: dict[str, Any], identity: str, user: str) -> dict[str, Any]:
        """A request within the limits, under the real model's name, as the run of that model was trained.

        Raises:
            RefusedError: it asks for more, or for tools or arguments that the run does not have.
        """
        if route in POOLED:
            request["model"] = name = self._resolve(request["model"], user, request)
            return check_pooled(route, request, self._limits, self._models.value().get(name, {}).get("read"))
        if route == RESPONSES:
            request = check_response(request, self._limits)
        else:
            request = check_request(route, request, self._limits, prompt_scores=self._prompt_scores)
        request["model"] = name = self._resolve(request["model"], user, request)
        if route == RESPONSES:
            return response_as_trained(request, name, self._speech(name), PREFIXES[route] + identity)
        return as_trained(request, name, self._speech(name)) if route == CHAT else request

    def _speech(self, name: str) -> dict[str, Any]:
        """What the template of a model does."""
        return self._models.value().get(name, {}).get("speech") or {}

    def _resolve(self, asked: str, user: str = "", request: dict[str, Any] | None = None) -> str:
        """The model behind a name or an alias; read once per request, so a switch never splits an answer.

        Args:
            user, request: who asks what, for an alias with a canary.
        Raises:
            RefusedError: no such model; the name is not passed on to anything that could take it for a path.
        """
        way = self._aliases.value().get(asked)
        name = asked if way is None else way.lead(user, request or {}, self._loaded.__contains__)
        if name not in self._loaded:
            known = ", ".join(sorted({*self._loaded, *self._live_aliases()}))
            raise RefusedError(404, "model_not_found", f"The model {asked[:80]!r} is not served here. Served: {known}.", "model")
        return name

    def _served(self, asked: str) -> str:
        """The loaded model behind a name, for the figures; empty where there is none."""
        return {**{name: name for name in self._loaded}, **self._live_aliases()}.get(asked, "")

    def _live_aliases(self) -> dict[str, str]:
        """Aliases of models that are loaded."""
        return {alias: way.model for alias, way in self._aliases.value().items() if way.model in self._loaded}

    async def _pass_on(self, scope: Message, receive: Receive, send: Send, exchange: Exchange, arrived: float) -> None:
        """Hand a checked request to vLLM and watch what comes back."""
        try:
            body = json.dumps(exchange.request, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:
            raise RefusedError(400, "invalid_json", "The body holds half a character (a lone surrogate).") from None
        exchange.sent, given, done = body, False, False
        keeps = self._ledger.wants_bodies or (self._thumbs.wanted and exchange.route in ANSWERS)

        async def ask() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            message = await receive()
            if message["type"] == "http.disconnect" and not done:
                exchange.stopped = True
            return message

        async def tell(message: Message) -> None:
            nonlocal done
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message = {**message, "headers": dressed(message.get("headers", []), exchange.id, exchange.model)}
            else:
                piece = message.get("body", b"")
                if piece and exchange.first is None:
                    exchange.first = time.perf_counter() - arrived
                if piece and keeps:
                    exchange.body.append(bytes(piece))
                done = not message.get("more_body", False)
                if done:  # before the client has it, who may rate it at once
                    self._thumbs.remember(exchange)
            await send(message)

        inner = {
            **scope,
            "headers": inner_headers(scope["headers"], len(body), exchange.id.removeprefix(PREFIXES[exchange.route])),
        }
        await self.app(inner, ask, tell)

    async def _feedback(self, scope: Message, receive: Receive, send: Send, identity: str, key: Key) -> None:
        """A thumb or a correction; it is on disk when the client is told so."""
        asked = await read_object(scope, receive, self._limits.body_bytes)
        await answer(send, 200, await asyncio.to_thread(self._thumbs.take, key.user, asked), identity)

    async def _list_models(self, scope: Message, receive: Receive, send: Send, identity: str, key: Key) -> None:  # noqa: ARG002
        """Models and aliases as OpenAI lists them; vLLM's own list shows folders of this machine."""
        status, body = await self._inner(scope, "GET", "/v1/models")
        if status != 200:
            raise RefusedError(503, "engine", "The models cannot be listed at present.")
        cards = {card["id"]: card for card in json.loads(body)["data"]}
        shown = model_entries(cards, self._live_aliases())
        wanted = scope["path"].removeprefix("/v1/models").removeprefix("/")
        if not wanted:
            await answer(send, 200, {"object": "list", "data": shown}, identity)
            return
        for entry in shown:
            if entry["id"] == wanted:
                await answer(send, 200, entry, identity)
                return
        raise RefusedError(404, "model_not_found", f"The model {wanted[:80]!r} is not served here.", "model")

    async def _health(self, scope: Message, send: Send, identity: str) -> None:
        """Ready or not, for balancers; says nothing else."""
        status = self._state
        if status == "open":
            engine, _ = await self._inner(scope, "GET", "/health")
            status = "ok" if engine == 200 else "engine down"
        await answer(send, 200 if status == "ok" else 503, {"status": status}, identity)

    # -- what the operator uses ----------------------------------------------------------------------------------

    async def _metrics(self, scope: Message, receive: Receive, send: Send, identity: str, key: Key) -> None:  # noqa: ARG002
        """The figures of vLLM with the guard's own after them."""
        _, body = await self._inner(scope, "GET", "/metrics")
        own = await asyncio.to_thread(self._ledger.metrics)
        headers = dressed([(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")], identity)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body.rstrip(b"\n") + b"\n" + own.encode()})

    async def _tokenize(self, scope: Message, receive: Receive, send: Send, identity: str, key: Key) -> None:  # noqa: ARG002
        """Token ids of a conversation, by vLLM's own template and tokenizer."""
        asked = await read_object(scope, receive, self._limits.body_bytes)
        name = self._resolve(str(asked.get("model", "")))
        wanted = ("messages", "add_generation_prompt", "tools", "chat_template_kwargs")
        check_turns(asked.get("messages"))
        allowed = {field: asked[field] for field in wanted if field in asked}
        allowed = as_trained(allowed, name, self._speech(name))
        allowed["model"] = name
        status, body = await self._inner(scope, "POST", "/tokenize", allowed)
        await answer(send, status, json.loads(body), identity)

    async def _show_state(self, scope: Message, receive: Receive, send: Send, identity: str, key: Key) -> None:  # noqa: ARG002
        """What is going on."""
        state = {"state": self._state, "running": self._running, "models": sorted(self._loaded), "aliases": self._live_aliases()}
        await answer(send, 200, state, identity)

    async def _load(self, scope: Message, receive: Receive, send: Send, identity: str, key: Key) -> None:  # noqa: ARG002
        """Load an adapter while running. The request names it; where it lies stands in the models file and nowhere else."""
        name = str((await read_object(scope, receive, self._limits.body_bytes)).get("model", ""))
        entry = self._models.value().get(name)
        if entry is None or entry.get("kind") != "adapter":
            raise RefusedError(
                404, "model_not_found", f"{name[:80]!r} is not in the models file: promote its run first.", "model"
            )
        if name not in self._loaded:
            status, body = await self._inner(
                scope, "POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": entry["path"]}
            )
            if status != 200:
                raise RefusedError(409, "load_failed", f"vLLM did not load {name}: {inner_message(body)}", "model")
            self._loaded.add(name)
        await answer(send, 200, {"loaded": name}, identity)

    async def _open(self, scope: Message, receive: Receive, send: Send, identity: str, key: Key) -> None:  # noqa: ARG002
        """Let clients in."""
        self._state = "open"
        await answer(send, 200, {"state": self._state, "connections_limited": self._doors.hung}, identity)

    async def _drain(self, scope: Message, receive: Receive, send: Send, identity: str, key: Key) -> None:  # noqa: ARG002
        """Let nobody in any more; who is in is answered to the end."""
        self._state = "draining"
        await answer(send, 200, {"state": self._state, "running": self._running}, identity)

    # -- asking vLLM ---------------------------------------------------------------------------------------------

    async def _inner(self, scope: Message, method: str, path: str, value: Any = None) -> tuple[int, bytes]:
        """Ask vLLM in this process; returns status and body."""
        body = b"" if value is None else json.dumps(value).encode()
        headers: Headers = [(b"host", b"localhost"), (b"content-length", str(len(body)).encode())]
        if value is not None:
            headers.append((b"content-type", b"application/json"))
        inner = {**scope, "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
        given = False
        status, pieces = 500, []

        async def ask() -> Message:
            nonlocal given
            if given:
                await asyncio.Event().wait()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                pieces.append(bytes(message.get("body", b"")))

        await self.app(inner, ask, tell)
        return status, b"".join(pieces)
