"""Finding out what a template does: it is given a short talk, and what it wrote is looked at. Each question is asked once."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.models.chat.encoding import encode_conversation, end_ids
from studio.models.chat.rendering import ChatTemplate, Message, render
from studio.models.chat.thoughts import opened_thought
from studio.models.chat.tool_syntax import SYNTAXES, reads, types_of
from studio.models.chat.turns import common

CALL: dict[str, Any] = {"name": "q7xzk_tool", "arguments": {"place": 'Oslo, "Nord"', "days": 3, "deep": {"a": [1, None, True]}}}
# The id has the nine letters that Mistral's templates insist on.
_CALLING: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "q7xzkcall", "type": "function", "function": CALL}],
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": CALL["name"],
        "description": "Tells.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "Where."},
                "days": {"type": "integer", "description": "How many."},
                "deep": {"type": "object", "description": "More."},
            },
            "required": ["place"],
        },
    },
}
_ASKED: list[Message] = [{"role": "user", "content": "a"}]
_THOUGHT = "Q7xZk thinks"

Key = tuple[str, str, str]
_SYNTAX: dict[Key, str | None] = {}
_OPENED: dict[Key, str | None] = {}
_FIELD: dict[Key, bool] = {}


def _key(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase) -> Key:
    """All that a rendering depends on."""
    return template.text, str((dict(template.arguments), template.thinking)), str(tokenizer.special_tokens_map)


def tool_syntax(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The way in which a template writes the call of a tool (a key of ``SYNTAXES``), None where it writes none that is known.

    It is given one, and what it writes is read back in every known way.
    """
    key = _key(template, tokenizer)
    if key not in _SYNTAX:
        written = [text for tools in ([TOOL], None) if (text := _written(template, tokenizer, tools))]
        types = types_of([TOOL])
        _SYNTAX[key] = next((name for text in written for name in SYNTAXES if reads(name, text, CALL, types)), None)
    return _SYNTAX[key]


def opened_by(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The mark of the thought that the template's prompt opens, None where it opens none."""
    key = _key(template, tokenizer)
    if key not in _OPENED:
        match = opened_thought(_rendered(template, tokenizer, _ASKED, prompt=True))
        _OPENED[key] = match.group(1) if match else None
    return _OPENED[key]


def writes_thoughts(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase) -> bool:
    """True when the ``reasoning_content`` of the last answer comes out of the template."""
    key = _key(template, tokenizer)
    if key not in _FIELD:
        answer = {"role": "assistant", "content": "b", "reasoning_content": _THOUGHT}
        _FIELD[key] = _THOUGHT in _rendered(template, tokenizer, [*_ASKED, answer])
    return _FIELD[key]


def turn_ends(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids that end a turn by themselves: an answer in words, and a call, which some templates (gpt-oss) end in another way."""
    answers: list[Message] = [{"role": "assistant", "content": "b"}]
    if tool_syntax(template, tokenizer) is not None:
        answers.append(_CALLING)
    found: list[int] = []
    for answer in answers:
        try:
            tools = [TOOL] if answer is _CALLING else None
            row = encode_conversation(tokenizer, template, [*_ASKED, answer], tools=tools, train_on="last_assistant")
        except DataError:  # a template that refuses this example ends its turns with what the model is configured to end with
            continue
        found += [token for token in end_ids(tokenizer, row) if token not in found]
    return found


def _rendered(
    template: ChatTemplate, tokenizer: PreTrainedTokenizerBase, messages: list[Message], *, prompt: bool = False
) -> str:
    """A short talk under a template; empty when it refuses it."""
    try:
        return render(tokenizer, template, messages, add_generation_prompt=prompt)
    except DataError:
        return ""


def _written(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase, tools: list[dict[str, Any]] | None) -> str:
    """What a template makes of the call, without the prompt before it; empty when it refuses it or leaves it out."""
    try:
        prompt = render(tokenizer, template, _ASKED, tools=tools, add_generation_prompt=True)
        whole = render(tokenizer, template, [*_ASKED, _CALLING], tools=tools)
    except DataError:
        return ""
    text = whole[len(prompt) if whole.startswith(prompt) else len(common(prompt, whole)) :]
    return text if str(CALL["name"]) in text else ""
