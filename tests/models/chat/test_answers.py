"""What a template writes of a turn is read as that turn again: thought, words, calls with their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken
from transformers import AutoTokenizer

from studio.models.chat.answers import Answered, answer_text, as_template_wants, read_answer, read_growing, tool_syntax
from studio.models.chat.encoding import encode_examples, encode_prompt
from studio.models.chat.probing import turn_ends
from studio.models.chat.templates import ChatTemplate, settle
from tests.models.chat.shapes import MARKS, SHAPES
from tests.models.chat.tool_shapes import CALL_MARKS, CALLS

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "where": {"type": "object"}},
        },
    },
}
ONE_CALL = {"harmony", "llama3_json"}


def call(**arguments: Any) -> dict[str, Any]:
    return {"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": arguments}}


ASKED = {"role": "user", "content": "Rain in Oslo?"}


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in [*MARKS, *CALL_MARKS]])
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in ("<think>", "</think>")])
    return tokenizer


def shape(name: str, tokenizer) -> ChatTemplate:
    return settle(tokenizer, ChatTemplate(name, {**SHAPES, **CALLS}[name]))


def written(tokenizer, template: ChatTemplate, turn: dict[str, Any], tools: Any = None) -> str:
    """What follows the prompt in a row of training, which is what a model that has learnt it writes."""
    [row] = encode_examples(tokenizer, template, [ASKED, turn], tools=tools).rows
    return answer_text(tokenizer, row.input_ids[len(encode_prompt(tokenizer, template, [ASKED], tools=tools)) :])


def values(answered: Answered) -> list[dict[str, Any]]:
    return [each["function"] for each in answered.tool_calls]


@pytest.mark.parametrize("name", CALLS)
def test_every_way_of_calling_is_known_and_read_back(name: str, tokenizer):
    template = shape(name, tokenizer)
    assert tool_syntax(template, tokenizer) == name
    calls = [call(city='Bergen, "Nord"\n<b>', days=3, where={"a": [1.5, None, True]}), call(city="7", days=-1)]
    if name in ONE_CALL:
        calls = calls[:1]
    turn = {"role": "assistant", "content": "", "tool_calls": calls}
    answered = read_answer(template, tokenizer, written(tokenizer, template, turn, [WEATHER]), tools=[WEATHER])
    assert values(answered) == [each["function"] for each in calls]
    assert (answered.content, answered.broken_calls) == ("", [])
    if name in {"mistral", "mistral_list"}:
        assert answered.tool_calls[0]["id"] == "abcdefghi"


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_in_words_calls_nothing(name: str, tokenizer):
    template = shape(name, tokenizer)
    for words in ("No rain.", '{"rain": false}', "[1, 2]"):
        text = written(tokenizer, template, {"role": "assistant", "content": words})
        assert read_answer(template, tokenizer, text, tools=[WEATHER]) in (Answered(words), Answered(words, ""))


@pytest.mark.parametrize("name", ["hermes", "glm45", "cohere", "harmony", "opens_thought", "empty_thought_last"])
def test_a_thought_is_told_from_what_is_said(name: str, tokenizer):
    template = shape(name, tokenizer)
    turn = {"role": "assistant", "content": "No rain.", "reasoning_content": "Look it up."}
    answered = read_answer(template, tokenizer, written(tokenizer, template, turn))
    assert answered == Answered("No rain.", "Look it up.") and answered.message() == turn


def test_a_thought_before_a_call(tokenizer):
    for name in ("hermes", "glm45", "harmony", "cohere"):
        template = shape(name, tokenizer)
        turn = {"role": "assistant", "content": "", "reasoning_content": "Ask.", "tool_calls": [call(city="Oslo")]}
        answered = read_answer(template, tokenizer, written(tokenizer, template, turn, [WEATHER]), tools=[WEATHER])
        assert (answered.reasoning_content, values(answered)) == ("Ask.", [turn["tool_calls"][0]["function"]]), name


CUT = '<tool_call>\n{"name": "weather", "arg'
NO_CALLS = [
    "<tool_call>\n{'name': 'weather'}\n</tool_call>",
    '<tool_call>{"name": "weather", "arguments": [1]}</tool_call>',
    '<tool_call>{"name": "weather"}</tool_call>',
]
RUNS = "<|tool_call_start|>[weather(open('x'))]<|tool_call_end|>"


@pytest.mark.parametrize(
    ("name", "text", "answered"),
    [
        ("opens_thought", "Still think", Answered("", "Still think")),
        ("opens_thought", "\n</think>\n\nNo.", Answered("No.", "")),
        ("opens_thought", "<think>\nTwice.</think>No.", Answered("No.", "Twice.")),
        ("drops_thoughts", "<think>Own.</think>No.<|im_end|>", Answered("No.", "Own.")),
        ("drops_thoughts", "Use <think> as a tag.", Answered("Use <think> as a tag.")),
        ("drops_thoughts", NO_CALLS[1], Answered(NO_CALLS[1])),
        ("hermes", f"Wait.\n{CUT}", Answered("Wait.", None, [], [CUT])),
        *(("hermes", text, Answered("", None, [], [text])) for text in NO_CALLS),
        ("harmony", "<|channel|>analysis<|message|>Hm", Answered("", "Hm")),
        ("lfm2", RUNS, Answered("", None, [], [RUNS])),
    ],
)
def test_what_is_cut_off_or_no_call_is_said(name: str, text: str, answered: Answered, tokenizer):
    assert read_answer(shape(name, tokenizer), tokenizer, text) == answered


def test_llama_calls_its_built_in_tools_in_python(tokenizer):
    answered = read_answer(shape("llama3_json", tokenizer), tokenizer, '<|python_tag|>brave_search.call(query="rain")')
    assert values(answered) == [{"name": "brave_search", "arguments": {"query": "rain"}}] and answered.content == ""


def test_values_without_types_are_what_they_look_like(tokenizer):
    template = shape("qwen3_coder", tokenizer)
    text = written(tokenizer, template, {"role": "assistant", "content": "", "tool_calls": [call(city="7", dry=True, n=None)]})
    assert values(read_answer(template, tokenizer, text)) == [
        {"name": "weather", "arguments": {"city": 7, "dry": True, "n": None}}
    ]
    assert values(read_answer(template, tokenizer, text, tools=[WEATHER]))[0]["arguments"]["city"] == "7"


def test_a_template_without_tools_has_no_way_of_calling(tokenizer):
    assert tool_syntax(shape("drops_thoughts", tokenizer), tokenizer) is None


def test_a_template_gets_calls_and_thoughts_in_its_own_form(tokenizer):
    assert "arguments of calls as JSON text" in shape("deepseek_v3", tokenizer).changes
    assert "thoughts under the name 'thinking'" in shape("harmony", tokenizer).changes
    assert not any(shape(name, tokenizer).changes for name in CALLS.keys() - {"deepseek_v3", "harmony"})


TURNS = [
    {"role": "assistant", "content": "No rain < 3 mm [1].\nNone at all."},
    {"role": "assistant", "content": "No rain.", "reasoning_content": "Look it up,\n\nthen say."},
    {"role": "assistant", "content": "", "reasoning_content": "Ask.", "tool_calls": [call(city="Oslo")]},
]


@pytest.mark.parametrize("turn", TURNS, ids=["words", "thought", "call"])
@pytest.mark.parametrize("name", sorted(CALLS))
def test_what_is_given_of_a_growing_answer_stays(name: str, turn: dict[str, Any], tokenizer):
    template = shape(name, tokenizer)
    text = written(tokenizer, template, turn, [WEATHER])
    thought = said = ""
    for stop in range(len(text) + 1):
        now = read_growing(template, tokenizer, text[:stop])
        assert (now.reasoning_content or "").startswith(thought) and now.content.startswith(said), text[:stop]
        thought, said = now.reasoning_content or "", now.content
    whole = read_answer(template, tokenizer, text, tools=[WEATHER])
    assert whole.content.startswith(said) and (whole.reasoning_content or "").startswith(thought)
    assert whole.tool_calls or whole.content == said or name in {"llama3_json"}


def test_earlier_thoughts_go_back_as_the_template_takes_them(tokenizer):
    talk = [ASKED, TURNS[1], ASKED]
    for name in ("hermes", "cohere", "harmony", "empty_thought_last"):
        assert as_template_wants(shape(name, tokenizer), tokenizer, talk) == talk, "it has a field for them"
    in_text = as_template_wants(shape("start_token", tokenizer), tokenizer, talk)
    assert in_text[1] == {"role": "assistant", "content": "<think>\nLook it up,\n\nthen say.\n</think>\n\nNo rain."}
    dropped = settle(tokenizer, ChatTemplate("start_token", SHAPES["start_token"], thinking="drop"))
    assert as_template_wants(dropped, tokenizer, talk) == talk


def test_a_call_ends_as_its_template_ends_it(tokenizer):
    ends = {name: [tokenizer.decode(token) for token in turn_ends(shape(name, tokenizer), tokenizer)] for name in CALLS}
    assert ends.pop("harmony") == ["<|return|>", "<|call|>"]
    assert all(found == ["<|im_end|>"] for found in ends.values())
