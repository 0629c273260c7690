"""What a run's template does beyond plain turns (calls, thoughts, arguments), and which of vLLM's parsers read that again.

vLLM has one parser for calls and one for thoughts per server. So has a template, and runs with different ones are never served
together (``studio.serve.servable``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studio.models.chat.rendering import ChatTemplate

# Ways of calling (studio.models.chat.tool_syntax) -> vLLM's parsers that read them, the better first. Read back with each of them
# in tests/serve/test_speech_live.py; the ways that are not here come out of every parser of vLLM 0.32 damaged or not at all.
_TOOL_PARSERS: dict[str, tuple[str, ...]] = {
    "harmony": ("openai",),
    "qwen3_coder": ("qwen3_coder", "qwen3_xml"),
    "glm45": ("glm45", "glm47"),
    "minimax_m2": ("minimax_m2",),
    "gemma4": ("gemma4",),
    "hermes": ("hermes", "qwen3_json"),
    "granite": ("granite",),
    "mistral": ("mistral",),
    "mistral_list": ("mistral",),
    "deepseek_v3": ("deepseek_v3",),
    "deepseek_v31": ("deepseek_v31",),
    "kimi_k2": ("kimi_k2",),
    "lfm2": ("lfm2",),
    "pythonic": ("pythonic",),
    "llama4_pythonic": ("llama4_pythonic",),
    "llama3_json": ("llama3_json",),
}
# Ways of calling that vLLM has apart where the studio reads them as one: way, mark in the template, its name here.
_APART = (("mistral", "[CALL_ID]", "mistral_call_id"), ("pythonic", "<|python_start|>", "llama4_pythonic"))
# Marks that a parser asks the vocabulary for; without one of them vLLM does not start.
_DEEPSEEK = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>")
_NEEDED: dict[str, tuple[str, ...]] = {
    "mistral": ("[TOOL_CALLS]",),
    "deepseek_v3": _DEEPSEEK,
    "deepseek_v31": _DEEPSEEK,
    "lfm2": ("<|tool_call_start|>", "<|tool_call_end|>"),
    "llama4_pythonic": ("<|python_start|>",),
    "llama3_json": ("<|python_tag|>",),
}
TOOL_PARSERS = frozenset(name for names in _TOOL_PARSERS.values() for name in names)
THOUGHTS_PARSER = "studio_thoughts"
_HARMONY = "openai_gptoss"


@dataclass(frozen=True)
class Speech:
    """A template in the facts that a server needs.

    syntax: way of calling tools, None where none is known. mark: what opens a thought, None where the template has none.
    opened: whether its prompt ends inside a thought. switches: name of an argument to JSON values at which that is otherwise.
    written: whether it writes ``reasoning_content``. missing: marks of calls that are no tokens of the vocabulary.
    harmony: the model is gpt-oss, whose channels vLLM reads by itself. yes_no: client_arguments that are true or false.
    The rest is :class:`ChatTemplate`'s.
    """

    syntax: str | None = None
    mark: str | None = None
    opened: bool = False
    switches: dict[str, dict[str, bool]] = field(default_factory=dict)
    written: bool = False
    missing: tuple[str, ...] = ()
    harmony: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    client_arguments: tuple[str, ...] = ()
    yes_no: tuple[str, ...] = ()
    thinking: str = "keep"


@dataclass(frozen=True)
class Parsers:
    """Names of vLLM's parsers, None for none; and what is told of both, ``no_tools`` being a reason that clients are given."""

    tools: str | None
    thoughts: str | None
    told: tuple[str, str] = ("", "")
    no_tools: str = ""


def read_speech(template: ChatTemplate, tokenizer: Any, model_type: str) -> Speech:
    """Find out what a template does, by letting it write.

    Args:
        model_type: as in the base's ``config.json``.
    """
    from studio.models.chat.arguments import switches
    from studio.models.chat.probing import opened_by, tool_syntax, writes_thoughts
    from studio.models.chat.thoughts import THOUGHTS

    syntax, opened = tool_syntax(template, tokenizer), opened_by(template, tokenizer)
    syntax = next((name for way, mark, name in _APART if way == syntax and mark in template.text), syntax)
    in_text = next((mark for mark, end in THOUGHTS.items() if mark in template.text and end in template.text), None)
    vocabulary = tokenizer.get_vocab()
    needed = dict.fromkeys(mark for name in _TOOL_PARSERS.get(syntax or "", ()) for mark in _NEEDED.get(name, ()))
    return Speech(
        syntax=syntax,
        mark=opened or in_text,
        opened=opened is not None,
        switches=_switches(template, tokenizer, opened is not None),
        written=writes_thoughts(template, tokenizer),
        missing=tuple(mark for mark in needed if mark not in vocabulary),
        harmony=model_type == "gpt_oss",
        arguments=dict(template.arguments),
        client_arguments=template.client_arguments,
        yes_no=tuple(name for name in template.client_arguments if name in switches(template.text)),
        thinking=template.thinking,
    )


def _switches(template: ChatTemplate, tokenizer: Any, opened: bool) -> dict[str, dict[str, bool]]:
    """Values of a client's arguments that open or close the thought of a prompt; only yes and no can be tried out."""
    from dataclasses import replace

    from studio.models.chat.probing import opened_by

    found: dict[str, dict[str, bool]] = {}
    for name in template.client_arguments:
        for value, word in ((True, "true"), (False, "false")):
            other = replace(template, arguments={**template.arguments, name: value})
            now = opened_by(other, tokenizer) is not None
            if now != opened:
                found.setdefault(name, {})[word] = now
    return found


def choose_parsers(speech: Speech, tools: Collection[str] = TOOL_PARSERS, thoughts: Collection[str] = (_HARMONY,)) -> Parsers:
    """The parsers for a template among those that a vLLM has.

    Args:
        tools, thoughts: names of its registries; left out, those of the one that is installed by the studio.
    """
    name, why = _tool_parser(speech, tools)
    calls = f"vLLM's parser {name}" if name else f"none: {why}"
    if speech.harmony and _HARMONY in thoughts:
        return Parsers(name, _HARMONY, (calls, f"vLLM's parser {_HARMONY}"), why)
    if speech.mark:
        return Parsers(name, THOUGHTS_PARSER, (calls, f"told apart by {speech.mark} (the studio's own parser in vLLM)"), why)
    return Parsers(name, None, (calls, "none: the chat template has no mark for them"), why)


def _tool_parser(speech: Speech, known: Collection[str]) -> tuple[str | None, str]:
    """A parser for calls, or why there is none."""
    if speech.syntax is None:
        return None, "the chat template writes no calls of tools"
    if speech.syntax == "harmony" and not speech.harmony:
        return None, "vLLM reads calls in channels (harmony) of gpt-oss models only"
    names = [name for name in _TOOL_PARSERS.get(speech.syntax, ()) if name in known]
    if not names:
        return None, f"this vLLM has no parser for calls as the chat template writes them ({speech.syntax})"
    for name in names:
        if not set(_NEEDED.get(name, ())) & set(speech.missing):
            return name, ""
    return None, f"vLLM's parser {names[0]} needs the token {speech.missing[0]}, which the base's vocabulary does not have"
