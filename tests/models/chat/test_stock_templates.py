"""Templates as models ship them: those that the installed libraries hold, and the habits of the families they lack.

For each: every answer trains, once, with its end; behind the ids that inference is given; results of tools never do; and what is
written is read back as it was. What a template leaves out is said, and nothing else is left out.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken
from transformers import AutoTokenizer

from studio.core.errors import DataError
from studio.models.chat.answers import answer_text, opened_in, read_answer, tool_syntax
from studio.models.chat.encoding import EncodedRow, encode_examples, encode_prompt
from studio.models.chat.templates import ChatTemplate, settle
from tests.models.chat.families import FAMILIES
from tests.models.chat.test_shapes import says, trained, user

_TRL = find_spec("trl")
STOCK = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((Path(str(_TRL.origin if _TRL else "")).parent / "chat_templates").glob("*.jinja"))
    # These two are no families of today's list: one writes to=user before each answer, one goes on in the turn of the result.
    if not path.stem.startswith(("muse", "diffusion")) and not path.stem.endswith("_training")
}
TEMPLATES = {**STOCK, **FAMILIES}
MARK = re.compile(
    r"<\|[^|<>\s{}']{2,40}\|>|<(?:start|end)_of_(?:turn|utterance)>|\[/?[A-Z_]{3,16}\]|<｜[^<>{}'\s]+｜>|<\|?turn\|?>|<\|?channel\|?>"
    r"|<\|?tool[a-z_]*\|?>|</?s>"
)
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": {"city": 'Oslo "N"', "days": 3}}}
_FIELDS = {"city": {"type": "string", "description": "c"}, "days": {"type": "integer", "description": "d"}}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells.",
        "parameters": {"type": "object", "properties": _FIELDS, "required": ["city"]},
    },
}
RESULT = {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi", "content": "soaked"}
TALKS: dict[str, list[dict[str, Any]]] = {
    "single": [user("How wide?"), says("Eighty.")],
    "system": [{"role": "system", "content": "Be brief."}, user("How wide?"), says("Eighty.")],
    "two": [user("How wide?"), says("Eighty."), user("And stairs?"), says("One metre.")],
    "thought": [user("How wide?"), says("Eighty.", reasoning_content="Look it up.")],
    "thoughts": [
        user("How wide?"),
        says("Eighty.", reasoning_content="Look it up."),
        user("And stairs?"),
        says("One metre.", reasoning_content="Once more."),
    ],
    "thoughts in the text": [
        user("How wide?"),
        says("<think>\nLook it up.\n</think>\n\nEighty."),
        user("And stairs?"),
        says("<think>\nOnce more.\n</think>\n\nOne metre."),
    ],
    "call": [user("Rain?"), says("", tool_calls=[CALL]), RESULT, says("Much rain.")],
    "thought and call": [
        user("Rain?"),
        says("", reasoning_content="Ask it.", tool_calls=[CALL]),
        RESULT,
        says("Much rain.", reasoning_content="So wet."),
    ],
}
# What the templates themselves do not know.
NO_SYSTEM = {"gemma"}
NO_TOOLS = {
    "cohere", "cohere2", "deepseek_r1_distill", "gemma", "gemma3", "idefics3", "lfm2", "llama3", "llava_next", "phi3", "phi3_5",
    "phi4", "qwen2_5_vl", "smolvlm",
}  # fmt: skip


def shaped(name: str, base: Path) -> tuple[Any, ChatTemplate]:
    """A tokenizer that has the marks of a template as tokens, and the template."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    text = TEMPLATES[name]
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in sorted(set(MARK.findall(text)))])
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in ("<think>", "</think>")])
    return tokenizer, settle(tokenizer, ChatTemplate(name, text))


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_every_answer_trains_once_behind_its_prompt_and_is_read_back(name: str, talk: str, tiny_base: Path) -> None:
    tokenizer, template = shaped(name, tiny_base)
    messages = TALKS[talk]
    tools = [TOOL] if "call" in talk else None
    if (name in NO_TOOLS and tools) or (name in NO_SYSTEM and talk == "system"):
        with pytest.raises(DataError, match="knows no tools" if tools else "refuses the conversation"):
            encode_examples(tokenizer, template, messages, tools=tools)
        return
    found = encode_examples(tokenizer, template, messages, tools=tools)
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    pieces = [(row, piece) for row in found.rows for piece in trained(tokenizer, row)]
    assert len(pieces) == len(turns) == sum(len(row.ends) for row in found.rows)
    for index, (row, piece) in zip(turns, pieces, strict=True):
        prompt = encode_prompt(tokenizer, template, messages[:index], tools=tools)
        assert row.input_ids[: len(prompt)] == prompt
        assert "soaked" not in piece and "Rain?" not in piece and "How wide" not in piece
        if len(found.rows) > 1 or index == turns[-1]:
            _read_back(tokenizer, template, messages[index], row, prompt, lost="thought_lost" in found.remarks)


def _read_back(
    tokenizer: Any, template: ChatTemplate, turn: dict[str, Any], row: EncodedRow, prompt: list[int], *, lost: bool
) -> None:
    """What follows the prompt is the turn again."""
    text = answer_text(tokenizer, row.input_ids[len(prompt) :])
    answered = read_answer(template, tokenizer, text, tools=[TOOL], opened=opened_in(tokenizer, prompt))
    thought, _, said = turn["content"].rpartition("</think>")
    assert answered.content == said.strip() and not answered.broken_calls
    assert [call["function"] for call in answered.tool_calls] == [call["function"] for call in turn.get("tool_calls", [])]
    wanted = turn.get("reasoning_content") or thought.removeprefix("<think>").strip()
    assert lost or (answered.reasoning_content or "") == wanted


@pytest.mark.parametrize("thinking", ["mask", "drop"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_no_thought_trains_that_is_masked_or_dropped(name: str, thinking: Any, tiny_base: Path) -> None:
    tokenizer, kept = shaped(name, tiny_base)
    template = ChatTemplate(name, kept.text, thinking=thinking)
    for talk in ("thoughts", "thoughts in the text", "thought and call"):
        if name in NO_TOOLS and "call" in talk:
            continue
        tools = [TOOL] if "call" in talk else None
        found = encode_examples(tokenizer, template, TALKS[talk], tools=tools)
        pieces = [piece for row in found.rows for piece in trained(tokenizer, row)]
        # What the template itself leaves out is not there to be masked.
        assert len(pieces) == 2 and (found.thoughts == 2 or (thinking == "mask" and "thought_lost" in found.remarks))
        assert not any(words in piece for piece in pieces for words in ("Look it up", "Once more", "Ask it", "So wet", "think>"))
        if thinking == "drop":
            assert not any("Look it up" in tokenizer.decode(row.input_ids) for row in found.rows)


def test_every_template_that_has_tools_has_a_way_of_calling_that_is_known(tiny_base: Path) -> None:
    unknown = [name for name in TEMPLATES if name not in NO_TOOLS and tool_syntax(*reversed(shaped(name, tiny_base))) is None]
    assert not unknown
    assert len(STOCK) > 25, "the library holds fewer than it did: look for where they went"
