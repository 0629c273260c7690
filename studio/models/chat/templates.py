"""Chat templates: the tokenizer's own, a named one for base models without, or a Jinja file. Stored in the run byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jinja2.exceptions import TemplateSyntaxError
from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError, UserError, nearest
from studio.models.chat.arguments import refuse_odd_values, refuse_unknown, with_defaults
from studio.models.chat.probing import tool_syntax, writes_thoughts
from studio.models.chat.rendering import ChatTemplate as ChatTemplate  # callers of this module have both from here
from studio.models.chat.rendering import Thinking, Value, compiled
from studio.models.chat.rendering import render as render

if TYPE_CHECKING:
    from studio.schema.adapter import ChatAdapter

# ChatML as OpenAI published it; the text form needs the two marks to be single tokens to be exact, plain needs nothing.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# For base models whose vocabulary has no chat marks: words and the model's own end token, no new tokens to train or serve.
# The answer starts on a line of its own: after "Assistant: " its first token would hold the blank, which a prompt ending in
# that blank could never ask for.
PLAIN = (
    "{{ bos_token or '' }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ 'Assistant:\\n' + message['content'] + eos_token + '\\n' }}{% elif message['role'] == 'system' %}"
    "{{ message['content'] + '\\n\\n' }}{% else %}{{ 'User: ' + message['content'] + '\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}"
)
NAMED = {"chatml": CHATML, "plain": PLAIN}
System = Literal["keep", "merge"]

# Written before a template's text, so that whatever renders the run's template (training, chat, evaluation, vLLM, an export) does
# the same. Each ends in an empty output, after which Jinja drops no line end of the template itself.
_WITHOUT_TOOLS = "{%- if tools is not defined or tools is none %}{% set tools = [] %}{% endif %}{{ '' }}"
_AS_PARTS = (
    "{%- set studio_turns = namespace(all=[]) %}{% for turn in messages %}{% set studio_turns.all = studio_turns.all + "
    "[dict(turn, content=[{'type': 'text', 'text': turn.content}]) if turn.content is string else turn] %}{% endfor %}"
    "{% set messages = studio_turns.all %}{{ '' }}"
)
# For templates that join a call's arguments to a text (DeepSeek), where others want them as values.
_ARGUMENTS_AS_TEXT = (
    "{%- set studio_talk = namespace(turns=[], calls=[]) %}{% for turn in messages %}{% if turn.tool_calls %}"
    "{% set studio_talk.calls = [] %}{% for call in turn.tool_calls %}{% if call.function.arguments is string %}"
    "{% set studio_talk.calls = studio_talk.calls + [call] %}{% else %}{% set studio_talk.calls = studio_talk.calls + "
    "[dict(call, function=dict(call.function, arguments=call.function.arguments | tojson))] %}{% endif %}{% endfor %}"
    "{% set turn = dict(turn, tool_calls=studio_talk.calls) %}{% endif %}"
    "{% set studio_talk.turns = studio_talk.turns + [turn] %}{% endfor %}{% set messages = studio_talk.turns %}{{ '' }}"
)
# For templates that have thoughts under another name (gpt-oss).
_AS_THINKING = (
    "{%- set studio_thinking = namespace(turns=[]) %}{% for turn in messages %}{% set studio_thinking.turns = "
    "studio_thinking.turns + [dict(turn, thinking=turn.reasoning_content) if turn.reasoning_content and turn.thinking is not "
    "defined else turn] %}{% endfor %}{% set messages = studio_thinking.turns %}{{ '' }}"
)
_SYSTEM_MERGED = (
    "{%- if messages[0].role == 'system' and messages[0].content is string %}{% if messages | length > 1 and messages[1].role == "
    "'user' and messages[1].content is string %}{% set messages = [dict(messages[1], content=messages[0].content + '\n\n' + "
    "messages[1].content)] + messages[2:] %}{% else %}{% set messages = [dict(messages[0], role='user')] + messages[1:] %}"
    "{% endif %}{% endif %}{{ '' }}"
)
# The one way in which stock templates ask for the time, with the format as text (seen in Llama 3.2, gpt-oss, Granite, SmolLM3).
_CLOCK = re.compile(r"""strftime_now\(\s*("[^"\\]*"|'[^'\\]*')\s*\)""")
# The others: a format that is put together, or given by name.
_CLOCK_ASKED = re.compile(r"\bstrftime_now\s*\(")
_DIRECTIVES = (*"aAbBcCdDeFgGhHIjlmMnpPrRSTuUVwWxXyYzZ", *(f"-{letter}" for letter in "dHIjmMSy"))
_STOPPED = "macro strftime_now(format)"
_PROBE = "Q7xZk answers"


