"""Rows that offer tools, a run whose template writes them, and models that write what a test says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from studio.core.files import write_json
from studio.core.records import RunRecord, read_record
from studio.core.workspace import Workspace
from studio.data.chat.rows import ChatRow
from studio.models.chat.generation import Written
from studio.models.chat.templates import ChatTemplate
from tests.evals.conftest import write_dataset
from tests.models.chat.tool_shapes import CALLS

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"type": "string", "default": "C"},
            },
        },
    },
}
BOOK = {
    "type": "function",
    "function": {"name": "book", "parameters": {"type": "object", "properties": {"day": {"type": "string"}}}},
}
# The way of Hermes and Qwen, with thoughts.
TEMPLATE = CALLS["hermes"]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": None, "type": "function", "function": {"name": name, "arguments": arguments}}


def written_call(name: str, **arguments: Any) -> str:
    """A call as the template writes it."""
    return f'\n<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments)}}}\n</tool_call>'


def row(identity: str, question: str, *, calls: Sequence[dict[str, Any]] = (), text: str = "", tools: Any = None) -> ChatRow:
    turn: dict[str, Any] = {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {})}
    offered = [WEATHER, BOOK] if tools is None else tools
    return ChatRow(identity, [{"role": "user", "content": question}, turn], "tiny", tools=offered)


def tool_dataset(workspace: Workspace, rows: Sequence[ChatRow], name: str = "tools") -> Path:
    return write_dataset(workspace, name, {"train": [row("t", "Trained?", text="Yes.")], "test": list(rows)})


def set_template(run: Path, text: str) -> None:
    """Another chat template for a run."""
    template = ChatTemplate("tokenizer", text)
    (run / "chat_template.jinja").write_text(text)
    record = read_record(run / "run.json", RunRecord).model_dump(mode="json")
    write_json(run / "run.json", record | {"template": template.record()})


def write_what_is_said(
    monkeypatch: pytest.MonkeyPatch, base: Path, *scripts: Mapping[str, str | tuple[str, bool]]
) -> list[list[str]]:
    """Let models write what the scripts say: question to answer, or to answer and whether the limit cut it.

    The first script is for the first model that is asked (the tuned one), and so on. Gives the prompts that they were asked.
    """
    tokenizer = AutoTokenizer.from_pretrained(base)
    asked: list[list[str]] = []

    def write_answers(model: Any, prompts: Sequence[list[int]], decoding: Any, **_: Any) -> list[Written | None]:
        texts = [tokenizer.decode(prompt) for prompt in prompts]
        script = scripts[min(len(asked), len(scripts) - 1)]
        asked.append(texts)
        found: list[Written | None] = []
        for text in texts:
            said = next(answer for question, answer in script.items() if question in text)
            words, cut = said if isinstance(said, tuple) else (said, False)
            found.append(Written(tokenizer(words, add_special_tokens=False)["input_ids"], cut))
        return found

    monkeypatch.setattr("studio.evals.chat.subjects.write_answers", write_answers)
    return asked
