"""Finding out how a template writes the call of a tool: it is given one, and what it wrote is read back in every known way."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.models.chat.rendering import ChatTemplate, Message, render
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
_KNOWN: dict[tuple[str, str, str, int], str | None] = {}


def tool_syntax(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The way in which a template writes the call of a tool (a key of ``SYNTAXES``), None where it writes none that is known."""
    key = (template.text, str(dict(template.arguments)), str(tokenizer.special_tokens_map), len(tokenizer))
    if key not in _KNOWN:
        written = [text for tools in ([TOOL], None) if (text := _written(template, tokenizer, tools))]
        types = types_of([TOOL])
        _KNOWN[key] = next((name for text in written for name in SYNTAXES if reads(name, text, CALL, types)), None)
    return _KNOWN[key]


def _written(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase, tools: list[dict[str, Any]] | None) -> str:
    """What a template makes of the call, without the prompt before it; empty when it refuses it or leaves it out."""
    asked: list[Message] = [{"role": "user", "content": "a"}]
    try:
        prompt = render(tokenizer, template, asked, tools=tools, add_generation_prompt=True)
        whole = render(tokenizer, template, [*asked, _CALLING], tools=tools)
    except DataError:
        return ""
    text = whole[len(prompt) if whole.startswith(prompt) else len(common(prompt, whole)) :]
    return text if str(CALL["name"]) in text else ""