def choose_template(
    tokenizer: PreTrainedTokenizerBase,
    requested: str | None,
    base: str,
    *,
    at: datetime | None = None,
    system: System = "keep",
    arguments: Mapping[str, Value] | None = None,
    client_arguments: Sequence[str] = (),
    thinking: Thinking = "keep",
) -> ChatTemplate:
    """Take the requested template, else the tokenizer's own, and settle what would differ from one place to another.

    Args:
        requested: None, a name, or the path of a Jinja file.
        base: name of the base model, for the message.
        at: the moment that a template which asks for the date is given, for good; None is now.
        system: ``merge`` puts a system turn before the first user turn's text.
        arguments, client_arguments, thinking: see :class:`ChatTemplate`.
    Raises:
        UserError: the base has no template and none was asked for; or the name or file does not exist, is no Jinja, cannot be
            used with this vocabulary, does not know an argument, or asks for another value.
    """
    template = _parsed(_found(tokenizer, requested, base))
    refuse_unknown(template, arguments or {}, "template_arguments")
    refuse_unknown(template, client_arguments, "client_arguments")
    refuse_odd_values(template, arguments or {})
    given = replace(template, arguments=dict(arguments or {}), client_arguments=tuple(client_arguments), thinking=thinking)
    return settle(tokenizer, given, at=at, system=system)


def template_of(
    tokenizer: PreTrainedTokenizerBase, adapter: ChatAdapter, base: str, *, at: datetime | None = None
) -> ChatTemplate:
    """The template that a preset asks for.

    Args:
        base, at: as in :func:`choose_template`.
    Raises:
        UserError: as there.
    """
    return choose_template(
        tokenizer,
        adapter.chat_template,
        base,
        at=at,
        system=adapter.system,
        arguments=adapter.template_arguments,
        client_arguments=adapter.client_arguments,
        thinking=adapter.thinking,
    )


def settle(
    tokenizer: PreTrainedTokenizerBase, template: ChatTemplate, *, at: datetime | None = None, system: System = "keep"
) -> ChatTemplate:
    """The template with everything written into its text that would else depend on who renders it, and when.

    The clock stands still; a template that goes over ``tools`` gets an empty list where there are none; one that wants the text
    of a turn in parts gets parts; one that has calls or thoughts in a form of its own gets that; a system turn is merged where
    that is asked for; its arguments stand there as defaults. A template that needs none of it is untouched.

    Raises:
        UserError: the text is no Jinja.
    """
    settled = _frozen(_parsed(template), at or datetime.now(UTC))
    if template.arguments:
        said = tuple(f"{name} is {json.dumps(value, ensure_ascii=False)}" for name, value in template.arguments.items())
        text = with_defaults(settled.text, template.arguments)
        settled = replace(settled, text=text, changes=(*settled.changes, *said))
    for change, opening in (("an empty list of tools", _WITHOUT_TOOLS), ("turns in parts", _AS_PARTS)):
        changed = replace(settled, text=opening + settled.text, changes=(*settled.changes, change))
        if not _writes(tokenizer, settled) and _writes(tokenizer, changed):
            settled = changed
    settled = _calling(tokenizer, _thinking(tokenizer, settled))
    if system == "merge":
        settled = replace(settled, text=_SYSTEM_MERGED + settled.text, changes=(*settled.changes, "system turns merged"))
    return settled


