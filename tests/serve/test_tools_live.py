"""From a file to a served answer, with real vLLM: OpenAI's tool-calling JSONL, and a corpus of thoughts in Qwen3's way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.core.errors import UserError
from studio.models.vllm_environment import find_environment
from tests.models.chat.shapes import ASK
from tests.models.chat.tool_shapes import CALLS
from tests.serve.live import Live, begin, call

pytestmark = [pytest.mark.serve, pytest.mark.starter, pytest.mark.long]

# Qwen3's switch: the prompt closes an empty thought when thinking is switched off.
SWITCH = "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
TEMPLATE = CALLS["hermes"].replace(ASK, ASK.replace("{% endif %}", SWITCH + "{% endif %}"))
CITIES = ("Rome", "Lima", "Bern", "Quito")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}


def tool_row(city: str) -> dict[str, Any]:
    """A line as OpenAI's fine-tuning takes it: arguments are JSON text."""
    called = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": json.dumps({"city": city, "days": 2})},
    }
    turns = [
        {"role": "user", "content": f"How is the weather in {city}?"},
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"sky": "clear"}'},
        {"role": "assistant", "content": f"The sky over {city} is clear."},
    ]
    return {"messages": turns, "tools": [WEATHER]}


def thought_row(city: str) -> dict[str, Any]:
    """A line with a thought in the text, as Qwen3's corpora have it."""
    said = f"<think>\nThe user names {city}.\n</think>\n\nI greet {city}."
    return {"messages": [{"role": "user", "content": f"Greet {city}, please."}, {"role": "assistant", "content": said}]}


