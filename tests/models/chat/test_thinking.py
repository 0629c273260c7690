"""Thoughts kept, masked or dropped, and weights of turns, under templates of every shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken
from transformers import AutoTokenizer

from studio.core.errors import DataError
from studio.models.chat.encoding import encode_examples, encode_prompt
from studio.models.chat.templates import ChatTemplate, render, settle
from tests.models.chat.shapes import MARKS, SHAPES
from tests.models.chat.test_shapes import says, trained, user
from tests.models.chat.tool_shapes import CALL_MARKS, CALLS

WRITES = {
    "opens_thought", "opens_thought_drops_all", "opens_thought_closes_otherwise", "empty_thought_last", "hermes", "glm45",
    "cohere", "harmony", "parts", "start_token", "eos_at_the_very_end", "date", "tools", "ends_at_next_role",
    "system_before_last_question",
}  # fmt: skip
FIELDS = WRITES & {"opens_thought", "opens_thought_drops_all", "empty_thought_last", "hermes", "glm45", "cohere", "harmony"}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "find", "arguments": {"what": "doors"}}}


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in [*MARKS, *CALL_MARKS]])
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in ("<think>", "</think>")])
    return tokenizer


def shape(name: str, tokenizer, thinking: Any = "keep") -> ChatTemplate:
    return settle(tokenizer, ChatTemplate(name, {**SHAPES, **CALLS}[name], thinking=thinking))


def in_text(thought: str, answer: str) -> dict[str, Any]:
    return says(f"<think>\n{thought}\n</think>\n\n{answer}")


@pytest.mark.parametrize("form", ["field", "text"])
@pytest.mark.parametrize("name", sorted(WRITES))
def test_a_masked_thought_stands_in_the_context_without_loss(name: str, form: str, tokenizer):
    if form == "field" and name not in FIELDS:
        pytest.skip("this shape knows thoughts in the text only")
    if form == "text" and name in {"cohere", "harmony", "hermes"}:
        form = "field"
    turn = in_text("Look it up.", "Eighty.") if form == "text" else says("Eighty.", reasoning_content="Look it up.")
    messages = [user("How wide?"), turn]
    kept, masked = (encode_examples(tokenizer, shape(name, tokenizer, how), messages) for how in ("keep", "mask"))
    assert [row.input_ids for row in kept.rows] == [row.input_ids for row in masked.rows] and masked.thoughts == 1
    [piece], [all_of_it] = trained(tokenizer, masked.rows[0]), trained(tokenizer, kept.rows[0])
    assert piece.startswith("Eighty.") and all_of_it.endswith(piece) and "Look it up." in all_of_it
    assert masked.rows[0].ends == kept.rows[0].ends


@pytest.mark.parametrize("name", sorted(SHAPES.keys() | CALLS.keys()))
def test_dropped_thoughts_are_as_if_they_had_never_been(name: str, tokenizer):
    template = shape(name, tokenizer, "drop")
    bare = [user("How wide?"), says("Eighty."), user("And stairs?"), says("One metre.")]
    for thoughtful in (
        [bare[0], in_text("Look it up.", "Eighty."), bare[2], in_text("Once more.", "One metre.")],
        [bare[0], says("Eighty.", reasoning_content="Look."), bare[2], says("One metre.", reasoning_content="Again.")],
    ):
        found, plain = (encode_examples(tokenizer, template, talk) for talk in (thoughtful, bare))
        assert found.rows == plain.rows and found.thoughts == 2 and plain.thoughts == 0
        assert "Look" not in render(tokenizer, template, thoughtful)
        assert encode_prompt(tokenizer, template, thoughtful[:3]) == encode_prompt(tokenizer, template, bare[:3])


@pytest.mark.parametrize("name", ["hermes", "glm45", "cohere", "harmony"])
def test_a_masked_thought_before_a_call(name: str, tokenizer):
    messages = [user("Find."), says("", reasoning_content="Look it up.", tool_calls=[CALL])]
    kept, masked = (encode_examples(tokenizer, shape(name, tokenizer, how), messages) for how in ("keep", "mask"))
    [piece] = trained(tokenizer, masked.rows[0])
    assert "find" in piece and "doors" in piece and "Look it up." not in piece and "think" not in piece.lower()
    assert "Look it up." in trained(tokenizer, kept.rows[0])[0] and kept.rows[0].input_ids == masked.rows[0].input_ids


def test_an_empty_thought_is_neither_trained_to_stop_nor_forced_on(tokenizer):
    """A base whose prompt opens a thought, rows without: what closes it stands there without loss, so the base stays as it is."""
    for name in ("opens_thought", "opens_thought_drops_all", "opens_thought_closes_otherwise", "glm45"):
        [row] = encode_examples(tokenizer, shape(name, tokenizer), [user("How wide?"), says("Eighty.")]).rows
        assert trained(tokenizer, row) == ["Eighty.<|im_end|>"] and "</think>" in tokenizer.decode(row.input_ids)


SWITCHED = SHAPES["opens_thought"].replace(
    "<think>\\n' }}{% endif %}",
    "' + ('<think>\\n' if enable_thinking | default(true) else '<think>\\n\\n</think>\\n\\n') }}{% endif %}",
)


def test_asked_to_answer_at_once_the_prompt_closes_the_thought(tokenizer):
    template = settle(tokenizer, ChatTemplate("switched", SWITCHED, arguments={"enable_thinking": False}))
    found = encode_examples(tokenizer, template, [user("How wide?"), says("Eighty.")])
    prompt = encode_prompt(tokenizer, template, [user("How wide?")])
    assert tokenizer.decode(prompt).endswith("<think>\n\n</think>\n\n")
    assert found.rows[0].input_ids[: len(prompt)] == prompt and trained(tokenizer, found.rows[0]) == ["Eighty.<|im_end|>"]
    assert not found.remarks


TALK = [user("How wide?"), says("Eighty.", weight=0.5), user("And?"), says("Wrong.", weight=0), user("Sure?"), says("One.")]


@pytest.mark.parametrize("name", ["drops_thoughts", "tools", "date"])
def test_everything_trains_but_answers_without_weight(name: str, tokenizer):
    [row] = encode_examples(tokenizer, shape(name, tokenizer), TALK, train_on="all").rows
    silent = [token for token, flag in zip(row.input_ids, row.trained, strict=True) if not flag]
    assert tokenizer.decode(silent) == "Wrong.<|im_end|>" and row.turns == 2 and len(row.ends) == 2
    halves = [token for token, weight in zip(row.input_ids, row.weights or [], strict=True) if weight == 0.5]
    assert tokenizer.decode(halves) == "Eighty.<|im_end|>"
    assert encode_examples(tokenizer, shape(name, tokenizer), TALK, train_on="all").remarks == {"without_loss"}


def test_everything_with_weights_is_refused_where_they_have_no_place(tokenizer):
    with pytest.raises(DataError, match="with train_on: all the answers that weigh less"):
        encode_examples(tokenizer, shape("channels", tokenizer), TALK, train_on="all")
    plain = [{key: value for key, value in turn.items() if key != "weight"} for turn in TALK]
    [row] = encode_examples(tokenizer, shape("channels", tokenizer), plain, train_on="all").rows
    assert all(row.trained) and row.weights is None


RESULT = [
    user("Find."),
    says("", tool_calls=[CALL]),
    {"role": "tool", "content": "two", "tool_call_id": "abcdefghi"},
    says("Two."),
]


@pytest.mark.parametrize("name", sorted(CALLS.keys()))
def test_calls_train_and_results_do_not(name: str, tokenizer):
    template = shape(name, tokenizer)
    found = encode_examples(tokenizer, template, RESULT)
    pieces = [piece for row in found.rows for piece in trained(tokenizer, row)]
    assert len(pieces) == 2 and "find" in pieces[0] and "doors" in pieces[0] and pieces[1].removeprefix("<|START_RESPONSE|>")
    assert not any("two" in piece for piece in pieces) and "Two." in pieces[1]
    for place, index in enumerate((1, 3)):
        row = found.rows[place] if len(found.rows) > 1 else found.rows[0]
        prompt = encode_prompt(tokenizer, template, RESULT[:index])
        assert row.input_ids[: len(prompt)] == prompt and not any(row.trained[: len(prompt)][:1])
    masked = [replace_weight(turn) for turn in RESULT]
    [only] = [piece for row in encode_examples(tokenizer, template, masked).rows for piece in trained(tokenizer, row)]
    assert only == pieces[1]


def replace_weight(turn: dict[str, Any]) -> dict[str, Any]:
    """The call without loss, everything else as it is."""
    return {**turn, "weight": 0} if turn.get("tool_calls") else turn


def test_a_template_remembers_what_becomes_of_thoughts(tokenizer):
    template = shape("opens_thought", tokenizer, "mask")
    assert ChatTemplate.from_record(template.text, template.record()) == template != replace(template, thinking="keep")
