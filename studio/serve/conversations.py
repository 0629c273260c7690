"""What is asked in the parity check: the run's own test rows, and talks of the studio's for what those may lack."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.adapters.chat.speech import Speech
from studio.core.errors import StudioError

Talk = dict[str, Any]
"""``messages`` up to where the assistant speaks, and ``tools`` where there are any."""

# Besides those with tools and with thoughts.
_PLAIN = 8
_SYSTEM = [
    {"role": "system", "content": "You answer in one short sentence."},
    {"role": "user", "content": "Why do leaves change colour in autumn?"},
]
_TALK = [
    {"role": "user", "content": "Name a city in Portugal."},
    {"role": "assistant", "content": "Lisbon."},
    {"role": "user", "content": "And what is it known for? — « naïve » ok?"},
]
_BUILT_IN = (
    "What can you help me with?",
    "Explain in two sentences why the sky is blue.",
    "  What is 17 times 23?\n\nShow each step.  ",
    "Give me a name for a small bakery by the sea.",
    "Write a Python function that returns the larger of two numbers.",
    "My printer does not answer. What should I try first?",
)
_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place, for some days.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "description": "How many."}},
            "required": ["city"],
        },
    },
}
# The id has the nine letters that Mistral's templates insist on.
_CALLED: list[Talk] = [
    {"role": "user", "content": 'How is the weather in "Oslo"?'},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call00001",
                "type": "function",
                "function": {"name": "get_weather", "arguments": {"city": 'Oslo "Nord"', "days": 3}},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": '{"degrees": [4, 6, 5]}'},
]
_THOUGHT: list[Talk] = [
    {"role": "user", "content": "What is 17 times 3?"},
    {"role": "assistant", "content": "51.", "reasoning_content": "17 times 3: 10 times 3 is 30,\n7 times 3 is 21."},
    {"role": "user", "content": "And times 6?"},
]
# The order in which vLLM writes a tool, whatever its client's was (0.32, entrypoints/generate/base/protocol.py).
_WRITTEN = (["name", "description", "parameters"], ["name", "description", "parameters", "strict"])


def parity_conversations(run_folder: Path, speech: Speech) -> list[Talk]:
    """Eight conversations and what the template can do besides.

    Six of the run's own test rows (built-in questions where there are fewer, because the dataset has moved away), a system turn,
    a talk of two turns; one with a tool, its call and its result; one with a thought.
    """
    own = _own_rows(run_folder)[: _PLAIN - 2]
    built_in = [{"messages": [{"role": "user", "content": text}]} for text in _BUILT_IN[: _PLAIN - 2 - len(own)]]
    talks = [*own, *built_in, {"messages": _SYSTEM}, {"messages": _TALK}]
    if speech.syntax:
        talks.append({"messages": _CALLED, "tools": [_WEATHER]})
    if speech.mark or speech.written:
        talks.append({"messages": _THOUGHT})
    return talks


def _own_rows(run_folder: Path) -> list[Talk]:
    """Test rows of the run's dataset up to their last question; none where they cannot be read."""
    from studio.core.workspace import Workspace, read_run, run_dataset
    from studio.data.chat.rows import read_split

    found: list[Talk] = []
    try:
        for row in read_split(run_dataset(read_run(run_folder), Workspace.around(run_folder)), "test"):
            turns: list[Any] = [{key: value for key, value in turn.items() if key != "weight"} for turn in row.messages]
            while turns and turns[-1]["role"] not in {"user", "tool"}:
                turns.pop()
            if turns and all(_as_served(tool) for tool in row.tools):
                found.append({"messages": turns, **({"tools": row.tools} if row.tools else {})})
    except StudioError:
        return []
    return found


def _as_served(tool: dict[str, Any]) -> bool:
    """True where vLLM writes a tool as the row has it; fields in another order make another prompt, through no fault here."""
    function = tool.get("function")
    return list(tool) == ["type", "function"] and isinstance(function, dict) and list(function) in _WRITTEN


def on_the_wire(row: Talk) -> Talk:
    """A conversation as a client sends it: arguments of calls as JSON text."""
    messages = []
    for turn in row["messages"]:
        calls = [
            {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)}}
            for call in turn.get("tool_calls") or ()
        ]
        messages.append({**turn, "tool_calls": calls} if calls else turn)
    return {"messages": messages, **({"tools": row["tools"]} if row.get("tools") else {})}


def kinds_of(rows: Sequence[Talk]) -> str:
    """How many conversations have tools or thoughts: `` (1 with tools, 1 with thoughts)``; empty where none has."""
    tools = sum(bool(row.get("tools")) for row in rows)
    thoughts = sum(any(turn.get("reasoning_content") for turn in row["messages"]) for row in rows)
    told = [f"{count} with {what}" for count, what in ((tools, "tools"), (thoughts, "thoughts")) if count]
    return f" ({', '.join(told)})" if told else ""
