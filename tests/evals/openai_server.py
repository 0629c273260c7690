"""An OpenAI-compatible server around a model in this process: real HTTP, real log-probabilities, a plain forward pass a request.

It shares no code with what it checks, and it can die after so many requests.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch


@dataclass
class Served:
    """A running server: where it is, what it was asked, when it dies."""

    model: Any
    tokenizer: Any
    template: str
    name: str = "served"
    key: str | None = None
    context: int = 512
    dies_after: int | None = None
    busy: int = 0
    echoes: bool = True
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def logits(self, ids: list[int]) -> torch.Tensor:
        """Logits of every position, [s, v]."""
        with torch.inference_mode():
            return self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """A greedy chat completion."""
        text = self.tokenizer.apply_chat_template(
            body["messages"], chat_template=self.template, tokenize=False, add_generation_prompt=True
        )
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) >= self.context:
            raise ValueError(f"This model's maximum context length is {self.context} tokens")
        start, reason = len(ids), "length"
        while len(ids) - start < min(body["max_tokens"], self.context - start):
            token = int(self.logits(ids)[-1].argmax())
            if token == self.tokenizer.eos_token_id:
                reason = "stop"
                break
            ids.append(token)
        text = self.tokenizer.decode(ids[start:], skip_special_tokens=True)
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
        return {"choices": [choice], "usage": {"completion_tokens": len(ids) - start}}

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """The prompt's log-probabilities and one token more, as vLLM gives them for echo with logprobs."""
        ids = body["prompt"]
        assert body["echo"] and body["max_tokens"] == 1
        if len(ids) >= self.context:
            raise ValueError(f"This model's maximum context length is {self.context} tokens")
        if not self.echoes:
            return {"choices": [{"text": "x", "logprobs": None}]}
        values = self.logits(ids).log_softmax(dim=-1)
        own = [None, *(float(values[place, token]) for place, token in enumerate(ids[1:]))]
        return {"choices": [{"text": "x", "logprobs": {"token_logprobs": [*own, float(values[-1].max())]}}]}


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    """Run the server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({"data": [{"id": served.name, "max_model_len": served.context, "created": len(served.asked)}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with served.lock:
                if served.dies_after is not None and len(served.asked) >= served.dies_after:
                    self.connection.close()
                    return
                served.asked.append(body)
                try:
                    self.reply(served.chat(body) if self.path.endswith("/chat/completions") else served.complete(body))
                except ValueError as error:
                    self.reply({"error": {"message": str(error)}}, 400)

        def reply(self, value: dict[str, Any], status: int = 200) -> None:
            if served.busy and self.command == "POST":
                served.busy -= 1
                value, status = {"error": {"message": "too many requests"}}, 429
            if served.key and self.headers.get("Authorization") != f"Bearer {served.key}":
                value, status = {"error": {"message": "wrong key"}}, 401
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if status == 429:
                self.send_header("Retry-After", "0.1")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
