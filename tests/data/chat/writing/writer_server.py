"""A writer of questions that does as it is told: rightly by default, and otherwise request by request."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.servers import OpenAIServer, RefusedError

_TEXT = re.compile(r"<text>\n(.*)\n</text>", re.DOTALL)
_COUNT = re.compile(r"Write (\d+)")


def sentences_of(body: dict[str, Any]) -> list[str]:
    """Sentences of the chunk that a request is about."""
    text = _TEXT.search(body["messages"][-1]["content"])
    assert text is not None
    return [line for line in re.split(r"(?<=\.)\s+|\n+", text.group(1)) if len(line.split()) >= 3 and line.endswith(".")]


def wanted(body: dict[str, Any]) -> int:
    """How many rows a request asks for."""
    found = _COUNT.search(body["messages"][-1]["content"])
    assert found is not None
    return int(found.group(1))


def good_rows(body: dict[str, Any]) -> list[dict[str, str]]:
    """A question for each sentence, which is its answer and its quote."""
    return [
        {"question": f"What is written about {' '.join(sentence.split()[:6])}?", "answer": sentence, "quote": sentence}
        for sentence in sentences_of(body)[: wanted(body)]
    ]


def saying(content: str, finish: str = "stop", tokens: tuple[int, int] | None = (100, 50)) -> dict[str, Any]:
    """A chat completion."""
    usage = {"usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}} if tokens else {}
    return {
        "model": "writer-1",
        "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": finish}],
    } | usage


def rows(*items: dict[str, str]) -> dict[str, Any]:
    """A good reply with these rows."""
    return saying(json.dumps({"rows": list(items)}))


@dataclass(kw_only=True)
class WriterServer(OpenAIServer):
    """script: what to do at each request in turn, then rightly for ever; a number is a status, ``stall`` waits, a function makes
    the reply of the request's body. refuses: parts of a request that it does not take, and what it says of them. refused: what it
    says of a whole request that it does not take.
    """

    script: list[Any] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    refused: Callable[[dict[str, Any]], str | None] = lambda _: None
    lock: Any = field(default_factory=threading.Lock)

    def models(self) -> list[dict[str, Any]]:
        return [{"id": "writer-1"}]

    def take(self, body: dict[str, Any]) -> None:
        for part, said in self.refuses.items():
            if part in body:
                raise RefusedError(400, said)
        if said := self.refused(body):
            raise RefusedError(400, said)
        super().take(body)

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any] | bytes:
        with self.lock:
            step: Any = self.script.pop(0) if self.script else None
        if isinstance(step, int):
            raise RefusedError(step, "the server is out of order")
        if step == "stall":
            time.sleep(1.5)
            return saying("too late")
        if isinstance(step, Callable):  # type: ignore[arg-type]
            return step(body)
        return step if step is not None else rows(*good_rows(body))
