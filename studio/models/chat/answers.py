"""What a model wrote, told apart: its thought, what it says, the tools it calls, as its template writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from studio.models.chat.marks import marks_of
from studio.models.chat.probing import opened_by, writes_thoughts
from studio.models.chat.probing import tool_syntax as tool_syntax  # callers of this module have it from here
from studio.models.chat.rendering import ChatTemplate, Message
from studio.models.chat.thoughts import opened_thought, split_thought, thought_in_text
from studio.models.chat.tool_syntax import CALL_BEGINS, SYNTAXES, Calls, types_of

# One message of harmony (gpt-oss). A call may name its tool before the channel or behind it.
_CHANNEL = re.compile(
    r"(?:<\|start\|>assistant)?(?P<to>\s*to=[\w.-]+)?\s*<\|channel\|>(?P<name>\w+)(?P<head>[^<]*(?:<\|constrain\|>\s*\w*)?)"
    r"<\|message\|>(?P<text>.*?)(?:<\|end\|>|<\|return\|>|<\|call\|>|(?=<\|start\|>|<\|channel\|>)|\Z)",
    re.DOTALL,
)
# Frames that some templates put around what is said (Command A, Granite 3.3).
# What may be the beginning of a mark, at the end of an answer that is still being written.
_UNDECIDED = re.compile(r"[<\[][^\s<>\]]{0,24}$|\s+$")
# Ways of calling that begin in bare text, which cannot be told from an answer before its end.
_BARE = {"llama3_json": "{", "pythonic": "[", "cohere_action": "Action:", "functools": "functools"}
_FRAME = re.compile(r"<\|(?:START|END)_(?:RESPONSE|TEXT)\|>|</?response>")


@dataclass(frozen=True)
class Answered:
    """An answer in its parts.

    content: what is said. reasoning_content: the thought, None without one (empty where one was opened and closed). tool_calls:
    as OpenAI writes them, arguments as values. broken_calls: what stands where a call should and cannot be read as one.
    """

    content: str
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    broken_calls: list[str] = field(default_factory=list)

    def message(self) -> Message:
        """The turn with which the talk goes on, with only the keys that hold something."""
        turn: Message = {"role": "assistant", "content": self.content}
        if self.reasoning_content:
            turn["reasoning_content"] = self.reasoning_content
        return {**turn, "tool_calls": self.tool_calls} if self.tool_calls else turn


def as_template_wants(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[Message]:
    """Turns with thoughts in a field of their own, as the template takes them: where it knows no such field, in the text."""
    thoughtful = any(turn.get("reasoning_content") for turn in messages)
    if not thoughtful or template.thinking == "drop" or writes_thoughts(template, tokenizer):
        return list(messages)
    mark = opened_by(template, tokenizer) or "<think>"
    return [thought_in_text(turn, mark) if turn.get("reasoning_content") else turn for turn in messages]


def read_answer(
    template: ChatTemplate,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    opened: str | None = None,
    calls: bool = True,
) -> Answered:
    """Tell the parts of an answer apart; what a template writes of a turn is read as that turn again.

    Args:
        text: what follows the prompt, decoded with its control tokens (:func:`answer_text`), which mark the parts.
        tools: those that were offered; where a call is written without types, their parameters say them.
        opened: mark of the thought that the prompt ended in, empty for none; None asks the template, which may open one after a
            question and none after the result of a tool.
        calls: whether any are looked for. Where no tool was offered, JSON in an answer is an answer.
    """
    syntax, types = tool_syntax(template, tokenizer), types_of(tools)
    if "<|channel|>" in text and "<|message|>" in text:
        thought, said, found = _channels(text)
    else:
        opened = opened_by(template, tokenizer) if opened is None else opened
        thought, said = split_thought(_FRAME.sub("", text), opened)
        found = SYNTAXES[syntax](said, types) if syntax and calls else Calls(rest=said)
        said = found.rest
    bare = None if thought is None else _bare(tokenizer, thought)
    return Answered(_bare(tokenizer, said), bare, found.calls, found.broken)


def read_growing(template: ChatTemplate, tokenizer: PreTrainedTokenizerBase, text: str, *, opened: str | None = None) -> Answered:
    """The parts of an answer that is still being written; what may yet become a mark or a call is held back.

    What was given once stays the beginning of what is given later. ``opened`` as in :func:`read_answer`.
    """
    syntax = tool_syntax(template, tokenizer)
    ends = [CALL_BEGINS.search(text) if syntax else None, _UNDECIDED.search(text)]
    known = text[: min((match.start() for match in ends if match), default=len(text))]
    if not known.strip() or ("<|channel|>" in template.text and "<|message|>" not in known):
        return Answered("")
    so_far = read_answer(template, tokenizer, known, opened=opened)
    bare = _BARE.get(syntax or "", "")
    held = bool(bare) and bare.startswith(so_far.content[: len(bare)])
    return Answered("" if held else so_far.content, so_far.reasoning_content)


def opened_in(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int]) -> str:
    """The mark of the thought that a prompt ends in, empty for none."""
    match = opened_thought(answer_text(tokenizer, prompt[-16:]))
    return match.group(1) if match else ""


def answer_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of an answer as :func:`read_answer` wants it."""
    plain: Any = tokenizer
    return str(plain.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _channels(text: str) -> tuple[str | None, str, Calls]:
    """Thought, words and calls of an answer in channels."""
    thoughts: list[str] = []
    said: list[str] = []
    found = Calls()
    for match in _CHANNEL.finditer(text):
        called = re.search(r"to=(?:functions\.)?([\w.-]+)", (match["to"] or "") + match["head"])
        if called:
            try:
                found.add(called.group(1), match["text"])
            except ValueError:
                found.broken.append(match.group())
        elif match["name"] == "analysis":
            thoughts.append(match["text"].strip())
        else:
            said.append(match["text"].strip())
    return ("\n\n".join(thoughts) if thoughts else None), "\n\n".join(said), found


def _bare(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """A text without control tokens, as people are shown it."""
    control = marks_of(tokenizer).control
    return (control.sub("", text) if control else text).strip()
