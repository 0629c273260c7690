"""``/v1/responses`` behind the guard: the same limits as a chat, nothing kept, and rows for the feedback store."""

from __future__ import annotations

import json
from typing import Any

import pytest

from studio.feedback.store import FeedbackStore
from studio.serve.ledger import read_answer
from studio.serve.limits import CHAT, RESPONSES
from tests.serve.conftest import LIMITS, Gate, MakeGate

ASKED: dict[str, Any] = {"model": "one", "input": "Hello"}
FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object"}}
ANSWER = {
    "id": "resp_1",
    "status": "completed",
    "output": [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "message", "content": [{"type": "output_text", "text": "Good day."}]},
    ],
    "usage": {"input_tokens": 7, "output_tokens": 5},
}


def test_it_is_passed_on_within_the_limits_and_kept_nowhere(gate: Gate) -> None:
    reply = gate.call("POST", RESPONSES, ASKED | {"store": True, "metadata": {"a": "b"}, "include": ["x"], "background": False})
    seen = gate.engine.seen[-1]["body"]
    assert reply.status == 200 and seen["store"] is False and seen["max_output_tokens"] == LIMITS["max_tokens"]
    assert seen["request_id"] == reply.headers["x-request-id"] and seen["request_id"].startswith("resp_")
    assert not {"metadata", "include", "background"} & set(seen)
    assert gate.call("POST", RESPONSES, ASKED, key=None).status == 401
    assert gate.call("POST", RESPONSES, ASKED | {"model": "../x"}).code == "model_not_found"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"max_output_tokens": 65}, "limit_exceeded"),
        ({"previous_response_id": "resp_0"}, "nothing_kept"),
        ({"background": True}, "nothing_kept"),
        ({"conversation": "c"}, "nothing_kept"),
        ({"priority": 1}, "unknown_field"),
        ({"request_id": "mine"}, "unknown_field"),
        ({"include_reasoning": True}, "unknown_field"),
        ({"cache_salt": "x"}, "unknown_field"),
        ({"tools": [{"type": "web_search"}]}, "not_a_function"),
        ({"tools": [{"type": "mcp", "server_url": "http://x"}]}, "not_a_function"),
        ({"tools": 5}, "invalid_value"),
        ({"tools": [{"type": "function", "function": {"name": "look"}}]}, "invalid_value"),
        ({"input": [{"role": "robot", "content": "a"}]}, "invalid_value"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x"}]}]}, "not_text"),
        ({"input": [{"type": "function_call_output", "output": [{"type": "input_file", "file_url": "http://x"}]}]}, "not_text"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "not_text"),
        ({"input": ["x"]}, "not_text"),
        ({"input": []}, "invalid_value"),
        ({"reasoning": {"effort": "high"}}, "argument_not_allowed"),
        ({"chat_template_kwargs": {"chat_template": "x"}}, "argument_not_allowed"),
    ],
)
def test_what_it_may_not_ask(gate: Gate, change: dict[str, Any], code: str) -> None:
    reply = gate.call("POST", RESPONSES, ASKED | change)
    assert (reply.status, reply.code) == (400, code) and not gate.engine.seen


@pytest.mark.parametrize("field", ["reasoning", "text", "tool_choice", "response_format"])
def test_nonsense_is_vllms_to_refuse_and_no_fault_of_the_guard(gate: Gate, field: str) -> None:
    assert gate.call("POST", RESPONSES, ASKED | {field: "nonsense"}).status in {200, 400}


def test_the_runs_arguments_tools_and_thoughts_are_those_of_a_chat(make_gate: MakeGate) -> None:
    gate = make_gate().open()
    book = json.loads((gate.folder / "models.json").read_text())
    facts = {"mark": "<think>", "thinking": "drop", "arguments": {"day": "Monday"}, "client_arguments": ["reasoning_effort"]}
    book["models"]["one"]["speech"] = facts
    (gate.folder / "models.json").write_text(json.dumps(book))
    talk = [{"role": "user", "content": "a"}, {"type": "reasoning", "summary": []}, {"role": "user", "content": "b"}]
    form = {"text": {"format": {"type": "json_object"}}}
    assert gate.call("POST", RESPONSES, ASKED | {"input": talk, "reasoning": {"effort": "low"}} | form).status == 200
    seen = gate.engine.seen[-1]["body"]
    assert seen["chat_template_kwargs"] == {"day": "Monday", "reasoning_effort": "low"} and seen["include_reasoning"] is False
    assert seen["input"] == [talk[0], talk[2]] and "reasoning" not in seen
    assert gate.call("POST", RESPONSES, ASKED | {"tools": [FUNCTION]}).status == 200
    book["models"]["one"]["speech"] = facts | {"no_tools": "there is no parser"}
    (gate.folder / "models.json").write_text(json.dumps(book))
    assert gate.call("POST", RESPONSES, ASKED | {"tools": [FUNCTION]}).code == "tools_not_served"


def test_an_answer_is_read_whole_and_streamed() -> None:
    expected = {"prompt_tokens": 7, "completion_tokens": 5, "finish": "stop", "text": "Good day."}
    assert read_answer(RESPONSES, {}, json.dumps(ANSWER).encode()) == expected
    events = [
        {"type": "response.created", "response": ANSWER | {"output": []}},
        {"type": "response.output_text.delta", "delta": "Good"},
        {"type": "response.completed", "response": ANSWER},
    ]
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
    assert read_answer(RESPONSES, {"stream": True}, stream) == expected
    cut = ANSWER | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert read_answer(RESPONSES, {}, json.dumps(cut).encode())["finish"] == "length"


def test_what_is_written_down(make_gate: MakeGate) -> None:
    gate = make_gate(record="texts").open()
    FeedbackStore(gate.feedback).change_settings(keep_texts=True)
    talk = [
        {"role": "user", "content": [{"type": "input_text", "text": "How is it?"}]},
        {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "1"},
        {"type": "function_call_output", "call_id": "1", "output": "fine"},
    ]
    assert gate.call("POST", RESPONSES, ASKED | {"instructions": "Be short.", "input": talk}).status == 200
    gate.guard._ledger.close()
    (row,) = FeedbackStore(gate.feedback).rows("requests")
    assert [turn["content"] for turn in row["prompt"]] == ["Be short.", "How is it?", "{}", "fine"]
    assert row["user"] == "ada" and row["status"] == "ok"


def test_thoughts_and_calls_of_a_chat_are_told_apart_whole_and_in_pieces() -> None:
    def call(index: int, **function: str) -> dict[str, Any]:
        return {"index": index, "function": function, **({"id": f"c{index}"} if "name" in function else {})}

    pieces = [
        {"reasoning_content": "Look"},
        {"reasoning_content": " up."},
        {"content": "Wait."},
        {"tool_calls": [call(0, name="find", arguments='{"x"')]},
        {"tool_calls": [call(0, arguments=": 1}"), call(1, name="mail", arguments="{}")]},
    ]
    stream = "".join(f"data: {json.dumps({'choices': [{'delta': piece}]})}\n\n" for piece in pieces).encode()
    calls = [
        {"id": f"c{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate([("find", '{"x": 1}'), ("mail", "{}")])
    ]
    turn = {"reasoning_content": "Look up.", "tool_calls": calls}
    found = read_answer(CHAT, {"stream": True}, stream)
    assert (found["text"], found["turn"]) == ("Wait.", turn)
    whole = {"choices": [{"message": {"content": "Wait.", "reasoning": "Look up.", "tool_calls": calls}}]}
    found = read_answer(CHAT, {}, json.dumps(whole).encode())
    assert (found["text"], found["turn"]) == ("Wait.", turn)