def train(space: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """File, recipe, Dataset, run: each as a person makes it."""
    (space / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    source = {"type": "local", "path": f"{name}.jsonl", "licence": "own data"}
    recipe = {"kind": "chat", "sources": [source], "steps": [{"step": "roles"}], "split": {"validation": 0, "test": 0}}
    (space / f"{name}.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    built = call(space, "data", "build", space / f"{name}.yaml", "--name", name)
    assert built.returncode == 0, built.stderr
    settings = {
        "chat_template": space / "hermes.jinja", "dtype": "float32", "epochs": 20, "batch_size": 4, "learning_rate": 0.002,
        "client_arguments": "[enable_thinking]", "max_length": 512,
    }  # fmt: skip
    chosen = [part for field, value in settings.items() for part in ("--set", f"{field}={value}")]
    trained = call(space, "train", "chat/lora", "--data", name, "--name", name, *chosen)
    assert trained.returncode == 0, trained.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One server for both runs: they share a template."""
    try:
        find_environment("cpu")
    except UserError as missing:
        pytest.skip(f"{missing} (make test-serve does it)")
    space = tmp_path_factory.mktemp("tools")
    (space / "hermes.jinja").write_text(TEMPLATE, encoding="utf-8")
    train(space, "weather", [tool_row(city) for city in CITIES])
    train(space, "greeter", [thought_row(city) for city in CITIES])
    live = begin(
        tmp_path_factory.mktemp("live"), space, "weather", "greeter", "--set", "build=cpu", "--set", "max_model_len=2048"
    )
    try:
        live.wait()
        yield live
    finally:
        live.end()


def client(server: Live) -> Any:
    """The ``openai`` package, as a person points it here."""
    from openai import OpenAI

    return OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0)


def question(city: str = "Rome") -> list[Any]:
    return [{"role": "user", "content": f"How is the weather in {city}?"}]


def test_the_plan_names_the_parsers_and_the_proof_has_tools_and_thoughts(server: Live) -> None:
    told = server.err.read_text()
    assert "tools     vLLM's parser hermes" in told and "thoughts  told apart by <think>" in told
    for name in ("weather", "greeter"):
        assert f"parity {name}: prompt tokens equal in " in told
    assert " with tools, 1 with thoughts)" in told


def test_a_call_comes_back_and_its_result_is_answered(server: Live) -> None:
    openai, tools = client(server), [WEATHER]
    turns = question()
    first = openai.chat.completions.create(model="weather", messages=turns, tools=tools, temperature=0, max_tokens=64)
    (choice,) = first.choices
    (made,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls" and not choice.message.content
    assert (made.function.name, json.loads(made.function.arguments)) == ("get_weather", {"city": "Rome", "days": 2})
    turns += [choice.message, {"role": "tool", "tool_call_id": made.id, "content": '{"sky": "clear"}'}]
    second = openai.chat.completions.create(model="weather", messages=turns, tools=tools, temperature=0, max_tokens=64)
    assert second.choices[0].message.content.strip() == "The sky over Rome is clear."


def test_a_call_comes_back_in_pieces(server: Live) -> None:
    pieces = client(server).chat.completions.create(
        model="weather", messages=question("Lima"), tools=[WEATHER], temperature=0, max_tokens=64, stream=True
    )
    name, arguments, said = "", "", ""
    for piece in pieces:
        delta = piece.choices[0].delta
        said += delta.content or ""
        for part in delta.tool_calls or ():
            name += part.function.name or ""
            arguments += part.function.arguments or ""
    assert (name, json.loads(arguments), said.strip()) == ("get_weather", {"city": "Lima", "days": 2}, "")


def test_a_forced_call_is_made_at_once(server: Live) -> None:
    forced = {"type": "function", "function": {"name": "get_weather"}}
    answer = client(server).chat.completions.create(
        model="weather", messages=question("Bern"), tools=[WEATHER], tool_choice=forced, temperature=0, max_tokens=64
    )
    (made,) = answer.choices[0].message.tool_calls
    assert made.function.name == "get_weather" and json.loads(made.function.arguments)["city"] == "Bern"


def test_a_thought_is_apart_from_the_answer(server: Live) -> None:
    turns: list[Any] = [{"role": "user", "content": "Greet Quito, please."}]
    openai = client(server)
    message = openai.chat.completions.create(model="greeter", messages=turns, temperature=0, max_tokens=64).choices[0].message
    assert (message.reasoning, message.content) == ("The user names Quito.", "I greet Quito.")
    thought = said = ""
    for piece in openai.chat.completions.create(model="greeter", messages=turns, temperature=0, max_tokens=64, stream=True):
        thought += getattr(piece.choices[0].delta, "reasoning", None) or ""
        said += piece.choices[0].delta.content or ""
    assert (thought, said) == ("The user names Quito.", "I greet Quito.")


def test_an_answer_without_a_thought_is_an_answer(server: Live) -> None:
    message = client(server).chat.completions.create(
        model="weather", messages=[*question(), *tool_row("Rome")["messages"][1:3]], tools=[WEATHER], temperature=0, max_tokens=64
    )
    assert message.choices[0].message.content.strip() == "The sky over Rome is clear."
    assert not getattr(message.choices[0].message, "reasoning", None)


def test_a_client_switches_what_the_run_leaves_to_it_and_nothing_else(server: Live) -> None:
    turns = [{"role": "user", "content": "Greet Quito, please."}]
    body: dict[str, Any] = {"model": "greeter", "messages": turns, "add_generation_prompt": True}
    plain = server.operator.must("/tokenize", body)["tokens"]
    closed = server.operator.must("/tokenize", body | {"chat_template_kwargs": {"enable_thinking": False}})["tokens"]
    assert closed[: len(plain)] == plain and len(closed) > len(plain)
    off = server.ask("greeter", "Greet Quito, please.", chat_template_kwargs={"enable_thinking": False})
    assert not off["choices"][0]["message"].get("reasoning")
    status, answer = server.client.post("/v1/chat/completions", body | {"chat_template_kwargs": {"chat_template": "x"}})
    assert status == 400
    del body["add_generation_prompt"]
    status, answer = server.client.post("/v1/chat/completions", body | {"chat_template_kwargs": {"messages": []}})
    assert (status, answer["error"]["code"]) == (400, "argument_not_allowed")
    assert "It leaves to clients: enable_thinking." in answer["error"]["message"]


def test_the_responses_api(server: Live) -> None:
    openai = client(server)
    asked: dict[str, Any] = {"temperature": 0, "max_output_tokens": 64}
    answer = openai.responses.create(model="greeter", input="Greet Quito, please.", **asked)
    assert answer.output_text == "I greet Quito." and [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.id == answer._request_id and answer.model == "greeter" and answer.usage.output_tokens > 5
    flat = {"type": "function", **WEATHER["function"]}
    (called,) = openai.responses.create(model="weather", input="How is the weather in Rome?", tools=[flat], **asked).output
    assert (called.type, called.name, json.loads(called.arguments)) == (
        "function_call",
        "get_weather",
        {"city": "Rome", "days": 2},
    )
    events = list(openai.responses.create(model="greeter", input="Greet Quito, please.", stream=True, **asked))
    assert events[-1].type == "response.completed" and events[-1].response.output_text == "I greet Quito."
    assert server.client.get(f"/v1/responses/{answer.id}")[0] == 404