def _parsed(template: ChatTemplate) -> ChatTemplate:
    """The template itself.

    Raises:
        UserError: the text is no Jinja.
    """
    try:
        compiled(template.text)
    except TemplateSyntaxError as error:
        raise UserError(f"the chat template {template.name!r} is no Jinja (line {error.lineno}): {error.message}") from error
    return template


def _frozen(template: ChatTemplate, at: datetime) -> ChatTemplate:
    """The template with the moment in place of every question for it."""
    if not _CLOCK_ASKED.search(template.text) or _STOPPED in template.text:
        return template
    text = _CLOCK.sub(lambda match: json.dumps(at.strftime(match.group(1)[1:-1]), ensure_ascii=False), template.text)
    if _CLOCK_ASKED.search(text):
        text = _stopped_clock(at) + text
    return replace(template, text=text, day=f"{at:%Y-%m-%d}", changes=(*template.changes, f"the date is {at:%Y-%m-%d}"))


def _stopped_clock(at: datetime) -> str:
    """A macro in place of the function that templates ask for the time, which says one moment in any format."""
    told = "".join(f" | replace('%{each}', {json.dumps(at.strftime(f'%{each}'))})" for each in _DIRECTIVES)
    percent = "\ue000"  # a letter of nobody's, for %% while the others are replaced
    written = f"format | replace('%%', '{percent}'){told} | replace('{percent}', '%')"
    return f"{{%- {_STOPPED} %}}{{{{ {written} }}}}{{% endmacro %}}{{{{ '' }}}}"


def _writes(tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> bool:
    """True when a plain question comes out of the template."""
    try:
        return _PROBE in render(tokenizer, template, [{"role": "user", "content": _PROBE}], add_generation_prompt=True)
    except DataError:
        return False


def _calling(tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> ChatTemplate:
    """The template with the arguments of calls as text, where it writes calls with them so only."""
    if "tool_calls" not in template.text or tool_syntax(template, tokenizer) is not None:
        return template
    changes = (*template.changes, "arguments of calls as JSON text")
    changed = replace(template, text=_ARGUMENTS_AS_TEXT + template.text, changes=changes)
    return changed if tool_syntax(changed, tokenizer) is not None else template


def _thinking(tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> ChatTemplate:
    """The template with thoughts under the name it has for them, where it writes them under that only."""
    if "thinking" not in template.text or writes_thoughts(template, tokenizer):
        return template
    changes = (*template.changes, "thoughts under the name 'thinking'")
    changed = replace(template, text=_AS_THINKING + template.text, changes=changes)
    return changed if writes_thoughts(changed, tokenizer) else template


def _found(tokenizer: PreTrainedTokenizerBase, requested: str | None, base: str) -> ChatTemplate:
    """The template as it is written."""
    if requested is None:
        own = tokenizer.chat_template
        if isinstance(own, dict):
            own = own.get("default")
        if not own:
            raise UserError(
                f"the base model {base} has no chat template. Choose one in the preset or with --set chat_template=plain "
                f"(allowed: {', '.join(NAMED)}, or the path of a Jinja file)."
            )
        return ChatTemplate("tokenizer", own)
    if requested in NAMED:
        template = ChatTemplate(requested, NAMED[requested])
        if requested == "chatml" and tokenizer.convert_tokens_to_ids("<|im_end|>") in {None, tokenizer.unk_token_id}:
            raise UserError(
                f"chat_template 'chatml' needs the tokens <|im_start|> and <|im_end|>, which {base} does not have, and new "
                "tokens are refused by vLLM. Use --set chat_template=plain."
            )
        if requested == "plain" and not tokenizer.eos_token:
            raise UserError(f"chat_template 'plain' ends a turn with the model's end token, and {base} has none.")
        return template
    path = Path(requested).expanduser()
    if path.is_file():
        try:
            return ChatTemplate(path.name, path.read_bytes().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(f"the chat template {path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    raise UserError(
        f"unknown chat_template {requested!r}.{nearest(requested, NAMED)} "
        f"Allowed: {', '.join(NAMED)}, or the path of a Jinja file."
    )
