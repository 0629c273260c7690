"""A guard without vLLM: the real middleware over a small ASGI application that shows what reached it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from studio.core.files import write_json
from studio.serve.guard import CONFIG, Guard
from studio.serve.keys import add_key, make_key

LIMITS = {
    "body_bytes": 4000, "n": 2, "prompts": 3, "max_tokens": 64, "requests_per_minute": 50, "concurrent": 4,
    "connections": 6, "header_seconds": 0.4,
}  # fmt: skip


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


@dataclass
class Engine:
    """Stands where vLLM's application stands; ``seen`` are the requests that came through."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    pause: float = 0.0
    hold: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": message["type"] + ".complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        message = await receive()
        body = json.loads(message["body"]) if message["body"] else None
        self.seen.append({"path": scope["path"], "method": scope["method"], "body": body, "headers": dict(scope["headers"])})
        if scope["path"] == "/v1/models":
            names = ["base", "one", "two"]
            answer: Any = {
                "data": [{"id": n, "created": 1, "parent": "base", "root": "/secret", "max_model_len": 512} for n in names]
            }
        elif scope["path"] == "/metrics":
            answer = None
        else:
            answer = {
                "model": (body or {}).get("model"),
                "choices": [
                    {"index": 0, "message": {"content": "I cannot help."}, "text": "I cannot help.", "finish_reason": "stop"}
                ],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
            }
        headers = [(b"content-type", b"application/json"), (b"access-control-allow-origin", b"*"), (b"x-request-id", b"vllm")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if self.hold is not None:
            waiter = asyncio.ensure_future(receive())
            holder = asyncio.ensure_future(self.hold.wait())
            await asyncio.wait({waiter, holder}, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            holder.cancel()
        await asyncio.sleep(self.pause)
        data = b"vllm_figure 1\n" if answer is None else json.dumps(answer).encode()
        await send({"type": "http.response.body", "body": data, "more_body": False})


class Gate:
    """The guard with its files, called as a server would call it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.folder = folder
        self.keys, self.aliases = folder / "keys.json", folder / "aliases.json"
        self.feedback = folder / "feedback.sqlite"
        self.operator, fixed = make_key("studio", "operator")
        self.key, _ = add_key(self.keys, "ada")
        models = {name: {"kind": "adapter", "run": f"{name}/1", "path": f"/runs/{name}"} for name in ("one", "two", "late")}
        models["one"] |= {"adapter_hash": "a" * 64, "template_hash": "t" * 64}
        write_json(folder / "models.json", {"format": 1, "models": models})
        config = {
            "keys": str(self.keys), "aliases": str(self.aliases), "models": str(folder / "models.json"),
            "feedback": str(self.feedback), "fixed_keys": [vars(fixed)], "serving": ["base", "one", "two"], "record": "none",
            "limits": LIMITS, "prompt_scores": True,
        }  # fmt: skip
        write_json(folder / "guard.json", config | changes)
        monkeypatch.setenv(CONFIG, str(folder / "guard.json"))
        self.engine = Engine()
        self.guard = Guard(self.engine)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "own",
        headers: dict[str, str] | None = None,
        chunks: AsyncIterator[bytes] | None = None,
        leave: asyncio.Event | None = None,
    ) -> Reply:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = dict(headers or {})
        if key is not None:
            sent["authorization"] = f"Bearer {self.key if key == 'own' else key}"
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }  # fmt: skip
        told: dict[str, Any] = {"body": b""}
        whole = False

        async def receive() -> dict[str, Any]:
            nonlocal whole
            if chunks is not None and not whole:
                try:
                    return {"type": "http.request", "body": await anext(chunks), "more_body": True}
                except StopAsyncIteration:
                    whole = True
                    return {"type": "http.request", "body": b"", "more_body": False}
            if whole:
                await (leave or asyncio.Event()).wait()
                return {"type": "http.disconnect"}
            whole = True
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                told["status"] = message["status"]
                told["headers"] = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                told["body"] += message.get("body", b"")

        await self.guard(scope, receive, send)
        return Reply(told["status"], told["headers"], told["body"])

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        return asyncio.run(self.ask(method, path, body, **options))

    def open(self) -> Gate:
        assert self.call("POST", "/studio/open", {}, key=self.operator).status == 200
        return self


MakeGate = Callable[..., Gate]


@pytest.fixture
def make_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeGate:
    """Make a guard, closed as after a start: ``make_gate(record="figures")``."""
    return lambda **changes: Gate(tmp_path, monkeypatch, **changes)


@pytest.fixture
def gate(make_gate: MakeGate) -> Gate:
    """A guard that lets clients in."""
    return make_gate().open()
