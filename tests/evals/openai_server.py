"""An OpenAI-compatible server around a model in this process: real HTTP, real log-probabilities, a plain forward pass a request.

It shares no code with what it checks, and it can die after so many requests.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import torch

from tests.servers import BrokenOffError, OpenAIServer, RefusedError


@dataclass
class Served(OpenAIServer):
    """A model that answers one request after the other. dies_after: how many requests it lives for."""

    model: Any
    tokenizer: Any
    template: str
    name: str = "served"
    context: int = 512
    dies_after: int | None = None
    echoes: bool = True
    lock: Any = field(default_factory=threading.Lock)

    def models(self) -> list[dict[str, Any]]:
        return [{"id": self.name, "max_model_len": self.context, "created": len(self.asked)}]

    def take(self, body: dict[str, Any]) -> None:
        if self.dies_after is not None and len(self.asked) >= self.dies_after:
            raise BrokenOffError
        super().take(body)

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.chat(body) if path.endswith("/chat/completions") else self.complete(body)

    def turn(self) -> Any:
        return self.lock

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
            raise RefusedError(400, f"This model's maximum context length is {self.context} tokens")
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
            raise RefusedError(400, f"This model's maximum context length is {self.context} tokens")
        if not self.echoes:
            return {"choices": [{"text": "x", "logprobs": None}]}
        values = self.logits(ids).log_softmax(dim=-1)
        own = [None, *(float(values[place, token]) for place, token in enumerate(ids[1:]))]
        return {"choices": [{"text": "x", "logprobs": {"token_logprobs": [*own, float(values[-1].max())]}}]}


@dataclass(kw_only=True)
class Odd(OpenAIServer):
    """A server whose replies are written down beforehand, however odd.

    script: replies in turn, the last one for ever; a function of the request's body makes one.
    """

    script: list[Any]
    name: str = "odd"

    def models(self) -> list[dict[str, Any]]:
        return [{"id": self.name}]

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        reply = self.script[min(len(self.asked), len(self.script)) - 1]
        return reply(body) if callable(reply) else reply


def saying(content: Any, finish: str = "stop", **other: Any) -> dict[str, Any]:
    """A chat completion of one message; ``model`` goes beside it, everything else into it."""
    top = {"model": other.pop("model")} if "model" in other else {}
    message = {"role": "assistant", "content": content, **other}
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": {"completion_tokens": 3}, **top}
